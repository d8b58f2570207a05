"""Search quality on NAS-Bench-201: hypervolume at three budgets, beside pymoo's NSGA-II and random search.

Objectives are test error after 200 epochs and multiply-accumulates on CIFAR-10, scaled by the true front's ideal and
nadir. pymoo's figures were measured with pymoo 0.6.2 itself (uniform crossover 0.9, mutation 1/6, 15 seeds); it drops
duplicates only against its current population, so its budgets hold repeats.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.results_table import Table as ResultsTable
from benchmarks.tabular import TRUE_FRONT_HYPERVOLUME, Table201, search, spec, table_path


@dataclass(frozen=True)
class Budget:
    """A row: population, evaluations, and what pymoo's NSGA-II and random search reached (mean, deviation)."""

    population: int
    evaluations: int
    pymoo: float
    pymoo_deviation: float
    random: float


BUDGETS = (
    Budget(20, 300, 0.8126, 0.0100, 0.7852),
    Budget(50, 1000, 0.8373, 0.0058, 0.8149),
    Budget(100, 3000, 0.8446, 0.0023, 0.8282),
)
EVOLUTION_POPULATION = 10
"""Of regularised evolution, with a sample of 5, at every budget."""
COLUMNS: tuple[tuple[str, str, str], ...] = (
    ("NSGA-II", "nsga2", "generational"),
    ("NSGA-II, steadyState", "nsga2", "steadyState"),
    ("regularised evolution", "regularizedEvolution", "steadyState"),
    ("random", "random", "generational"),
)


def measure(table: Table201, budget: Budget, algorithm: str, mode: str, seeds: Sequence[int]) -> list[float]:
    """Return the hypervolume that each seed reaches."""
    values = []
    for seed in seeds:
        population = EVOLUTION_POPULATION if algorithm == "regularizedEvolution" else budget.population
        engine = search(table, spec(algorithm, population, budget.evaluations, seed, mode))
        values.append(table.hypervolume([candidate.encoding for candidate in engine.candidates]))
    return values


def allowance(budget: Budget, values: Sequence[float]) -> float:
    """Return two standard errors of the difference between our mean and pymoo's (15 seeds)."""
    return 2 * math.sqrt(budget.pymoo_deviation**2 / 15 + statistics.variance(values) / len(values))


def main(argv: Sequence[str]) -> int:
    """Measure, print, write benchmarks/results/search_quality.{md,json}."""
    parser = argparse.ArgumentParser(prog="benchmarks.search_quality", description=__doc__)
    parser.add_argument("--seeds", type=int, default=15)
    seeds = range(parser.parse_args(argv).seeds)
    table = Table201.read(table_path())
    rows, notes = [], []
    for budget in BUDGETS:
        cells = [f"{budget.population} / {budget.evaluations}"]
        for name, algorithm, mode in COLUMNS:
            values = measure(table, budget, algorithm, mode, seeds)
            mean = statistics.mean(values)
            cells.append(f"{mean:.4f} ± {statistics.stdev(values):.4f}")
            if name == "NSGA-II":
                verdict = "met" if mean >= budget.pymoo - allowance(budget, values) else "missed"
                notes.append(
                    f"{cells[0]}: NSGA-II {mean:.4f} against pymoo's {budget.pymoo:.4f}, "
                    f"two standard errors are {allowance(budget, values):.4f}: {verdict}."
                )
        rows.append([*cells, f"{budget.pymoo:.4f} ± {budget.pymoo_deviation:.4f}", f"{budget.random:.4f}"])
    columns = ["population / evaluations", *(name for name, _, _ in COLUMNS), "pymoo NSGA-II", "random (reference)"]
    title = f"Search quality: hypervolume on NAS-Bench-201 (mean ± deviation over {len(seeds)} seeds)"
    notes.append(f"The front of the whole table has {TRUE_FRONT_HYPERVOLUME}. Goal: NSGA-II at least pymoo's.")
    ResultsTable("search_quality", title, columns, rows, notes).publish()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
