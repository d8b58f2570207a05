"""Motif counts and p values against slow and obvious implementations."""

from __future__ import annotations

import itertools
from fractions import Fraction
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xnas_core.analysis.motifs import SUPPORT, Motif, MotifStudy, free_between, study
from xnas_core.analysis.population import Population, neighbours_of, population_of
from xnas_core.analysis.significance import ExactTest, corrected, holm, two_sided
from xnas_core.plugins import PluginKind, load
from xnas_core.search.view import SearchState
from xnas_core.spaces.base import DataShape
from xnas_core.testing.sample_search import sample_search

EDGES = ("edge 0-1", "edge 0-2", "edge 1-2", "edge 0-3", "edge 1-3", "edge 2-3")


def population(genes: np.ndarray, front: np.ndarray, names: tuple[str, ...] = EDGES, kinds: int = 3) -> Population:
    labels = tuple(tuple(f"op{v}" for v in range(kinds)) for _ in names)
    return Population(genes.astype(np.int64), front.astype(bool), names, labels, neighbours_of(names))


def made_up(scored: int, members: int, seed: int = 0, kinds: int = 3) -> Population:
    rng = np.random.default_rng(seed)
    front = np.zeros(scored, dtype=bool)
    front[rng.choice(scored, members, replace=False)] = True
    return population(rng.integers(0, kinds, (scored, 6)), front, kinds=kinds)


def brute_force(people: Population, largest: int) -> dict[tuple[tuple[int, int], ...], tuple[int, int]]:
    """Count every connected pattern of edges and wildcards by looking at every candidate, from the words' meaning."""
    edges = [tuple(name.removeprefix("edge ").split("-")) for name in people.names]
    found = {}
    for shape in itertools.product((*range(3), "free", "absent"), repeat=len(edges)):
        present = [e for e, kind in zip(edges, shape, strict=True) if kind != "absent"]
        fixed = tuple((g, k) for g, k in enumerate(shape) if isinstance(k, int))
        free = sum(kind == "free" for kind in shape)
        if not fixed or len(fixed) > largest or free > 1 or not in_one_piece(present):
            continue
        rows = [all(row[g] == k for g, k in fixed) for row in people.genes.tolist()]
        everyone = sum(rows)
        if SUPPORT <= everyone <= people.scored - SUPPORT:
            front = sum(has and member for has, member in zip(rows, people.front.tolist(), strict=True))
            found[fixed] = (front, everyone)
    return found


def in_one_piece(edges: list[tuple[str, ...]]) -> bool:
    pieces = [{node} for node in {n for e in edges for n in e}]
    for a, b in edges:
        one = next(p for p in pieces if a in p)
        other = next(p for p in pieces if b in p)
        if one is not other:
            pieces.remove(other)
            one |= other
    return len(pieces) == 1


def counted(result: MotifStudy) -> dict[tuple[tuple[int, int], ...], tuple[int, int]]:
    return {tuple(zip(m.genes, m.values, strict=True)): (m.front, m.everyone) for m in result.motifs}


@pytest.mark.parametrize(("scored", "members", "largest"), [(40, 9, 2), (45, 8, 3)])
def test_counts_are_those_of_every_connected_pattern_looked_at_one_by_one(
    scored: int, members: int, largest: int
) -> None:
    people = made_up(scored, members, seed=scored)
    result = study(people, 1, largest)
    assert counted(result) == brute_force(people, largest)
    assert result.tested == len(result.motifs) > 50
    assert (result.scored, result.members, result.largest) == (scored, members, largest)


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 300), st.data())
def test_exact_p_values_are_the_hypergeometric_tails(scored: int, data: st.DataObject) -> None:
    having, members = data.draw(st.integers(1, scored)), data.draw(st.integers(1, scored))
    p = two_sided(having, scored, members)
    counts = list(range(max(0, having + members - scored), min(having, members) + 1))
    ways = [Fraction(comb(having, k) * comb(scored - having, members - k), comb(scored, members)) for k in counts]
    wanted = [float(min(1, 2 * min(sum(ways[: i + 1]), sum(ways[i:])))) for i in range(len(counts))]
    np.testing.assert_allclose(p[counts], wanted, rtol=1e-8, atol=1e-12)


def test_the_exact_p_value_is_the_share_of_all_fronts_that_are_as_extreme() -> None:
    has = np.array([1, 1, 1, 0, 0, 0, 0, 0])
    fronts = list(itertools.combinations(range(8), 3))
    counts = np.array([has[list(front)].sum() for front in fronts])
    assert len(fronts) == comb(8, 3)
    for k in range(4):
        tails = min((counts <= k).mean(), (counts >= k).mean())
        assert two_sided(3, 8, 3)[k] == pytest.approx(min(1, 2 * tails))


def test_corrected_p_values_are_the_distribution_of_the_smallest_over_all_fronts() -> None:
    # Few enough candidates to look at every front that there is.
    people = made_up(9, 3, seed=4, kinds=2)
    codes = people.genes + 2 * np.arange(6)
    everyone = np.bincount(codes.ravel(), minlength=12)
    test = ExactTest(everyone, 9, 3)
    observed = test.p_values(np.bincount(codes[people.front].ravel(), minlength=12))
    least = [
        test.p_values(np.bincount(codes[list(front)].ravel(), minlength=12)).min()
        for front in itertools.combinations(range(9), 3)
    ]
    wanted = np.array([np.mean(np.array(least) <= p * 1.0000001) for p in observed])
    drawn = corrected(codes, everyone, 3, observed, 4000, seed=3)
    np.testing.assert_allclose(drawn, wanted, atol=0.03)
    assert (drawn >= observed - 0.03).all()


