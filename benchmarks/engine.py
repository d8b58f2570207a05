"""The engine's own cost: milliseconds per candidate, journal on, beside bare pymoo and Optuna.

The mobile space with five stages (25 genes), objectives that the graph alone gives (most parameters, fewest
multiply-accumulates), population 64: nothing is trained, so all the time is the search's. Each side computes both
objectives with the same code. The journal goes to a folder, with fsync.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.storages.journal import JournalFileBackend
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.core.problem import Problem
from pymoo.operators.crossover.ux import UX
from pymoo.operators.mutation.pm import PM
from pymoo.operators.repair.rounding import RoundingRepair
from pymoo.operators.sampling.rnd import IntegerRandomSampling

from benchmarks.results_table import Table
from xnas_core.artifacts.folder import FolderStore
from xnas_core.journal import Journal
from xnas_core.search.engine import Engine
from xnas_core.search.events import Started
from xnas_core.search.loop import SearchLoop
from xnas_core.search.recovery import recover
from xnas_core.spaces.base import DataShape
from xnas_core.spaces.mobile import Mobile

POPULATION = 64
SIZES = (1_000, 4_000, 16_000)
OPTUNA_UP_TO = 4_000
GOAL_MS, GOAL_RATIO, GOAL_RESUME_SECONDS = 1.0, 1.1, 2.0
SHAPE = DataShape(3, 32, 32, 10)


@dataclass
class Marks:
    """Wall-clock and processor time after so many candidates."""

    points: list[tuple[int, float, float]] = field(default_factory=list)

    def mark(self, count: int) -> None:
        """Note the time."""
        self.points.append((count, time.perf_counter(), time.process_time()))

    def between(self, first: int, last: int, clock: int) -> float:
        """Return the milliseconds per candidate from one count to another (clock 1: wall, 2: processor)."""
        counts = [point[0] for point in self.points]
        begin, end = np.interp([first, last], counts, [point[clock] for point in self.points])
        return float(end - begin) / (last - first) * 1000

    def per_candidate(self, size: int) -> float:
        """Return the wall-clock milliseconds per candidate over all of them."""
        return self.between(0, size, 1)

    def ratio(self, size: int) -> float:
        """Return last thousand / first thousand, in processor time: neighbours on the machine do not count."""
        return self.between(size - 1_000, size, 2) / self.between(0, 1_000, 2)


def run_xnas(folder: Path, size: int) -> Marks:
    """Search with the real loop and journal."""
    spec: dict[str, Any] = {
        "searchSpace": {"name": "mobile", "parameters": {"stages": 5}},
        "objectives": [{"name": "parameters", "direction": "maximize"}, {"name": "macs", "direction": "minimize"}],
        "algorithm": {"populationSize": POPULATION},
        "limits": {"maxEvaluations": size},
    }
    shape = (SHAPE.channels, SHAPE.height, SHAPE.width, SHAPE.classes)
    started = Started(time=time.time(), search_id="b", spec=spec, spec_digest="", data_shape=shape, versions={})
    engine, journal, marks = Engine(started), Journal(FolderStore(folder)), Marks()
    marks.mark(0)
    journal.append([started])
    asyncio.run(SearchLoop(engine, journal, None, on_turn=lambda _: marks.mark(len(engine.candidates))).run())
    if len(engine.candidates) != size:
        raise RuntimeError(f"{len(engine.candidates)} candidates instead of {size}")
    return marks


class _MobileProblem(Problem):  # type: ignore[misc]  # pymoo has no types
    """The same objectives for pymoo."""

    def __init__(self) -> None:
        self.space = Mobile({"stages": 5}, SHAPE)
        upper = np.asarray(self.space.cardinalities) - 1
        super().__init__(n_var=len(upper), n_obj=2, xl=0, xu=upper, vtype=int)

    def _evaluate(self, x: Any, out: dict[str, Any], *_args: Any, **_kwargs: Any) -> None:
        metrics = [self.space.static_metrics(tuple(row)) for row in x.tolist()]
        out["F"] = np.asarray([(-m.parameters, m.macs) for m in metrics], dtype=float)


def run_pymoo(size: int) -> Marks:
    """Search with pymoo's NSGA2: no journal, no identity, duplicates dropped against the population only."""
    problem, marks = _MobileProblem(), Marks()
    algorithm = NSGA2(
        pop_size=POPULATION,
        sampling=IntegerRandomSampling(),
        crossover=UX(prob=0.9, repair=RoundingRepair()),
        mutation=PM(prob_var=1 / problem.n_var, eta=3, vtype=float, repair=RoundingRepair()),
    )
    algorithm.setup(problem, termination=("n_eval", size), seed=1, verbose=False)
    marks.mark(0)
    while algorithm.has_next():
        algorithm.next()
        marks.mark(algorithm.evaluator.n_eval)
    return marks


