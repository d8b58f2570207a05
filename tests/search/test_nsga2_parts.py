"""The parts of NSGA-II against slow, obvious ones, and against pymoo's own."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymoo.operators.survival.rank_and_crowding.metrics import calc_crowding_distance

from xnas_core.search import nsga2

Point = tuple[float, ...]

# Few different values, so that ties and equal points are common.
POPULATIONS = st.integers(1, 4).flatmap(
    lambda m: st.lists(st.tuples(*[st.integers(0, 4).map(float)] * m), min_size=1, max_size=24)
)

VIOLATIONS = st.sampled_from([0.0, 0.0, 0.5, 2.0])


def _dominates(a: Point, b: Point) -> bool:
    return all(x <= y for x, y in zip(a, b, strict=True)) and a != b


def _slow_ranks(points: list[Point], violation: list[float]) -> list[int]:
    """Peel the population: whoever nobody left beats has the next rank."""

    def beats(i: int, j: int) -> bool:
        if violation[i] != violation[j]:
            return violation[i] < violation[j]
        return violation[i] == 0 and _dominates(points[i], points[j])

    left, ranks, number = set(range(len(points))), [0] * len(points), 0
    while left:
        best = {j for j in left if not any(beats(i, j) for i in left)}
        for j in best:
            ranks[j] = number
        left -= best
        number += 1
    return ranks


@given(POPULATIONS, st.data())
def test_ranks_are_those_of_constrained_domination(points: list[Point], data: st.DataObject) -> None:
    violation = data.draw(st.lists(VIOLATIONS, min_size=len(points), max_size=len(points)))
    ranking = nsga2.rank(np.asarray(points), np.asarray(violation))
    assert ranking.rank.tolist() == _slow_ranks(points, violation)


@given(POPULATIONS)
def test_crowding_within_a_rank_is_pymoos(points: list[Point]) -> None:
    values = np.asarray(points)
    ranking = nsga2.rank(values, np.zeros(len(values)))
    for number in range(int(ranking.rank.max()) + 1):
        members = np.flatnonzero(ranking.rank == number)
        if len(members) <= 2:
            assert np.isinf(ranking.crowding[members]).all()
            continue
        with np.errstate(invalid="ignore"):
            expected = calc_crowding_distance(values[members])
        assert ranking.crowding[members].tolist() == pytest.approx(np.nan_to_num(expected, posinf=np.inf).tolist())


@given(POPULATIONS, st.data())
def test_survivors_are_the_best_in_rank_then_crowding(points: list[Point], data: st.DataObject) -> None:
    values = np.asarray(points)
    violation = np.asarray(data.draw(st.lists(VIOLATIONS, min_size=len(points), max_size=len(points))))
    count = data.draw(st.integers(1, len(points)))
    ranking = nsga2.rank(values, violation)
    expected = sorted(range(len(points)), key=lambda i: (ranking.rank[i], -ranking.crowding[i], i))[:count]
    kept, among_themselves = nsga2.survivors(values, violation, count)
    assert kept.tolist() == expected
    # Bit by bit what ranking them anew gives: a search that was resumed does that, and must breed the same.
    anew = nsga2.rank(values[kept], violation[kept])
    assert among_themselves.rank.tolist() == anew.rank.tolist()
    assert among_themselves.crowding.tolist() == anew.crowding.tolist()


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_a_value_that_is_not_finite_is_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        nsga2.rank(np.asarray([[1.0, 2.0], [bad, 0.0]]), np.zeros(2))
    with pytest.raises(ValueError, match="finite"):
        nsga2.rank(np.asarray([[1.0, 2.0]]), np.asarray([bad]))


def test_the_better_wins_its_tournament() -> None:
    ranking = nsga2.Ranking(np.asarray([0, 1, 1]), np.asarray([1.0, 5.0, 2.0]))
    wins = Counter(nsga2.tournament(np.random.default_rng(0), ranking, 600).ravel().tolist())
    assert wins[0] > wins[1] > wins[2]


CARDINALITIES = st.lists(st.integers(1, 6), min_size=1, max_size=8)


@given(CARDINALITIES, st.integers(0, 2**32), st.integers(1, 12), st.floats(0, 1))
def test_uniform_crossover_only_swaps(cards: list[int], seed: int, pairs: int, probability: float) -> None:
    rng = np.random.default_rng(seed)
    parents = rng.integers(0, cards, size=(2, pairs, len(cards)))
    children, crossed = nsga2.cross_uniform(rng, parents, probability)
    assert np.array_equal(np.sort(children, axis=0), np.sort(parents, axis=0))
    assert np.array_equal(children[:, ~crossed], parents[:, ~crossed])


@given(CARDINALITIES, st.integers(0, 2**32), st.integers(1, 12), st.floats(0, 1))
def test_other_operators_stay_in_the_space(cards: list[int], seed: int, count: int, probability: float) -> None:
    rng, bounds = np.random.default_rng(seed), np.asarray(cards)
    parents = rng.integers(0, cards, size=(2, count, len(cards)))
    children, crossed = nsga2.cross_binary(rng, parents, bounds, probability, eta=3.0)
    mutated = nsga2.mutate_polynomial(rng, parents[0], bounds, probability, eta=3.0)
    uniform = nsga2.mutate_uniform(rng, parents[0], bounds, probability)
    for genes in (*children, mutated, uniform):
        assert genes.shape == (count, len(cards))
        assert ((genes >= 0) & (genes < bounds)).all()
    assert np.array_equal(children[:, ~crossed], parents[:, ~crossed])


def test_uniform_mutation_changes_as_often_as_asked_and_to_all_other_values_alike() -> None:
    rng, cards = np.random.default_rng(3), np.asarray([4, 2, 1])
    genes = np.zeros((20_000, 3), dtype=np.int64)
    mutated = nsga2.mutate_uniform(rng, genes, cards, 0.3)
    assert (mutated[:, 0] != 0).mean() == pytest.approx(0.3, abs=0.02)
    assert (mutated[:, 1] != 0).mean() == pytest.approx(0.3, abs=0.02)
    assert (mutated[:, 2] == 0).all()
    shares = np.bincount(mutated[:, 0], minlength=4)[1:] / (mutated[:, 0] != 0).sum()
    assert shares.tolist() == pytest.approx([1 / 3] * 3, abs=0.03)


@given(CARDINALITIES, st.integers(0, 2**32), st.integers(1, 12))
def test_mutate_one_changes_one_gene(cards: list[int], seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    genes = rng.integers(0, cards, size=(count, len(cards)))
    changed = (nsga2.mutate_one(rng, genes, np.asarray(cards)) != genes).sum(axis=1)
    assert set(changed.tolist()) == ({1} if max(cards) > 1 else {0})


def test_no_operator_draws_from_numpys_shared_generator() -> None:
    np.random.seed(7)  # the shared generator is what must stay untouched
    before = np.random.get_state()[1].tolist()  # type: ignore[index]  # numpy types the legacy state loosely
    rng, cards = np.random.default_rng(1), np.asarray([5] * 6)
    parents = rng.integers(0, cards, size=(2, 8, 6))
    nsga2.cross_uniform(rng, parents, 0.9)
    nsga2.cross_binary(rng, parents, cards, 0.9, 3.0)
    nsga2.mutate_polynomial(rng, parents[0], cards, 0.2, 3.0)
    nsga2.mutate_uniform(rng, parents[0], cards, 0.2)
    assert np.random.get_state()[1].tolist() == before  # type: ignore[index]  # as above
