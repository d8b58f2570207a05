"""The few facts of an engine that a status is made from; cheap however many candidates there are."""

from __future__ import annotations

import heapq
from dataclasses import dataclass

from xnas_core.api.status import FRONT_LIMIT, FrontMember
from xnas_core.search.engine import Engine
from xnas_core.search.view import SearchProgress, SearchState


@dataclass(frozen=True, slots=True)
class EngineFacts:
    """An engine at one moment.

    Attributes:
        reason: why it stopped or finished, one word; "" while it proposes.
        message: the same as a sentence.
        front: at most FRONT_LIMIT members, best first objective first.
        hypervolume: of the front; None until there is a front and a reference point.
        preempted_attempts: attempts that ended through no fault of their candidate.
        started_at: seconds since the epoch.
        finished_at: seconds since the epoch; None while the search goes on.
        late_work: the search has finished, and so many tasks are open that were asked for afterwards or follow from it.
    """

    progress: SearchProgress
    state: SearchState
    reason: str
    message: str
    front: tuple[FrontMember, ...]
    hypervolume: float | None
    preempted_attempts: int
    started_at: float
    finished_at: float | None
    late_work: int = 0


def engine_facts(engine: Engine) -> EngineFacts:
    """Return the facts of an engine. Looks at the front, never at all candidates."""
    progress = engine.progress()
    end = engine.finished or engine.stopped
    measured = bool(engine.archive.keys) and engine.archive.reference is not None
    return EngineFacts(
        progress=progress,
        state=engine.state,
        reason=end.reason if end else "",
        message=end.message if end else "",
        front=_front(engine),
        hypervolume=progress.hypervolume if measured else None,
        preempted_attempts=engine.ledger.preempted_attempts,
        started_at=engine.started.time,
        finished_at=engine.finished.time if engine.finished else None,
        late_work=late_work(engine),
    )


def late_work(engine: Engine) -> int:
    """Return how many tasks are open although the search has finished; 0 while it goes on."""
    return sum(engine.wanted(task) for task in engine.ledger.all_open()) if engine.finished else 0


def _front(engine: Engine) -> tuple[FrontMember, ...]:
    candidates = engine.candidates
    first = heapq.nsmallest(FRONT_LIMIT, engine.archive.keys, key=lambda n: (candidates[n].values or (), n))
    names = [objective.name for objective in engine.spec.objectives]
    return tuple(
        FrontMember(
            id=candidates[number].id,
            values=dict(zip(names, engine.problem.own_sign(candidates[number].values or ()), strict=True)),
        )
        for number in first
    )