def run_optuna(size: int, storage: Any) -> Marks:
    """Search with Optuna's NSGAIISampler."""
    space, marks = Mobile({"stages": 5}, SHAPE), Marks()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Optuna calls its journal storage experimental
        sampler = optuna.samplers.NSGAIISampler(population_size=POPULATION, seed=1)
        study = optuna.create_study(storage=storage, sampler=sampler, directions=["maximize", "minimize"])

        def evaluate(trial: optuna.Trial) -> tuple[float, float]:
            genes = tuple(trial.suggest_int(str(i), 0, c - 1) for i, c in enumerate(space.cardinalities))
            metrics = space.static_metrics(genes)
            return float(metrics.parameters), float(metrics.macs)

        marks.mark(0)
        for count in range(1, size + 1):
            study.optimize(evaluate, n_trials=1)
            marks.mark(count)
    return marks


def resume_seconds(folder: Path, *, snapshots: bool) -> float:
    """Return how long it takes to have the engine back (median of three)."""
    times = []
    for _ in range(3):
        begin = time.perf_counter()
        engine, _ = recover(FolderStore(folder), snapshots=snapshots)
        times.append(time.perf_counter() - begin)
        if engine is None or not engine.candidates:
            raise RuntimeError("nothing was recovered")
    return statistics.median(times)


def main(argv: Sequence[str]) -> int:
    """Measure, print, write benchmarks/results/engine.{md,json}."""
    parser = argparse.ArgumentParser(prog="benchmarks.engine", description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    sizes = sorted(parser.parse_args(argv).sizes)
    rows, notes, ours = [], [], {}
    with tempfile.TemporaryDirectory(prefix="xnas-") as name:
        root = Path(name)
        for size in sizes:
            ours[size] = run_xnas(root / str(size), size)
        largest = root / str(sizes[-1])
        resumed = [resume_seconds(largest, snapshots=snapshots) for snapshots in (True, False)]
        sides: list[tuple[str, Callable[[int], Marks], int]] = [
            ("pymoo NSGA2, bare", run_pymoo, sizes[-1]),
            ("Optuna NSGAIISampler, in memory", lambda size: run_optuna(size, None), OPTUNA_UP_TO),
            (
                "Optuna NSGAIISampler, journal file",
                lambda size: run_optuna(size, _journal_file(root, size)),
                OPTUNA_UP_TO,
            ),
        ]
        measured = {name: {size: run(size) for size in sizes if size <= up_to} for name, run, up_to in sides}
    for name, marks in (("xnas, journal on", ours), *measured.items()):
        cells = []
        for size in sizes:
            if size not in marks:
                cells += ["", ""]
                continue
            mine, theirs = ours[size].per_candidate(size), marks[size].per_candidate(size)
            cells += [f"{theirs:.3f} ms", "" if marks is ours else f"{theirs / mine:.1f}"]
        last = max(marks)
        rows.append([name, *cells, f"{marks[last].ratio(last):.2f}" if last > 1_000 else ""])
    columns = ["search", *(c for size in sizes for c in (f"{size:,}: per candidate", "× xnas")), "last / first 1,000"]
    worst, flat = max(ours[s].per_candidate(s) for s in sizes), ours[sizes[-1]].ratio(sizes[-1])
    notes.append(f"Goal: at most {GOAL_MS:g} ms per candidate: {worst:.3f} ms, {_met(worst <= GOAL_MS)}.")
    notes.append(f"Goal: last / first thousand at most {GOAL_RATIO}: {flat:.2f}, {_met(flat <= GOAL_RATIO)}.")
    notes.append(
        f"Goal: resuming after {sizes[-1]:,} candidates within {GOAL_RESUME_SECONDS:g} s: {resumed[0]:.2f} s, "
        f"{_met(resumed[0] <= GOAL_RESUME_SECONDS)} (without snapshots {resumed[1]:.2f} s)."
    )
    notes.append("Per candidate: wall-clock time. last / first: processor time, of each side's longest run.")
    Table("engine", "Engine: cost of a candidate that needs no training", columns, rows, notes).publish()
    return 0


def _journal_file(root: Path, size: int) -> Any:
    return optuna.storages.JournalStorage(JournalFileBackend(str(root / f"optuna-{size}.log")))


def _met(good: bool) -> str:
    return "met" if good else "missed"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
