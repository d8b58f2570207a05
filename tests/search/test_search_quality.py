"""The search finds good fronts: a small version of `python -m benchmarks.search_quality`."""

from __future__ import annotations

import statistics

import pytest

from benchmarks.search_quality import BUDGETS, allowance, measure
from benchmarks.tabular import TRUE_FRONT_HYPERVOLUME, Table201, table_path
from tests.absent import absent

SMALL = BUDGETS[0]
SEEDS = range(5)


@pytest.fixture(scope="module")
def table() -> Table201:
    if not table_path().exists():
        absent("the table of NAS-Bench-201 is not here; set XNAS_SHARED_DATA")
    return Table201.read(table_path())


@pytest.mark.data
def test_the_scale_is_the_published_one(table: Table201) -> None:
    assert table.hypervolume(list(table.rows)) == pytest.approx(TRUE_FRONT_HYPERVOLUME, abs=5e-6)


@pytest.mark.data
@pytest.mark.parametrize("mode", ["generational", "steadyState"])
def test_nsga2_is_as_good_as_published(table: Table201, mode: str) -> None:
    values = measure(table, SMALL, "nsga2", mode, SEEDS)
    assert statistics.mean(values) >= SMALL.pymoo - allowance(SMALL, values)


@pytest.mark.data
def test_random_search_is_worse_and_near_its_figure(table: Table201) -> None:
    random, evolved = (measure(table, SMALL, name, "generational", SEEDS) for name in ("random", "nsga2"))
    assert statistics.mean(random) < statistics.mean(evolved)
    assert statistics.mean(random) == pytest.approx(SMALL.random, abs=0.03)
