"""Student's t, rank correlations and intervals against slow and obvious implementations."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xnas_core.analysis.correlation import correlations, p_value, ranks, spearman, spread
from xnas_core.analysis.student import interval, quantile, two_sided_p
from xnas_core.search.view import CandidateState
from xnas_core.testing.sample_search import sample_search

SAMPLE = sample_search(200).view


def tail(t: float, degrees: float) -> float:
    """P(|T| >= t) by adding up the density; x = t + u / (1 - u) brings infinity to 1."""
    u = (np.arange(400_000) + 0.5) / 400_000
    x = t + u / (1 - u)
    log_c = math.lgamma((degrees + 1) / 2) - math.lgamma(degrees / 2) - 0.5 * math.log(degrees * math.pi)
    density = np.exp(log_c - (degrees + 1) / 2 * np.log1p(x * x / degrees))
    return float(2 * (density / (1 - u) ** 2).mean())


@pytest.mark.parametrize("degrees", [2, 3, 7, 30, 498])
@pytest.mark.parametrize("t", [0.1, 1.0, 2.3, 6.0])
def test_tails_are_the_integral_of_the_density(t: float, degrees: float) -> None:
    assert two_sided_p(t, degrees) == pytest.approx(tail(t, degrees), rel=1e-5)


def test_tails_and_quantiles_of_published_tables() -> None:
    for degrees, wanted in [(1, 12.7062), (4, 2.7764), (9, 2.2622), (14, 2.1448), (1e6, 1.9600)]:
        assert quantile(0.95, degrees) == pytest.approx(wanted, abs=1e-4)
    assert two_sided_p(0.0, 5) == pytest.approx(1)
    assert two_sided_p(-2.0, 5) == two_sided_p(2.0, 5)


@given(st.floats(0.01, 0.999), st.integers(1, 300))
def test_a_quantile_is_the_inverse_of_the_tail(probability: float, degrees: int) -> None:
    assert 1 - two_sided_p(quantile(probability, degrees), degrees) == pytest.approx(probability, abs=1e-9)


def test_an_interval_covers_the_mean_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    covered = 0
    for _ in range(400):
        found = interval(rng.normal(3, 2, 5))
        assert found is not None
        covered += found[0] <= 3 <= found[1]
    assert 0.92 <= covered / 400 <= 0.98
    assert interval(np.array([1.0])) is None


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(-4, 4), st.integers(-4, 4)), min_size=2, max_size=25))
def test_spearman_is_pearson_of_ranks_counted_one_by_one(pairs: list[tuple[int, int]]) -> None:
    def rank(values: list[int]) -> list[float]:
        return [sum(w < v for w in values) + (sum(w == v for w in values) + 1) / 2 for v in values]

    xs, ys = ([p[k] for p in pairs] for k in (0, 1))
    a, b = rank(xs), rank(ys)
    assert ranks(np.array(xs, dtype=float)).tolist() == a
    found = spearman(np.array(xs, dtype=float), np.array(ys, dtype=float))
    if len(set(xs)) == 1 or len(set(ys)) == 1:
        assert found is None
    else:
        assert found == pytest.approx(float(np.corrcoef(a, b)[0, 1]), abs=1e-12)


def test_intervals_of_rho_shrink_with_more_candidates_and_stay_within_bounds() -> None:
    narrow, wide = spread(0.6, 500), spread(0.6, 20)
    assert wide[0] < narrow[0] < 0.6 < narrow[1] < wide[1] < 1
    # By hand: atanh 0.6 = 0.693147, half width 1.959964 sqrt(1.18 / 17) = 0.516370.
    assert wide == pytest.approx((math.tanh(0.176777), math.tanh(1.209517)), abs=1e-5)


def test_objectives_are_compared_with_costs_and_never_with_themselves() -> None:
    found = correlations(SAMPLE)
    pairs = {(c.objective, c.cost) for c in found}
    costs = ("parameters", "macs", "train_seconds", "generalization_gap")
    assert pairs == {(o, cost) for o in ("accuracy", "introspectability") for cost in costs}
    scored = [c for c in SAMPLE.candidates if c.state is CandidateState.SUCCEEDED]
    for c in found:
        assert c.count == len(scored)
        assert c.low <= c.rho <= c.high
        assert c.corrected >= c.p
    with_macs = correlations(sample_search(60, objectives=("accuracy", "macs")).view)
    assert ("macs", "macs") not in {(c.objective, c.cost) for c in with_macs}


def test_what_is_unknown_constant_or_too_few_is_left_out() -> None:
    flat = tuple(replace(c, metrics={**c.metrics, "parameters": 7.0}) for c in SAMPLE.candidates)
    assert "parameters" not in {c.cost for c in correlations(replace(SAMPLE, candidates=flat))}
    assert correlations(replace(SAMPLE, candidates=SAMPLE.candidates[:3])) == ()
    assert correlations(replace(SAMPLE, candidates=())) == ()


def test_a_permutation_of_one_column_gives_the_same_p_value_as_the_formula() -> None:
    rng = np.random.default_rng(2)
    x = rng.normal(size=30)
    y = 0.35 * x + rng.normal(size=30)
    rho = spearman(x, y)
    assert rho is not None
    drawn = [abs(spearman(x, rng.permutation(y)) or 0.0) >= abs(rho) for _ in range(2_000)]
    formula = two_sided_p(rho * math.sqrt(28 / (1 - rho * rho)), 28)
    assert np.mean(drawn) == pytest.approx(formula, abs=0.025)


def test_a_perfect_correlation_of_a_few_is_no_certainty() -> None:
    """Of four values in order: 2 of 24 orders are as extreme."""
    four = np.arange(4.0)
    assert p_value(four, four, 1.0) == pytest.approx(2 / 24)
    assert p_value(four, -four, -1.0) == pytest.approx(2 / 24)
    assert p_value(np.arange(12.0), np.arange(12.0), 1.0) == pytest.approx(2 / math.factorial(12))
    low, high = spread(1.0, 4)
    assert low < 0
    assert high == 1
    assert spread(-1.0, 4) == (-1.0, -low)
    assert spread(1.0, 100)[0] > 0.999


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=4, max_size=6))
def test_few_values_are_compared_with_all_their_orders(pairs: list[tuple[int, int]]) -> None:
    x, y = np.array(pairs, dtype=np.float64).T
    rho = spearman(x, y)
    if rho is not None:
        others = [spearman(x, y[list(order)]) or 0.0 for order in itertools.permutations(range(len(x)))]
        wanted = sum(abs(other) >= abs(rho) - 1e-12 for other in others) / len(others)
        assert p_value(x, y, rho) == pytest.approx(wanted)


def test_p_values_of_ties_in_order_are_never_zero() -> None:
    x = np.array([0.0] * 9 + [1.0])
    assert p_value(x, x, 1.0) == pytest.approx(0.2)
