"""The estimate of the time left: exact where the pace is even, not misled by single slow evaluations."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xnas_core.cli.estimate import TimeLeft
from xnas_core.cli.live import rounded


def test_nothing_is_known_before_the_first() -> None:
    left = TimeLeft(100.0, 0)
    left.note(130.0, 0, 2)
    assert left.left(130.0, 10) is None


@given(slots=st.integers(1, 8), seconds=st.floats(0.1, 1e4), done=st.integers(0, 100), rounds=st.integers(1, 12))
def test_an_even_pace_is_found_exactly(slots: int, seconds: float, done: int, rounds: int) -> None:
    left = TimeLeft(0.0, done)
    for number in range(1, rounds + 1):
        left.note(number * seconds, done + number * slots, slots)
    expected = seconds * 10  # ten more rounds
    assert left.left(rounds * seconds, 10 * slots) == pytest.approx(expected, rel=1e-6)


def test_waiting_counts_down_but_not_below_what_is_running() -> None:
    left = TimeLeft(0.0, 0)
    for number in range(1, 6):
        left.note(number * 10.0, number, 1)
    assert left.left(50.0, 5) == pytest.approx(50)
    assert left.left(54.0, 5) == pytest.approx(46)
    # The sixth takes for ever: four more are still to come.
    assert left.left(500.0, 5) == pytest.approx(40)


def test_one_in_ten_that_takes_ten_times_as_long_moves_it_little() -> None:
    even, outliers = TimeLeft(0.0, 0), TimeLeft(0.0, 0)
    now = 0.0
    for number in range(1, 31):
        even.note(number * 10.0, number, 1)
        now += 100.0 if number % 10 == 0 else 10.0
        outliers.note(now, number, 1)
    first, second = even.left(300.0, 10), outliers.left(now, 10)
    assert first is not None
    assert second is not None
    assert second < 1.3 * first


def test_starting_the_workers_does_not_count() -> None:
    left = TimeLeft(0.0, 0)
    left.begin(60.0)
    left.note(70.0, 2, 2)
    left.begin(500.0)
    assert left.left(70.0, 10) == pytest.approx(50)


@pytest.mark.parametrize("slots", [1, 2, 5])
def test_skewed_durations_give_a_usable_estimate(slots: int) -> None:
    """Log-normal durations (sigma 0.5): in the middle of the search the estimate is within 35 % of the truth."""
    rng = random.Random(slots)
    ends = [0.0] * slots
    finished = []
    for _ in range(200):
        worker = min(range(slots), key=lambda w: ends[w])
        ends[worker] += rng.lognormvariate(2, 0.5)
        finished.append(ends[worker])
    finished.sort()
    left = TimeLeft(0.0, 0)
    for number, at in enumerate(finished[:100], start=1):
        left.note(at, number, slots)
    estimate, truth = left.left(finished[99], 100), finished[-1] - finished[99]
    assert estimate == pytest.approx(truth, rel=0.35)


def test_figures_are_those_of_an_estimate() -> None:
    assert rounded(0.2) == "1 s"
    assert rounded(47.4) == "47 s"
    assert rounded(128) == "2 min 10 s"
    assert rounded(3_000) == "50 min"
    assert rounded(9_999) == "2 h 47 min"
