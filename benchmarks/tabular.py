"""A search on a table, in this process: engine and look-ups, without dispatch or journal."""

from __future__ import annotations

import csv
import gzip
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import moocore
import numpy as np
import numpy.typing as npt

from xnas_core.search.engine import Engine
from xnas_core.search.events import AttemptStarted, Started, Succeeded

ERROR, COST = "c10_test_200", "c10_mflops"
TRUE_FRONT_HYPERVOLUME = 0.84655
"""Of the whole table, normalised as in `Table201.hypervolume` (docs/benchmarks.md)."""

Points = npt.NDArray[np.float64]


def table_path() -> Path:
    """Return where the table lies: below XNAS_SHARED_DATA, or ../shared/data beside the repository."""
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    return Path(os.environ.get("XNAS_SHARED_DATA", default)) / "nas-bench-201" / "cifar10.csv.gz"


@dataclass(frozen=True)
class Table201:
    """The two columns by architecture string, and the scale of the true front.

    Attributes:
        rows: test accuracy in percent and millions of multiply-accumulates.
        ideal, nadir: best and worst value of each objective (error, cost) on the front of the whole table.
    """

    rows: dict[str, tuple[float, float]]
    ideal: Points
    nadir: Points

    @staticmethod
    def read(path: Path) -> Table201:
        """Read the table; raise OSError if it is not there."""
        with gzip.open(path, "rt", newline="") as file:
            rows = {row["arch"]: (float(row[ERROR]), float(row[COST])) for row in csv.DictReader(file)}
        points = _points(rows.values())
        front = points[moocore.is_nondominated(points)]
        return Table201(rows, front.min(axis=0), front.max(axis=0))

    def hypervolume(self, encodings: Sequence[str]) -> float:
        """Return the hypervolume of architectures: objectives scaled from ideal to nadir, which is the reference."""
        points = (_points(self.rows[encoding] for encoding in encodings) - self.ideal) / (self.nadir - self.ideal)
        return float(moocore.hypervolume(points, ref=[1.0, 1.0]))


def _points(rows: Any) -> Points:
    return np.asarray([(100.0 - accuracy, cost) for accuracy, cost in rows], dtype=np.float64)


def spec(algorithm: str, population: int, evaluations: int, seed: int, mode: str = "generational") -> dict[str, Any]:
    """Return the spec of one search."""
    return {
        "seed": seed,
        "searchSpace": {"name": "nas-bench-201"},
        "benchmark": {"table": "cifar10.csv.gz"},
        "objectives": [{"name": ERROR, "direction": "maximize"}, {"name": COST, "direction": "minimize"}],
        "algorithm": {"name": algorithm, "mode": mode, "populationSize": population},
        "limits": {"maxEvaluations": evaluations},
    }


def search(table: Table201, document: dict[str, Any]) -> Engine:
    """Run a search to its end with one slot; return the engine."""
    started = Started(
        time=0.0, search_id="tabular", spec=document, spec_digest="", data_shape=(3, 32, 32, 10), versions={}
    )
    engine = Engine(started)
    while engine.finished is None:
        for decision in engine.decide(1, 0.0):
            engine.handle(decision)
        for ref in engine.runnable(1):
            accuracy, cost = table.rows[engine.by_id[ref.candidate].encoding]
            place: dict[str, Any] = {"time": 0.0, "task": ref.kind, "candidate": ref.candidate, "attempt": 1}
            engine.handle(AttemptStarted(**place, evaluator="table", task_id=ref.candidate))
            engine.handle(Succeeded(**place, metrics={ERROR: accuracy, COST: cost}))
    return engine
