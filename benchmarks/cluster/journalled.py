"""What a journal tells of time: when a search was accepted, assigned and at work, and what lay between evaluations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from xnas_core.artifacts.store import ObjectStore
from xnas_core.journal import read_segments
from xnas_core.search.events import AttemptStarted, Event, Started, Succeeded
from xnas_core.tasks import TaskKind

_STORING = ("state_seconds", "checkpoint_seconds")
_WITHIN = "measure_"
"""Times of single measures are part of metrics_seconds."""


@dataclass(frozen=True)
class Begun:
    """Seconds since the epoch, by the operator's clock.

    Attributes:
        accepted: the first event of the journal.
        assigned: the first evaluation was given to an evaluator.
        working: its first result arrived, less the time that the worker says it took: so at the latest. Storing the
            result is in it.
    """

    accepted: float
    assigned: float
    working: float


@dataclass(frozen=True)
class Gap:
    """From one result to the next on an evaluator with one slot, in seconds.

    Attributes:
        wall: between the results' arrivals.
        computing: the worker's own time for data, network, training and measuring.
        storing: the worker's own time for training states and checkpoint.
    """

    wall: float
    computing: float
    storing: float

    @property
    def overhead(self) -> float:
        """All that the worker was not at work: storing and sending the result, the journal, deciding, assigning."""
        return self.wall - self.computing - self.storing


def events_of(store: ObjectStore) -> list[Event]:
    """Return all events of a search, in order."""
    return [event for segment in read_segments(store) for event in segment.events]


def work_seconds(timings: Mapping[str, float]) -> tuple[float, float]:
    """Return the seconds that a worker computed, and those that it stored, without the result."""
    parts = {name: seconds for name, seconds in timings.items() if not name.startswith(_WITHIN)}
    storing = sum(seconds for name, seconds in parts.items() if name in _STORING)
    return sum(parts.values()) - storing, storing


def begun(events: Iterable[Event]) -> Begun:
    """Return when a search began.

    Raises:
        ValueError: no evaluation has succeeded yet.
    """
    accepted, assigned, working = None, None, []
    for event in events:
        match event:
            case Started():
                accepted = event.time
            case AttemptStarted(task=TaskKind.EVALUATE):
                assigned = event.time if assigned is None else assigned
            case Succeeded(task=TaskKind.EVALUATE):
                working.append(event.time - sum(work_seconds(event.timings)))
    if accepted is None or assigned is None or not working:
        raise ValueError("no evaluation of this search has succeeded yet")
    return Begun(accepted, assigned, min(working))


def gaps(events: Iterable[Event], warm_up: int) -> Sequence[Gap]:
    """Return what lay between the evaluations of one slot, without the first `warm_up` results.

    Raises:
        ValueError: more than one evaluation ran at once, so that there is no "between".
    """
    found: list[Gap] = []
    last: float | None = None
    running: set[str] = set()
    for event in events:
        if isinstance(event, AttemptStarted) and event.task is TaskKind.EVALUATE:
            running.add(event.candidate)
            if len(running) > 1:
                raise ValueError("two evaluations ran at once; measure with one evaluator of one slot")
        if isinstance(event, Succeeded) and event.task is TaskKind.EVALUATE:
            running.discard(event.candidate)
            if last is not None:
                found.append(Gap(event.time - last, *work_seconds(event.timings)))
            last = event.time
    return found[max(0, warm_up - 1) :]
