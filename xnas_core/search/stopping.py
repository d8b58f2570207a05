"""When a search stops: its limits as functions of where it stands."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from xnas_core.api.spec import LimitsSpec
from xnas_core.search.problem import Problem

MAX_EVALUATIONS = "MaxEvaluations"
MAX_GENERATIONS = "MaxGenerations"
DEADLINE_EXCEEDED = "DeadlineExceeded"
STAGNATED = "Stagnated"
SPACE_EXHAUSTED = "SpaceExhausted"
TOO_MANY_FAILURES = "TooManyFailures"


@dataclass(frozen=True, slots=True)
class Stop:
    """Why nothing more is proposed, and what the search will be then."""

    state: Literal["Complete", "Failed"]
    reason: str
    message: str

    @property
    def drains(self) -> bool:
        """Whether evaluations that have begun still count: they do, unless time is over or the search has failed."""
        return self.reason == STAGNATED


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a search stands.

    Attributes:
        proposed: candidates so far.
        finished: scored or failed for good.
        prefix: how many of the first candidates have finished without a gap.
        failed_in_prefix: those of them that failed for good. Counted in candidate order (protocol.md §7).
        settled: no evaluation is open that is still wanted.
        active_seconds: see clockwork.
        exhausted: nothing new was found to propose.
        hypervolume_at: hypervolume after so many finished evaluations.
    """

    proposed: int
    finished: int
    prefix: int
    failed_in_prefix: int
    settled: bool
    active_seconds: float
    exhausted: bool
    hypervolume_at: Callable[[int], float]


def proposal_bound(limits: LimitsSpec, population_size: int) -> int | None:
    """Return how many candidates may be proposed in all; None: no limit."""
    bounds = []
    if limits.max_evaluations is not None:
        bounds.append(limits.max_evaluations)
    if limits.max_generations is not None:
        bounds.append(limits.max_generations * population_size)
    return min(bounds, default=None)


def decide(problem: Problem, limits: LimitsSpec, here: Standing) -> Stop | None:
    """Return why the search must stop now, or None.

    In generational mode all but the deadline is decided between generations, when everything proposed has finished:
    so the order in which results arrived cannot matter.
    """
    deadline = limits.active_deadline_seconds
    if deadline is not None and here.active_seconds >= deadline:
        return Stop("Complete", DEADLINE_EXCEEDED, f"the search was active for {deadline:g} s, its deadline")
    if problem.generational and not here.settled:
        return None
    if here.failed_in_prefix > limits.max_failed_evaluations:
        message = (
            f"{here.failed_in_prefix} candidates failed for good, more than limits.maxFailedEvaluations allows "
            f"({limits.max_failed_evaluations}); look at what they failed with, then run again or raise the limit"
        )
        return Stop("Failed", TOO_MANY_FAILURES, message)
    if here.settled:
        reached = _bound_reached(problem, limits, here)
        if reached is not None:
            return reached
    return _stagnated(problem, limits, here)


def _bound_reached(problem: Problem, limits: LimitsSpec, here: Standing) -> Stop | None:
    if limits.max_evaluations is not None and here.finished >= limits.max_evaluations:
        return Stop("Complete", MAX_EVALUATIONS, f"{here.finished} evaluations have finished")
    size = problem.population_size
    if limits.max_generations is not None and here.proposed >= limits.max_generations * size:
        return Stop("Complete", MAX_GENERATIONS, f"{-(-here.proposed // size)} generations have finished")
    if here.exhausted and here.proposed == 0:
        message = "no candidate was found that is connected and meets the constraints; loosen spec.constraints"
        return Stop("Failed", SPACE_EXHAUSTED, message)
    if here.exhausted:
        message = f"nothing else is left to propose: {here.proposed} candidates are all that meet the constraints"
        return Stop("Complete", SPACE_EXHAUSTED, message)
    return None


def _stagnated(problem: Problem, limits: LimitsSpec, here: Standing) -> Stop | None:
    if limits.stagnation is None:
        return None
    span = limits.stagnation.generations * problem.population_size
    if here.finished - span < problem.population_size:  # the first population is where growth is measured from
        return None
    before, now = here.hypervolume_at(here.finished - span), here.hypervolume_at(here.finished)
    if now - before > limits.stagnation.tolerance * before:
        return None
    message = (
        f"the hypervolume grew by {(now - before) / before:.2%}" if before > 0 else "the hypervolume did not grow"
    ) + f" over the last {limits.stagnation.generations} generations"
    return Stop("Complete", STAGNATED, message)
