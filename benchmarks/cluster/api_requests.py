"""Requests to the API server for each candidate, by the operator's own count."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from benchmarks.cluster import operator_pod
from benchmarks.cluster.operator_pod import Requests
from benchmarks.cluster.place import goal, load, namespace, quickstart, remove
from benchmarks.results_table import Table
from tests.e2e.cluster_tools import Document
from tests.e2e.installation import Installation
from tests.e2e.search_tools import search, tabular

GOAL = 0.5
TABULAR = 2000
_WAIT_SECONDS = 600.0
_SHOWN = 6


def measure(xnas: Installation, evaluations: int = TABULAR) -> Table:
    """Count over a search that trains and one that looks up a table."""
    rows, notes = [], []
    with namespace(xnas.cluster, table=True) as place:
        for name, title, document in (
            ("quickstart", "examples/quickstart.yaml", quickstart("quickstart", place)),
            ("tabular", "NAS-Bench-201's table, 4 slots", search("tabular", place, tabular(evaluations))),
        ):
            candidates, seconds, counted = _count(xnas, place, name, document)
            rows.append(row(title, candidates, seconds, counted))
            each = counted.all / candidates
            notes.append(goal(f"fewer than {GOAL:g} for each candidate, {name}", f"{each:.3f}", each < GOAL))
            notes.append(f"{name}: {most(counted.by_kind)}")
            remove(xnas.cluster, place, name)
    return Table(
        "cluster_requests",
        "Requests of the operator to the API server, from apply until the search is complete",
        ["search", "candidates", "seconds", "status writes", "all requests", "a candidate: status writes", "all"],
        rows,
        [
            *notes,
            "not counted: the Lease of the leader election, and the version that the readiness probe asks for",
            load(),
        ],
    )


def _count(xnas: Installation, place: str, name: str, document: Document) -> tuple[int, float, Requests]:
    before, began = operator_pod.samples(xnas), time.monotonic()
    xnas.cluster.apply(document)
    status: Mapping[str, Any] = xnas.cluster.wait_for_state(place, name, "Complete", _WAIT_SECONDS)
    seconds = time.monotonic() - began
    counted = operator_pod.requests(before, operator_pod.samples(xnas))
    return int(status["evaluations"]["finished"]), seconds, counted


def row(title: str, candidates: int, seconds: float, counted: Requests) -> list[str]:
    """Return a row of the table."""
    return [
        title,
        f"{candidates:,}",
        f"{seconds:.0f}",
        f"{counted.status:,}",
        f"{counted.all:,}",
        f"{counted.status / candidates:.3f}",
        f"{counted.all / candidates:.3f}",
    ]


def most(by_kind: Mapping[str, int]) -> str:
    """Return what was asked for most often, as a list in words."""
    kinds = sorted(by_kind, key=lambda kind: (-by_kind[kind], kind))[:_SHOWN]
    return ", ".join(f"{kind} {by_kind[kind]}" for kind in kinds)
