"""NSGA-II (Deb et al. 2002) on arrays: pymoo's operators without its objects, and the only import of pymoo.

Objectives are minimised. A row of `values` is one candidate, `violation` its constraint violation (0: feasible).
Every function is pure; randomness comes from the generator that is given. Ties are broken by position, never by chance.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pymoo.operators.crossover.sbx import cross_sbx
from pymoo.operators.mutation.pm import mut_pm
from pymoo.util.misc import crossover_mask
from pymoo.util.nds.non_dominated_sorting import NonDominatedSorting

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

_SBX_EXCHANGE = 0.5
"""Probability that a gene takes part in simulated binary crossover, and that its children swap (as pymoo's)."""


@dataclass(frozen=True, slots=True)
class Ranking:
    """Quality of each candidate of a population: a lower rank is better, then a larger crowding distance."""

    rank: Ints
    crowding: Floats


def rank(values: Floats, violation: Floats) -> Ranking:
    """Return the ranks by constrained domination, and the crowding distances within each rank.

    Feasible candidates are sorted by domination. Infeasible ones come after them, each violation a rank of its own.

    Args:
        values: (n, m) objectives.
        violation: (n,) constraint violations.

    Raises:
        ValueError: a value is not finite. (Infinity would silently count as very bad.)
    """
    if not (np.isfinite(values).all() and np.isfinite(violation).all()):
        raise ValueError("objective values and violations must be finite")
    ranks = np.zeros(len(values), dtype=np.int64)
    feasible = np.flatnonzero(violation <= 0)
    fronts = NonDominatedSorting().do(values[feasible]) if len(feasible) else []
    for number, front in enumerate(fronts):
        ranks[feasible[front]] = number
    infeasible = np.flatnonzero(violation > 0)
    if len(infeasible):
        _, level = np.unique(violation[infeasible], return_inverse=True)
        ranks[infeasible] = len(fronts) + level
    return Ranking(ranks, crowding(values, ranks))


def crowding(values: Floats, ranks: Ints) -> Floats:
    """Return each candidate's crowding distance within its rank: pymoo's, but for all ranks in one go.

    The mean over the objectives of the gap between the two neighbours, relative to the rank's span. The ends of a rank
    and ranks of one or two have infinity. An objective that all of a rank have the same value of counts nothing.

    Args:
        values: (n, m) objectives.
        ranks: (n,) ranks, from 0 without gaps.
    """
    count, objectives = values.shape
    total = np.zeros(count)
    if count == 0:
        return total
    for column in values.T:
        order = np.lexsort((column, ranks))
        ranked, sorted_ = ranks[order], column[order]
        last = np.flatnonzero(np.concatenate((ranked[1:] != ranked[:-1], (True,))))
        first = np.concatenate(((0,), last[:-1] + 1))
        before, after = np.empty(count), np.empty(count)
        before[1:] = after[:-1] = sorted_[1:] - sorted_[:-1]
        before[first] = after[last] = np.inf
        span = (sorted_[last] - sorted_[first])[ranked]
        gaps = before + after
        gaps[span == 0] = 0.0
        span[span == 0] = 1.0
        total[order] += gaps / span
    total /= objectives
    total[np.bincount(ranks)[ranks] <= 2] = np.inf
    return total


def survivors(values: Floats, violation: Floats, count: int) -> tuple[Ints, Ranking]:
    """Return the positions of the `count` best candidates, best first, and their ranking among themselves.

    Ranks need no second sorting: whoever beats a survivor survives too, so survivors keep the ranks that they had.
    """
    ranking = rank(values, violation)
    order = np.lexsort((np.arange(len(values)), -ranking.crowding, ranking.rank))[:count]
    ranks = ranking.rank[order]
    return order, Ranking(ranks, crowding(values[order], ranks))


def tournament(rng: np.random.Generator, ranking: Ranking, pairs: int) -> Ints:
    """Return (2, pairs) positions of parents, each the winner of a binary tournament.

    Candidates meet in random permutations, so that all take part equally often. A tie goes to the one drawn first.
    """
    population = len(ranking.rank)
    needed = 4 * pairs
    rounds = -(-needed // population)
    drawn = np.concatenate([rng.permutation(population) for _ in range(rounds)])[:needed]
    first, second = drawn.reshape(-1, 2).T
    worse = (ranking.rank[first] > ranking.rank[second]) | (
        (ranking.rank[first] == ranking.rank[second]) & (ranking.crowding[first] < ranking.crowding[second])
    )
    return np.where(worse, second, first).reshape(2, pairs)


def cross_uniform(rng: np.random.Generator, parents: Ints, probability: float) -> tuple[Ints, Bools]:
    """Return (2, n, genes) children of (2, n, genes) parents, and which pairs were crossed: each gene swaps or not."""
    _, pairs, genes = parents.shape
    crossed: Bools = np.less(rng.random(pairs), probability)
    swap = (rng.random((pairs, genes)) < 0.5) & crossed[:, None]
    return np.asarray(crossover_mask(parents, swap), dtype=np.int64), crossed


def cross_binary(
    rng: np.random.Generator, parents: Ints, cardinalities: Ints, probability: float, eta: float
) -> tuple[Ints, Bools]:
    """Return children by simulated binary crossover (Deb and Agrawal 1995), rounded, and who was crossed."""
    _, pairs, genes = parents.shape
    crossed: Bools = np.less(rng.random(pairs), probability)
    children = parents.astype(np.float64)
    if crossed.any():
        mated = cross_sbx(
            children[:, crossed],
            np.zeros(genes),
            (cardinalities - 1).astype(np.float64),
            np.full((int(crossed.sum()), 1), eta),
            _SBX_EXCHANGE,
            np.full((int(crossed.sum()), 1), _SBX_EXCHANGE),
            random_state=rng,
        )
        children[:, crossed] = mated
    return _whole(children, cardinalities), crossed


def mutate_uniform(rng: np.random.Generator, genes: Ints, cardinalities: Ints, probability: float) -> Ints:
    """Return (n, genes) with each gene changed, with `probability`, to another of its values, all equally likely."""
    chosen = rng.random(genes.shape) < probability
    steps = rng.integers(1, np.maximum(cardinalities, 2), size=genes.shape)
    return np.where(chosen, (genes + steps) % cardinalities, genes)


def mutate_one(rng: np.random.Generator, genes: Ints, cardinalities: Ints) -> Ints:
    """Return (n, genes) with exactly one gene of each row changed to another value (Real et al. 2019)."""
    changeable = np.flatnonzero(cardinalities > 1)
    if len(changeable) == 0:
        return genes.copy()
    places = changeable[rng.integers(0, len(changeable), size=len(genes))]
    steps = rng.integers(1, cardinalities[places])
    children = genes.copy()
    rows = np.arange(len(genes))
    children[rows, places] = (genes[rows, places] + steps) % cardinalities[places]
    return children


def mutate_polynomial(
    rng: np.random.Generator, genes: Ints, cardinalities: Ints, probability: float, eta: float
) -> Ints:
    """Return (n, genes) after polynomial mutation (Deb and Goyal 1996), rounded to integers."""
    count, width = genes.shape
    mutated = mut_pm(
        genes.astype(np.float64),
        np.zeros(width),
        (cardinalities - 1).astype(np.float64),
        np.full(count, eta),
        np.full(count, probability),
        at_least_once=False,
        random_state=rng,
    )
    return _whole(np.asarray(mutated, dtype=np.float64), cardinalities)


def _whole(genes: Floats, cardinalities: Ints) -> Ints:
    return np.clip(np.rint(genes), 0, cardinalities - 1).astype(np.int64)
