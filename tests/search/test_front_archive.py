"""The archive against slow, obvious ways to find a front and measure its hypervolume."""

from __future__ import annotations

import itertools
from random import Random

import moocore
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xnas_core.search.front import EXACT_UP_TO, FrontArchive

Point = tuple[float, ...]
POINTS = st.integers(1, 4).flatmap(
    lambda m: st.lists(st.tuples(*[st.integers(0, 6).map(float)] * m), min_size=1, max_size=20)
)


def _front(points: list[Point]) -> set[int]:
    def beaten(i: int) -> bool:
        return any(
            all(x <= y for x, y in zip(other, points[i], strict=True)) and other != points[i] for other in points
        )

    return {i for i in range(len(points)) if not beaten(i)}


def _volume(points: list[Point], reference: float) -> float:
    """Count the unit cells below the reference that some point dominates."""
    cells = itertools.product(range(int(reference)), repeat=len(points[0]))
    return float(sum(any(all(x <= c for x, c in zip(p, cell, strict=True)) for p in points) for cell in cells))


def _archive(points: list[Point], reference: float | None = 7.0) -> FrontArchive:
    archive = FrontArchive(len(points[0]))
    if reference is not None:
        archive.set_reference(np.full(len(points[0]), reference))
    for key, point in enumerate(points):
        archive.insert(key, np.asarray(point))
    return archive


@given(POINTS)
def test_members_are_those_that_nobody_dominates(points: list[Point]) -> None:
    assert set(_archive(points).keys) == _front(points)


@given(st.lists(st.tuples(st.integers(-9, 9).map(float), st.integers(-9, 9).map(float)), min_size=1, max_size=60))
def test_members_of_two_objectives_are_those_that_nobody_dominates(points: list[Point]) -> None:
    assert set(_archive(points, None).keys) == _front(points)


@given(POINTS)
def test_hypervolume_is_the_volume_that_is_dominated(points: list[Point]) -> None:
    assert _archive(points).hypervolume == pytest.approx(_volume(points, 7.0))


@given(POINTS)
def test_points_beyond_the_reference_count_nothing(points: list[Point]) -> None:
    inside = [p for p in points if max(p) < 3]
    assert _archive(points, 3.0).hypervolume == pytest.approx(_volume(inside, 3.0) if inside else 0.0)


@given(POINTS, st.randoms(use_true_random=False))
def test_order_changes_neither_members_nor_hypervolume(points: list[Point], random: Random) -> None:
    order = list(range(len(points)))
    random.shuffle(order)
    archive = FrontArchive(len(points[0]))
    archive.set_reference(np.full(len(points[0]), 7.0))
    for key in order:
        archive.insert(key, np.asarray(points[key]))
    assert set(archive.keys) == set(_archive(points).keys)
    assert archive.hypervolume == pytest.approx(_archive(points).hypervolume)


@given(POINTS)
def test_a_reference_that_comes_late_measures_the_same(points: list[Point]) -> None:
    archive = _archive(points, None)
    assert archive.hypervolume == 0.0
    archive.set_reference(np.full(len(points[0]), 7.0))
    assert archive.hypervolume == pytest.approx(_archive(points).hypervolume)


@given(POINTS)
def test_hypervolume_never_falls(points: list[Point]) -> None:
    archive = FrontArchive(len(points[0]))
    archive.set_reference(np.full(len(points[0]), 7.0))
    before = 0.0
    for key, point in enumerate(points):
        archive.insert(key, np.asarray(point))
        assert archive.hypervolume >= before - 1e-9
        before = archive.hypervolume


@pytest.mark.parametrize("objectives", range(EXACT_UP_TO + 1, 9))
def test_many_objectives_are_approximated_whatever_the_order(objectives: int) -> None:
    """As in a search: an accuracy (maximised, so negative), a score with reference 0, counts and times."""
    rng = np.random.default_rng(objectives)
    reference = np.asarray([-0.1, 0.0, 1e7, 0.02, 1.0, 300.0, 2.3, 1e-3])[:objectives]
    best = np.asarray([-1.0, -1.0, 1e5, 0.001, 0.0, 10.0, 0.1, 0.0])[:objectives]
    archive = FrontArchive(objectives)
    archive.set_reference(reference)
    points = [best + rng.random(objectives) * (reference - best) for _ in range(40)]
    for key, point in enumerate(points):
        archive.insert(key, point)
    assert archive.hypervolume == pytest.approx(moocore.hypervolume(np.asarray(points), ref=reference), rel=0.02)
    late = FrontArchive(objectives)
    for key, point in reversed(list(enumerate(points))):
        late.insert(key, point)
    late.set_reference(reference)
    assert late.hypervolume == archive.hypervolume