def test_without_a_real_difference_false_discoveries_are_as_rare_as_promised() -> None:
    alarms = 0
    for seed in range(40):
        result = study(made_up(120, 20, seed=seed), seed, largest=2)
        alarms += any(m.corrected <= 0.05 for m in result.motifs)
    # 40 fronts drawn at random: 2 alarms expected; more than 7 has a chance of 1 in 1000.
    assert alarms <= 7


def test_a_planted_motif_is_found_and_what_it_displaces_is_under_represented() -> None:
    rng = np.random.default_rng(5)
    genes = rng.integers(0, 3, (400, 6))
    planted = (genes[:, 0] == 2) & (genes[:, 5] == 1)
    front = planted & (rng.random(400) < 0.8)
    result = study(population(genes, front), 9)
    first = result.found(over=True, limit=5)[0]
    assert (first.genes, first.values) == ((0, 5), (2, 1))
    # Edges 0-1 and 2-3 share no node: 1-2 joins them, whatever it is.
    assert first.free == (2,)
    assert first.front == int(front.sum())
    assert first.lift > 4
    assert all(m.front < m.expected for m in result.found(over=False, limit=50))
    assert result.found(over=False, limit=50)


def test_a_motif_that_only_repeats_a_part_of_it_is_not_listed() -> None:
    rng = np.random.default_rng(8)
    genes = rng.integers(0, 3, (500, 6))
    result = study(population(genes, (genes[:, 3] == 0) & (rng.random(500) < 0.5)), 2)
    listed = result.found(over=True, limit=100)
    assert ((3,), (0,)) in {(m.genes, m.values) for m in listed}
    single = next(m for m in listed if m.genes == (3,))
    for motif in listed:
        if motif is not single and 3 in motif.genes:
            assert motif.lift > single.lift


def test_the_same_seed_gives_the_same_study() -> None:
    people = made_up(200, 30)
    assert study(people, 7) == study(people, 7)


@pytest.mark.parametrize("members", [0, 50])
def test_nothing_is_tested_without_a_difference_to_test(members: int) -> None:
    result = study(made_up(50, members), 0)
    assert result.motifs == ()
    assert result.found(over=True, limit=5) == ()


def test_genes_touch_where_their_edges_or_stages_do() -> None:
    cell = neighbours_of(EDGES)
    assert cell[0] == {1, 2, 3, 4}
    assert 5 not in cell[0]
    chain = neighbours_of([f"stage {s} {name}" for s in (1, 2, 3) for name in ("depth", "kernel")])
    assert chain[0] == {1, 2, 3}
    assert chain[2] == {0, 1, 3, 4, 5}
    assert neighbours_of(["a", "b", "c"])[0] == {1, 2}
    assert free_between((0, 4), chain) == (2,)
    assert free_between((0, 5), cell) == (2,)
    assert free_between((0,), cell) == ()


def test_sixteen_thousand_candidates_are_within_bounds_of_work() -> None:
    # Bounds of memory and work, not of time: sizes of tables and numbers of draws follow from the constants.
    result = study(made_up(16_000, 300, kinds=5), 1)
    assert result.largest == 4
    assert result.tested > 5_000
    assert len(result.motifs) == 2_000
    assert 200 <= result.draws <= 2_000


def test_a_chain_of_stages_is_studied_alike() -> None:
    names = tuple(f"stage {s} {name}" for s in range(1, 6) for name in "abcde")
    rng = np.random.default_rng(0)
    genes = rng.integers(0, 3, (4_000, 25))
    front = (genes[:, 2] == 1) & (genes[:, 8] == 0) & (rng.random(4_000) < 0.4)
    result = study(population(genes, front, names), 1)
    assert result.largest >= 2
    first = result.found(over=True, limit=3)[0]
    assert set(zip(first.genes, first.values, strict=True)) == {(2, 1), (8, 0)}


def test_a_real_view_becomes_a_population() -> None:
    view = sample_search(150, state=SearchState.RUNNING).view
    space = load(PluginKind.SPACE, "nas-bench-201")({}, DataShape(3, 32, 32, 10))
    people = population_of(view, space)
    assert people.scored == sum(c.state == "succeeded" for c in view.candidates)
    assert people.members == len(view.front)
    assert people.labels[0][0] == "nor_conv_3x3"
    result = study(people, 0)
    assert all(isinstance(m, Motif) and m.expected > 0 for m in result.motifs)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_is_never_smaller_and_keeps_the_order(values: list[float]) -> None:
    given_values = np.array(values)
    result = holm(given_values)
    assert (result >= given_values - 1e-12).all()
    order = np.argsort(given_values, kind="stable")
    assert (np.diff(result[order]) >= 0).all()
    assert result[order[0]] == pytest.approx(min(1, len(values) * given_values.min()))
    assert np.isnan(holm(np.array([np.nan, 0.2]))[0])
