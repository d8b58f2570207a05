"""An arm of a comparison in figures: means over its searches, with intervals where there are enough of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from xnas_core.analysis.arms import Arm, Comparison
from xnas_core.analysis.significance import Floats
from xnas_core.analysis.student import interval, quantile


@dataclass(frozen=True, slots=True)
class Averaged:
    """A quantity over searches.

    Attributes:
        values: one for each search that has it, by seed.
        mean: None where none has it.
        low, high: 95 % t interval of the mean over seeds; None for fewer than two searches.
    """

    values: tuple[float, ...]
    mean: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class ArmSummary:
    """An arm in figures.

    Attributes:
        at_budget: hypervolume after as many evaluations as every search of the comparison has.
        at_end: hypervolume at each search's own end.
        front: members of the front.
        best: of each objective, the best value of feasible candidates.
        median: of each objective, the median of all scored candidates.
    """

    arm: Arm
    evaluations: tuple[int, int]
    at_budget: Averaged
    at_end: Averaged
    front: Averaged
    best: tuple[Averaged, ...]
    median: tuple[Averaged, ...]


def averaged(values: Sequence[float | None]) -> Averaged:
    """Return mean and interval of the values that are known."""
    known = tuple(value for value in values if value is not None)
    bounds = interval(np.array(known)) if known else None
    low, high = bounds or (None, None)
    return Averaged(known, float(np.mean(known)) if known else None, low, high)


def summaries(comparison: Comparison) -> tuple[ArmSummary, ...]:
    """Return the arms in figures."""
    budget, measured = comparison.budget, comparison.reference is not None
    objectives = range(len(comparison.views[0].spec.objectives))
    made = []
    for arm in comparison.arms:
        counts = [trial.evaluations for trial in arm.trials]
        there = [t for t in arm.trials if measured and t.evaluations]
        made.append(
            ArmSummary(
                arm=arm,
                evaluations=(min(counts), max(counts)),
                at_budget=averaged([float(t.volumes[budget - 1]) for t in there] if budget else []),
                at_end=averaged([float(t.volumes[-1]) for t in there]),
                front=averaged([float(len(t.view.front)) for t in arm.trials]),
                best=tuple(averaged([t.best(k) for t in arm.trials]) for k in objectives),
                median=tuple(averaged([t.median(k) for t in arm.trials]) for k in objectives),
            )
        )
    return tuple(made)


@dataclass(frozen=True, slots=True)
class Band:
    """Hypervolume over evaluations: mean, and the 95 % t interval over seeds (None for a single search)."""

    evaluations: tuple[int, ...]
    mean: tuple[float, ...]
    low: tuple[float, ...] | None
    high: tuple[float, ...] | None


def band(arm: Arm, points: int = 300) -> Band:
    """Return an arm's hypervolume at up to `points` evaluations, the last one included; as far as all its searches go.

    The interval is pointwise: it holds for each number of evaluations by itself. It is not let below 0.
    """
    places = np.unique(np.linspace(0, arm.evaluations - 1, min(points, arm.evaluations)).round().astype(int))
    rows: Floats = arm.volumes[:, places]
    mean = rows.mean(axis=0)
    evaluations = tuple(int(place) + 1 for place in places)
    if len(rows) < 2:
        return Band(evaluations, tuple(mean.tolist()), None, None)
    half = quantile(0.95, len(rows) - 1) * rows.std(axis=0, ddof=1) / np.sqrt(len(rows))
    low = np.maximum(0.0, mean - half)
    return Band(evaluations, tuple(mean.tolist()), tuple(low.tolist()), tuple((mean + half).tolist()))
