"""Utilisation of a pool of evaluators in virtual time: generational against steadyState.

64 evaluators with one slot each; the time of an evaluation is log-normal with sigma 1. Utilisation is the share of
evaluator time spent evaluating, from the start until the last candidate is proposed: what comes after that is the same
in both modes. The engine decides as in a real search; nothing but the durations is simulated.
"""

from __future__ import annotations

import argparse
import heapq
import random
import statistics
import sys
from collections.abc import Sequence
from typing import Any

from benchmarks.results_table import Table
from xnas_core.search.engine import Engine
from xnas_core.search.events import AttemptStarted, Started, Succeeded
from xnas_core.search.ledger import TaskRef
from xnas_core.tasks import TaskKind, derived_seed

EVALUATORS = 64
GOAL = 0.97
SIGMA = 1.0


def spec(mode: str, population: int, evaluations: int, seed: int) -> dict[str, Any]:
    """Return the spec of one search."""
    return {
        "seed": seed,
        "searchSpace": {"name": "mobile", "parameters": {"stages": 5}},
        "dataset": {"name": "cifar10"},
        "objectives": [{"name": "accuracy", "direction": "maximize"}, {"name": "macs", "direction": "minimize"}],
        "algorithm": {"mode": mode, "populationSize": population},
        "limits": {"maxEvaluations": evaluations},
    }


def simulate(mode: str, population: int, evaluations: int, seed: int) -> float:
    """Run one search in virtual time; return the utilisation until the last candidate was proposed."""
    durations = random.Random(seed)
    engine = Engine(
        Started(
            time=0.0,
            search_id="simulated",
            spec=spec(mode, population, evaluations, seed),
            spec_digest="",
            data_shape=(3, 32, 32, 10),
            versions={},
        )
    )
    now = 0.0
    last_proposal = 0.0
    spans: list[tuple[float, float]] = []
    running: list[tuple[float, int, TaskRef]] = []
    while True:
        while decisions := engine.decide(EVALUATORS - len(running), now):
            for decision in decisions:
                engine.handle(decision)
        if len(engine.candidates) == evaluations and not last_proposal:
            last_proposal = now
        for ref in engine.runnable(EVALUATORS - len(running)):
            if ref.kind is not TaskKind.EVALUATE:
                break
            end = now + durations.lognormvariate(0.0, SIGMA)
            spans.append((now, end))
            engine.handle(
                AttemptStarted(
                    time=now, task=ref.kind, candidate=ref.candidate, attempt=1, evaluator="e", task_id=ref.candidate
                )
            )
            heapq.heappush(running, (end, len(spans), ref))
        if not running:
            break
        now, _, ref = heapq.heappop(running)
        accuracy = random.Random(derived_seed(ref.candidate)).random()
        engine.handle(
            Succeeded(time=now, task=ref.kind, candidate=ref.candidate, attempt=1, metrics={"accuracy": accuracy})
        )
    busy = sum(min(end, last_proposal) - begin for begin, end in spans if begin < last_proposal)
    return busy / (EVALUATORS * last_proposal)


def main(argv: Sequence[str]) -> int:
    """Measure, print, write benchmarks/results/utilisation.{md,json}."""
    parser = argparse.ArgumentParser(prog="benchmarks.utilisation", description=__doc__)
    parser.add_argument("--evaluations", type=int, default=2048)
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args(argv)
    rows, worst = [], 1.0
    for population in (64, 128, 256):
        cells = [str(population)]
        means = []
        for mode in ("generational", "steadyState"):
            values = [simulate(mode, population, options.evaluations, seed) for seed in range(options.seeds)]
            means.append(statistics.mean(values))
            cells.append(f"{means[-1]:.3f} ({min(values):.3f} to {max(values):.3f})")
        worst = min(worst, means[1])
        rows.append([*cells, f"{means[1] / means[0]:.2f}"])
    title = (
        f"Utilisation of {EVALUATORS} simulated evaluators, log-normal durations (sigma {SIGMA:g}), "
        f"{options.evaluations} evaluations, mean (range) of {options.seeds} seeds"
    )
    columns = ["population", "generational", "steadyState", "steadyState / generational"]
    verdict = "met" if worst >= GOAL else "missed"
    Table("utilisation", title, columns, rows, [f"Goal: steadyState at least {GOAL}: {verdict}."]).publish()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
