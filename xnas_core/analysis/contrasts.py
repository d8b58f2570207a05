"""Is one arm better than another? Exact tests and intervals of the difference in hypervolume."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from xnas_core.analysis.arms import Arm, Comparison
from xnas_core.analysis.correlation import ranks
from xnas_core.analysis.significance import Floats, holm
from xnas_core.analysis.student import interval, quantile

_EXACT = 100_000
"""Arrangements up to which all are looked at."""
_DRAWS = 20_000
_TIE = 1e-12


@dataclass(frozen=True, slots=True)
class Contrast:
    """One arm against another, by hypervolume at the comparison's budget.

    Attributes:
        first, second: letters.
        test: "paired" (same seeds in both arms: signs of the differences are flipped) or "ranks" (Mann and Whitney).
        difference: mean of the first less mean of the second.
        low, high: 95 % t interval of it: of the differences (paired), or Welch's.
        p: two-sided p value; corrected: that, for all contrasts, by Holm.
        least: the smallest p value that so few searches can give.
    """

    first: str
    second: str
    test: str
    difference: float
    low: float
    high: float
    p: float
    corrected: float
    least: float


def contrasts(comparison: Comparison) -> tuple[Contrast, ...]:
    """Return the contrast of every two arms with at least two searches each; none before the first evaluation."""
    if not comparison.budget or comparison.reference is None:
        return ()
    found = [
        _contrast(a, b, comparison.budget)
        for a, b in itertools.combinations(comparison.arms, 2)
        if min(len(a.trials), len(b.trials)) > 1
    ]
    adjusted = holm(np.array([c.p for c in found]))
    return tuple(replace(c, corrected=float(p)) for c, p in zip(found, adjusted, strict=True))


def sign_flip(differences: Floats) -> tuple[float, float]:
    """Return the two-sided p value of a mean difference under random signs, and the smallest one possible.

    Fisher 1935, The Design of Experiments, section 21. All 2^n signs are looked at, or a seeded sample of them.
    """
    count = len(differences)
    if 2**count <= _EXACT:
        signs = np.array(list(itertools.product((1.0, -1.0), repeat=count)))
        return _share(np.abs(signs @ differences), abs(float(differences.sum()))), 2 / 2**count
    signs = np.random.default_rng(0).choice((1.0, -1.0), (_DRAWS, count))
    as_large = _count(np.abs(signs @ differences), abs(float(differences.sum())))
    return (1 + as_large) / (1 + _DRAWS), 1 / (1 + _DRAWS)


def rank_sum(a: Floats, b: Floats) -> tuple[float, float]:
    """Return the two-sided p value of a difference in rank sums under random grouping, and the smallest one possible.

    Mann and Whitney 1947; ties share their ranks. All groupings are looked at, or a seeded sample of them.
    """
    both = ranks(np.concatenate((a, b)))
    middle = len(a) * (len(both) + 1) / 2
    observed = abs(float(both[: len(a)].sum()) - middle)
    ways = math.comb(len(both), len(a))
    if ways <= _EXACT:
        groups = np.array(list(itertools.combinations(range(len(both)), len(a))))
        return _share(np.abs(both[groups].sum(axis=1) - middle), observed), min(1.0, 2 / ways)
    rng = np.random.default_rng(0)
    sums = np.array([rng.permutation(both)[: len(a)].sum() for _ in range(_DRAWS)])
    return (1 + _count(np.abs(sums - middle), observed)) / (1 + _DRAWS), 1 / (1 + _DRAWS)


def _count(statistics: Floats, observed: float) -> int:
    return int((statistics >= observed - _TIE * max(1.0, observed)).sum())


def _share(statistics: Floats, observed: float) -> float:
    return _count(statistics, observed) / len(statistics)


def _contrast(a: Arm, b: Arm, budget: int) -> Contrast:
    x, y = a.volumes[:, budget - 1], b.volumes[:, budget - 1]
    difference = float(x.mean() - y.mean())
    if _paired(a, b):
        p, least = sign_flip(x - y)
        low, high = interval(x - y) or (difference, difference)
        return Contrast(a.letter, b.letter, "paired", difference, low, high, p, p, least)
    p, least = rank_sum(x, y)
    half = _welch(x, y)
    return Contrast(a.letter, b.letter, "ranks", difference, difference - half, difference + half, p, p, least)


def _paired(a: Arm, b: Arm) -> bool:
    """Return whether both arms have the same seeds, each once; trials are sorted by seed."""
    seeds: Sequence[int] = [trial.seed for trial in a.trials]
    return len(set(seeds)) == len(seeds) and seeds == [trial.seed for trial in b.trials]


def _welch(x: Floats, y: Floats) -> float:
    """Return half the width of the 95 % interval of a difference in means, unequal variances (Welch 1947)."""
    u, v = x.var(ddof=1) / len(x), y.var(ddof=1) / len(y)
    if u + v == 0:
        return 0.0
    degrees = (u + v) ** 2 / (u**2 / (len(x) - 1) + v**2 / (len(y) - 1))
    return quantile(0.95, float(degrees)) * math.sqrt(u + v)
