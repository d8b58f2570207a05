"""What the fake API server does wrong on demand, and what it was asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass
class RecordedRequest:
    """One request, in the words of RBAC. `code` is 0 until the answer is known; a watch has 200 from its start."""

    verb: str
    group: str
    resource: str
    subresource: str
    namespace: str
    name: str
    user: str
    user_agent: str
    code: int = 0

    @property
    def rule(self) -> tuple[str, str, str]:
        """(verb, group, resource or resource/subresource), as a Role grants it."""
        return self.verb, self.group, self.resource + (f"/{self.subresource}" if self.subresource else "")


@dataclass
class Fault:
    """Meets the requests that fit all that is given here.

    Attributes:
        code: the answer's status; 0 answers as usual (with `delay_s`).
        times: how many requests it meets; None for all.
        delay_s: seconds to wait first.
        retry_after_s: the answer's Retry-After.
        lost: "before": the connection breaks and nothing was done; "after": it was done, but the answer is lost.
        watch_code: the watch starts, and its first event is an ERROR with this code.
        silent: the watch starts, and no event ever comes.
        when: a further test of the request.
        hits: how many requests it met.
    """

    code: int = 0
    verb: str | None = None
    resource: str | None = None
    subresource: str | None = None
    namespace: str | None = None
    name: str | None = None
    times: int | None = 1
    delay_s: float = 0.0
    retry_after_s: int | None = None
    lost: str = ""
    watch_code: int = 0
    silent: bool = False
    message: str = "fault injected by a test"
    when: Callable[[RecordedRequest], bool] | None = None
    hits: int = 0

    def meets(self, request: RecordedRequest) -> bool:
        """Whether it is this request's turn."""
        fields = ("verb", "resource", "subresource", "namespace", "name")
        fits = all(getattr(self, part) in (None, getattr(request, part)) for part in fields)
        left = self.times is None or self.hits < self.times
        return fits and left and (self.when is None or self.when(request))


@dataclass
class Faults:
    """The faults that are armed, met in the order in which they were added."""

    armed: list[Fault] = field(default_factory=list)

    def add(self, fault: Fault) -> Fault:
        """Arm one."""
        self.armed.append(fault)
        return fault

    def clear(self) -> None:
        """Disarm all."""
        self.armed.clear()

    def take(self, request: RecordedRequest) -> Fault | None:
        """The fault that this request meets."""
        for fault in self.armed:
            if fault.meets(request):
                fault.hits += 1
                return fault
        return None
