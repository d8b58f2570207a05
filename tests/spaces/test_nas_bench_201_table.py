"""Space, graph and counters against NAS-Bench-201's published table: every one of its 15,625 rows."""

from __future__ import annotations

import csv
import gzip
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.absent import absent
from xnas_core.spaces.base import DataShape, Genes
from xnas_core.spaces.cell_form import cell_form, literature_form
from xnas_core.spaces.nas_bench_201 import NasBench201

CIFAR10 = DataShape(channels=3, height=32, width=32, classes=10)


@dataclass(frozen=True)
class Row:
    arch: str
    genes: Genes
    iso_group: int
    parameters: int
    mega_macs: str


def _table_path() -> Path:
    shared = os.environ.get("XNAS_SHARED_DATA")
    root = Path(shared) if shared else Path(__file__).parents[2].parent / "shared" / "data"
    return root / "nas-bench-201" / "cifar10.csv.gz"


@pytest.fixture(scope="module")
def raw() -> NasBench201:
    return NasBench201({"cellsPerStage": 5, "channels": 16, "prune": False}, CIFAR10)


@pytest.fixture(scope="module")
def rows(raw: NasBench201) -> list[Row]:
    path = _table_path()
    if not path.exists():
        absent(f"the table {path} is absent; set XNAS_SHARED_DATA to the folder that holds nas-bench-201/")
    with gzip.open(path, "rt", newline="") as file:
        return [
            Row(
                arch=line["arch"],
                genes=raw.decode(line["arch"]),
                iso_group=int(line["iso_group"]),
                parameters=int(line["c10_params"]),
                mega_macs=f"{float(line['c10_mflops']):.5f}",
            )
            for line in csv.DictReader(file)
        ]


def _mega(macs: int) -> str:
    return f"{macs / 1e6:.5f}"


@pytest.mark.data
def test_encodings_are_the_table_s_arch_strings(rows: Sequence[Row], raw: NasBench201) -> None:
    assert len({row.genes for row in rows}) == len(rows) == raw.size() == 15_625
    assert all(raw.encoding(row.genes) == row.arch for row in rows)


@pytest.mark.data
def test_counted_parameters_and_macs_are_the_table_s(rows: Sequence[Row], raw: NasBench201) -> None:
    for row in rows:
        metrics = raw.static_metrics(row.genes)
        assert (metrics.parameters, _mega(metrics.macs)) == (row.parameters, row.mega_macs), row.arch


@pytest.mark.data
@pytest.mark.parametrize("step", [25, pytest.param(1, marks=pytest.mark.slow)])
def test_parameters_and_macs_of_the_graph_are_the_table_s(rows: Sequence[Row], raw: NasBench201, step: int) -> None:
    for row in rows[::step]:
        graph = raw.graph(row.genes)
        assert (graph.parameters, _mega(graph.macs)) == (row.parameters, row.mega_macs), row.arch


@pytest.mark.data
def test_literature_form_parts_the_encodings_as_the_table_does(rows: Sequence[Row]) -> None:
    pairs = {(literature_form(row.genes), row.iso_group) for row in rows}
    assert len(pairs) == len({form for form, _ in pairs}) == len({group for _, group in pairs}) == 6_466


@pytest.mark.data
def test_literature_form_confuses_different_networks_in_430_groups(rows: Sequence[Row]) -> None:
    networks: dict[int, set[str]] = {}
    for row in rows:
        networks.setdefault(row.iso_group, set()).add(cell_form(row.genes).text)
    assert sum(len(texts) > 1 for texts in networks.values()) == 430
    assert len(set().union(*networks.values())) == 5_260
