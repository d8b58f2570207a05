"""What the pool remembers of evaluators and attempts, and what it tells its surroundings to do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from xnas_core.dispatch.interface import DispatchEvent
from xnas_core.dispatch.messages import ServerMessage
from xnas_core.errors import IntegrityError
from xnas_core.tasks import EndReason, TaskFailure, TaskKind


@dataclass(frozen=True, slots=True)
class Send:
    """Send a message on the evaluator's stream."""

    evaluator: str
    message: ServerMessage


@dataclass(frozen=True, slots=True)
class Close:
    """End a stream with this explanation; the evaluator may connect again."""

    stream: int
    reason: str


@dataclass(frozen=True, slots=True)
class Report:
    """Tell the search loop."""

    event: DispatchEvent


@dataclass(frozen=True, slots=True)
class LookUp:
    """Look for a whole result.json below each prefix, in order, and answer with `Pool.looked_up` (protocol.md §6.6).

    Attributes:
        asked_for: the attempt that waits for the answer.
        attempts: task id (None: not known, any will do) and key prefix of the attempts whose result is looked for.
    """

    asked_for: str
    attempts: tuple[tuple[str | None, str], ...]


Instruction = Send | Close | Report | LookUp


@dataclass(slots=True)
class Attempt:
    """An attempt that was given to an evaluator and whose end was not reported yet.

    Attributes:
        slot: where it runs; None while that is not known (after a restart, until its evaluator is back).
        document: the assignment as JSON; None for an attempt that an earlier process of the server gave away.
        deadline_at: when the server itself ends it; the evaluator should have done so before.
        sent: the assignment went out on some stream, so the evaluator may have begun.
        cancelling: Cancel was asked for and the evaluator's word is awaited.
        ending: how it ends unless its result.json is found; set while that is looked for.
    """

    task_id: str
    kind: TaskKind
    candidate: str
    number: int
    prefix: str
    evaluator: str
    slot: int | None
    document: bytes | None
    deadline_at: float
    sent: bool = False
    looking: bool = False
    cancelling: bool = False
    ending: TaskFailure | None = None

    def failure(self, reason: EndReason, message: str) -> TaskFailure:
        """Return the end of this attempt for that reason."""
        return TaskFailure(
            task_id=self.task_id,
            kind=self.kind,
            candidate_id=self.candidate,
            attempt=self.number,
            reason=reason,
            message=message,
        )


@dataclass(slots=True)
class Evaluator:
    """An evaluator that is connected, or whose attempts are still its own.

    Attributes:
        slots: task id in each slot; None is free.
        stream: number of its stream; None while it has none.
        grace_until: when its attempts end; None while it is connected.
        held: task ids of the attempts that are its own, for iteration.
        expected: why it will go, if that is known beforehand (a pod that is being evicted).
    """

    id: str
    slots: list[str | None] = field(default_factory=list)
    device: str = ""
    version: str = ""
    capabilities: tuple[str, ...] = ()
    stream: int | None = None
    last_heard: float = 0.0
    grace_until: float | None = None
    draining: bool = False
    held: set[str] = field(default_factory=set)
    expected: tuple[EndReason, str] | None = None

    def slot_of(self, task_id: str) -> int | None:
        """Return the slot that holds this task, if any."""
        return self.slots.index(task_id) if task_id in self.slots else None

    def free(self) -> Iterator[int]:
        """Yield the free slots."""
        return (slot for slot, task in enumerate(self.slots) if task is None)


@dataclass(frozen=True, slots=True)
class EvaluatorView:
    """An evaluator, for people and status."""

    id: str
    device: str
    version: str
    slots: int
    busy: int
    connected: bool
    draining: bool
    capabilities: tuple[str, ...]


def parse_prefix(prefix: str) -> tuple[str, TaskKind, int]:
    """Return candidate, kind and attempt of an attempt's key prefix; raise IntegrityError on anything else."""
    parts = prefix.split("/")
    kind, dash, number = parts[2].rpartition("-") if len(parts) == 4 else ("", "", "")
    if parts[0] != "candidates" or not dash or not number.isdigit() or kind not in set(TaskKind) or parts[3]:
        raise IntegrityError(f"{prefix!r} is not the key prefix of an attempt")
    return parts[1], TaskKind(kind), int(number)
