"""Run experiments: `python -m benchmarks.experiments [NAME…] [--setting fashion] [--minutes 30]`.

What is trained is kept in the cache folder, so a run that was stopped goes on where it was; `--plan` says how much is
left. Tables and figures are written once an experiment is whole.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from benchmarks.experiments.attack import attack
from benchmarks.experiments.debugging import debugging
from benchmarks.experiments.gaming import ARMS as GUARDS
from benchmarks.experiments.gaming import OPEN, gaming
from benchmarks.experiments.parallel import search_all, study_all
from benchmarks.experiments.publishing import RESULTS
from benchmarks.experiments.quality import ACCURACY, RANDOM, REGULARISER, TWO, objectives, regulariser
from benchmarks.experiments.searching import Arm
from benchmarks.experiments.setting import SETTINGS, Setting
from benchmarks.experiments.workshop import SittingOverError, Workshop

EXPERIMENTS: Mapping[str, Callable[[Workshop, Path], None]] = {
    "objectives": objectives,
    "regulariser": regulariser,
    "debugging": debugging,
    "gaming": gaming,
    "attack": attack,
}
ARMS: Mapping[str, Sequence[Arm]] = {
    "objectives": (TWO, ACCURACY, RANDOM),
    "regulariser": (REGULARISER, TWO),
    "debugging": (TWO,),
    "gaming": GUARDS,
    "attack": (OPEN,),
}
"""Searches of each experiment, with every seed."""
SHARED = {"regulariser": 1, "debugging": 1, "gaming": 2, "attack": 1}
"""Of these, searches that another experiment has made already when all are run in order."""
GUARDED = 1.6
"""Ablation makes a candidate that is not pruned take so many times as long."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run, and return 0 when all is done, 3 when the sitting's time ended first."""
    parser = argparse.ArgumentParser(prog="benchmarks.experiments", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"any of {', '.join(EXPERIMENTS)}; all by default")
    parser.add_argument("--setting", choices=sorted(SETTINGS), default="fashion", help="data, sizes and budgets")
    parser.add_argument("--cache", type=Path, default=Path("runs/experiments"), help="folder of trained candidates")
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder of tables and figures")
    parser.add_argument("--minutes", type=float, default=None, help="end this sitting after so many minutes")
    parser.add_argument("--jobs", type=int, default=1, help="processes that train at once, one core each")
    parser.add_argument("--plan", action="store_true", help="say what it takes, and do nothing")
    options = parser.parse_args(argv)
    unknown = sorted(set(options.names) - set(EXPERIMENTS))
    if unknown:
        parser.error(f"unknown experiment {unknown[0]!r}; there are: {', '.join(EXPERIMENTS)}")
    names = options.names or list(EXPERIMENTS)
    setting = SETTINGS[options.setting]
    if options.plan:
        print(plan(setting, names))
        return 0
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    workshop = Workshop(setting, options.cache, options.minutes)
    try:
        if options.jobs > 1:
            search_all(workshop, [arm for name in names for arm in ARMS[name]], options.jobs)
            if "debugging" in names:
                study_all(workshop, options.jobs)
        for name in names:
            EXPERIMENTS[name](workshop, options.output)
            print(f"{name}: done, {workshop.made} networks trained so far; see {options.output}")
    except SittingOverError:
        print(f"The time is used up; {workshop.made} networks were trained. Run the same command to go on.")
        return 3
    return 0


def plan(setting: Setting, names: Sequence[str]) -> str:
    """Return how many networks are trained at most, and how long that takes on one core."""
    lines, total = [], 0.0
    for name in names:
        arms = len(ARMS[name]) - (SHARED.get(name, 0) if len(names) == len(EXPERIMENTS) else 0)
        networks = arms * len(setting.seeds) * setting.evaluations
        again = {"debugging": 2, "attack": 1}.get(name, 0) * setting.studied
        seconds = (networks + again) * setting.seconds * (GUARDED if name == "gaming" else 1)
        total += seconds
        lines.append(f"{name}: at most {networks + again} trainings, {seconds / 60:.0f} minutes")
    lines.append(f"in all at most {total / 60:.0f} minutes on one core; searches share networks, so it is less")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
