"""Hypervolume over evaluations against the engine's own record and a slow count of dominated area."""

from __future__ import annotations

from dataclasses import replace

import pytest

from xnas_core.analysis.volumes import arrivals, common_reference, volumes
from xnas_core.search.view import CandidateState, SearchState
from xnas_core.search.viewing import view as view_of
from xnas_core.testing.growing_search import GrowingSearch
from xnas_core.testing.sample_search import sample_search


def test_with_its_own_reference_a_search_has_the_history_that_it_recorded() -> None:
    grown = GrowingSearch("a")
    grown.finish(20)
    grown.finish(1, fail=True)
    grown.finish(9)
    view = view_of(grown.engine, "a")
    assert view.reference_point is not None
    assert volumes(view, view.reference_point).tolist() == [p.hypervolume for p in view.history]
    assert len(arrivals(view)) == 30


def test_the_area_is_that_of_the_squares_that_are_dominated() -> None:
    view = sample_search(80).view
    found = volumes(view, (0.5, 0.1))
    points = [c.objectives for c in view.candidates if c.state is CandidateState.SUCCEEDED]
    steps = 400
    inside = 0
    for i in range(steps):
        x = 0.5 + 0.5 * (i + 0.5) / steps
        tallest = max((y for a, y in points if a is not None and y is not None and a >= x), default=0.1)
        inside += max(0, round((min(tallest, 1.1) - 0.1) * steps))
    assert found[-1] == pytest.approx(inside / steps**2 * 0.5, rel=0.01)
    assert (found[1:] >= found[:-1]).all()


def test_what_failed_or_breaks_a_constraint_counts_and_adds_nothing() -> None:
    view = sample_search(40).view
    broken = replace(view, candidates=tuple(replace(c, violation=1.0) for c in view.candidates))
    assert volumes(broken, (0.1, 0.0)).tolist() == [0.0] * 40
    running = sample_search(40, state=SearchState.RUNNING).view
    assert len(volumes(running, (0.1, 0.0))) == 37


def test_the_common_reference_is_the_worst_of_each_objective_in_its_own_direction() -> None:
    view = sample_search(20, objectives=("accuracy", "macs")).view
    others = [replace(view, reference_point=point) for point in ((0.1, 2e8), (0.2, 3e8), None)]
    assert common_reference(others) == (0.1, 3e8)
    assert common_reference(others[2:]) is None
