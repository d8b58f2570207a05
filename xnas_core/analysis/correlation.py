"""Rank correlations of objectives with what networks cost: parameters, compute, time, generalisation gap."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist

import numpy as np

from xnas_core.analysis.significance import Floats, holm
from xnas_core.analysis.student import two_sided_p
from xnas_core.search.view import CandidateRecord, CandidateState, SearchView

COSTS = ("parameters", "macs", "train_seconds", "generalization_gap")
"""What each objective is compared with, where it is known and is not the objective itself."""
LEVEL = 0.95
_FEWEST = 4
_EXACT = 8
"""Candidates up to which all orders are looked at: 40,320 of them."""
_TIE = 1e-9


@dataclass(frozen=True, slots=True)
class Correlation:
    """Spearman's rank correlation of two quantities over the scored candidates.

    Attributes:
        objective, cost: names.
        count: candidates that have both values.
        rho: the correlation, -1 to 1.
        low, high: 95 % interval.
        p: two-sided p value of "no monotonic relation".
        corrected: that, corrected for all pairs by Holm 1979.
    """

    objective: str
    cost: str
    count: int
    rho: float
    low: float
    high: float
    p: float
    corrected: float


def correlations(view: SearchView) -> tuple[Correlation, ...]:
    """Return the correlation of each objective with each cost. Pairs that do not vary, or are too few, are left out.

    The candidates of a search are no random sample of its space: it samples more where objectives are good, and
    relatives resemble each other. So intervals and p values describe these candidates and are too narrow for the space.
    """
    scored = [c for c in view.candidates if c.state is CandidateState.SUCCEEDED]
    found = []
    for place, objective in enumerate(view.spec.objectives):
        for cost in COSTS:
            if cost in (objective.name, objective.metric_name):
                continue
            pairs = [
                (value, price)
                for c in scored
                if (value := c.objectives[place]) is not None and (price := _quantity(c, cost)) is not None
            ]
            made = _correlation(objective.name, cost, pairs)
            if made is not None:
                found.append(made)
    adjusted = holm(np.array([c.p for c in found]))
    return tuple(replace(c, corrected=float(p)) for c, p in zip(found, adjusted, strict=True))


def ranks(values: Floats) -> Floats:
    """Return the ranks from 1; equal values share the mean of theirs."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    result: Floats = (ends - (counts - 1) / 2)[place]
    return result


def spearman(x: Floats, y: Floats) -> float | None:
    """Return the rank correlation, ties included (Pearson's of the ranks); None where one does not vary."""
    a, b = ranks(x) - (len(x) + 1) / 2, ranks(y) - (len(y) + 1) / 2
    scale = math.sqrt(float(a @ a) * float(b @ b))
    return max(-1.0, min(1.0, float(a @ b) / scale)) if scale else None


def spread(rho: float, count: int, level: float = LEVEL) -> tuple[float, float]:
    """Return an interval of Spearman's rho: Fisher's z with variance (1 + rho^2 / 2) / (n - 3).

    Source: Bonett and Wright 2000, "Sample size requirements for estimating Pearson, Kendall and Spearman
    correlations", which found it close to its level up to |rho| = 0.95. A perfect correlation of a few candidates is
    no certainty: its interval goes from 1 to where that of the next smaller one, 1 - 12 / (n^3 - n), ends.
    """
    if abs(rho) >= 1:
        end = spread(1 - 12 / (count**3 - count), count, level)[0]
        return (end, 1.0) if rho > 0 else (-1.0, -end)
    half = NormalDist().inv_cdf((1 + level) / 2) * math.sqrt((1 + rho * rho / 2) / (count - 3))
    return math.tanh(math.atanh(rho) - half), math.tanh(math.atanh(rho) + half)


def _correlation(objective: str, cost: str, pairs: Sequence[tuple[float, float]]) -> Correlation | None:
    count = len(pairs)
    if count < _FEWEST:
        return None
    columns = np.array(pairs, dtype=np.float64).T
    rho = spearman(columns[0], columns[1])
    if rho is None:
        return None
    p = p_value(columns[0], columns[1], rho)
    low, high = spread(rho, count)
    return Correlation(objective, cost, count, rho, low, high, p, p)


def p_value(x: Floats, y: Floats, rho: float) -> float:
    """Return the two-sided p value of Spearman's rho of (N,) series, N at least 3, under random order; never 0.

    Up to 8 values all orders are looked at (Hotelling and Pabst 1936). With more it is that of
    t = rho sqrt((n - 2) / (1 - rho^2)) with n - 2 degrees of freedom (Kendall and Stuart 1973, 31.19), and for
    |rho| = 1 at most 2 prod(t_i!) / n!, ties of t_i values being no different orders.
    """
    count = len(x)
    if count <= _EXACT:
        a, b = ranks(x) - (count + 1) / 2, ranks(y) - (count + 1) / 2
        found = np.abs(b[list(itertools.permutations(range(count)))] @ a)
        return float((found >= abs(float(a @ b)) - _TIE).mean())
    if abs(rho) < 1:
        return two_sided_p(rho * math.sqrt((count - 2) / (1 - rho * rho)), count - 2)
    ties = np.unique(x, return_counts=True)[1].tolist()
    return min(1.0, 2 * math.exp(sum(math.lgamma(tie + 1) for tie in ties) - math.lgamma(count + 1)))


def _quantity(record: CandidateRecord, name: str) -> float | None:
    value = record.metrics.get(name, record.timings.get(name))
    return value if value is not None and math.isfinite(value) else None
