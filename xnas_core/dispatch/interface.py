"""What the search loop and the dispatcher say to each other.

The dispatcher owns evaluators, slots, leases and streams. It decides nothing about the search: it reports
what happened, and does what the loop says after the loop has made it durable (protocol.md §5.3, §6, §8).
All methods are called in one event loop.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from xnas_core.tasks import Assignment, Progress, TaskFailure, TaskResult


@dataclass(frozen=True, slots=True)
class FreeSlot:
    """A slot that can take an assignment now."""

    evaluator: str
    slot: int


@dataclass(frozen=True, slots=True)
class HeldAttempt:
    """An attempt that the journal says was given to an evaluator and has not ended.

    Attributes:
        prefix: key prefix of the attempt, to look for its result.json.
    """

    task_id: str
    evaluator: str
    prefix: str
    deadline_seconds: int


@dataclass(frozen=True, slots=True)
class AttemptCompleted:
    """A result arrived, or was found in the store."""

    result: TaskResult


@dataclass(frozen=True, slots=True)
class AttemptFailed:
    """An attempt ended without a result."""

    failure: TaskFailure


@dataclass(frozen=True, slots=True)
class ProgressMade:
    """For display only."""

    progress: Progress


DispatchEvent = AttemptCompleted | AttemptFailed | ProgressMade


class Dispatcher(Protocol):
    """The server side of the evaluator streams."""

    async def wait(self, timeout_seconds: float) -> None:
        """Return when there is an event to take or a slot became free, or after the time-out."""
        ...

    def take(self) -> Sequence[DispatchEvent]:
        """Return and remove all events that have arrived."""
        ...

    def free_slots(self) -> Sequence[FreeSlot]:
        """Return the slots that can take an assignment now, longest free first."""
        ...

    def hold(self, attempts: Sequence[HeldAttempt]) -> None:
        """After a restart: wait for the evaluators of these attempts for the grace period, then report Lost.

        An attempt whose evaluator belonged to the stopped run is reported `RunStopped` at once; one whose
        result.json is in the store is reported completed.
        """
        ...

    def assign(self, slot: FreeSlot, assignment: Assignment) -> None:
        """Give the assignment to the slot. Call only when `attemptStarted` is durable."""
        ...

    def acknowledge(self, task_id: str) -> None:
        """Tell whoever sent this attempt's end that it is durable. Harmless when repeated or unknown."""
        ...

    def cancel(self, task_id: str) -> None:
        """End the attempt without a result; it is reported `Cancelled`. Harmless when repeated or unknown."""
        ...
