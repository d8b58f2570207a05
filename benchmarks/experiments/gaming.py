"""Experiment (d): how far introspectability can be gamed by futile blocks, and that the guards stop it.

Without pruning a cell may hold operations that the output does not use; their activations count all the same. Arms:
no guard; a constraint on the share owed to them; the live activations as the objective; and networks that are pruned
before they are built. All but the last have the same networks to choose from, so they share what is trained.

A search that only chooses among networks meets few futile blocks that pay. Training can make them: the regulariser
moves all activations apart by class, and those that the output does not use have nothing else to do. So there are arms
with it, without guard and with either guard that needs no other objective.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.experiments.publishing import Cell, Series, Table, write_figure
from benchmarks.experiments.quality import ONE_SPLIT, reference
from benchmarks.experiments.searching import Arm, Found, hypervolumes, search
from benchmarks.experiments.setting import PRESSED, REGULARISED, UNPRUNED
from benchmarks.experiments.statistics import Floats, mean_with_interval
from benchmarks.experiments.workshop import Trained, Workshop

FLAGGED = 0.05
"""Share above which a value counts as gamed."""

OPEN = Arm("no guard", variant=UNPRUNED)
CONSTRAINED = Arm("constraint", variant=UNPRUNED, most_futile=FLAGGED)
LIVE = Arm("live objective", objectives=("accuracy", "introspectability_live"), variant=UNPRUNED)
PRUNED = Arm("pruned networks")
OPEN_PRESSED = Arm("regulariser, no guard", variant=PRESSED)
CONSTRAINED_PRESSED = Arm("regulariser, constraint", variant=PRESSED, most_futile=FLAGGED)
PRUNED_PRESSED = Arm("regulariser, pruned networks", variant=REGULARISED)
ARMS = (OPEN, CONSTRAINED, LIVE, PRUNED, OPEN_PRESSED, CONSTRAINED_PRESSED, PRUNED_PRESSED)


def gaming(workshop: Workshop, folder: Path) -> None:
    """Search with each guard; compare what the fronts claim with what is left of it on live activations."""
    setting = workshop.setting
    found = {arm: [search(workshop, arm, seed) for seed in setting.seeds] for arm in ARMS}
    rows = [_row(arm, found[arm], workshop) for arm in ARMS]
    gamed = [100 * float(np.mean([_gamed(arm, one.front) for one in found[arm]])) for arm in (OPEN, OPEN_PRESSED)]
    notes = [
        f"Without a guard {gamed[0]:.0f} % of the front's members owe more than {100 * FLAGGED:.0f} % of their "
        f"introspectability to activations that the class scores do not depend on; with the regulariser "
        f"(weight {PRESSED.regulariser:g}) {gamed[1]:.0f} %.",
        f"{setting.name}: {len(setting.seeds)} searches of {setting.evaluations} networks for each arm. "
        "Hypervolumes are those of each search's front; live: of accuracy and the introspectability of live "
        "activations.",
        ONE_SPLIT,
    ]
    columns = (
        "guard",
        "hypervolume as claimed",
        "hypervolume, live",
        "max introsp. as claimed",
        "its live value",
        "futile share on the front",
        "members flagged",
    )
    Table(f"gaming-{setting.name}", "How far introspectability can be gamed", columns, rows, notes).write(folder)
    series = [Series(arm.title, *_points(arm, [m for one in found[arm] for m in one.front]), dots=True) for arm in ARMS]
    write_figure(
        folder / f"gaming-{setting.name}.svg",
        "Front members: claimed against live introspectability",
        "introspectability as claimed",
        "of live activations",
        series,
    )


def live(arm: Arm, candidate: Trained) -> float:
    """Return the introspectability of live activations; of a pruned network all are."""
    name = "introspectability" if arm.variant.prune else "introspectability_live"
    return candidate.metrics.get(name, np.nan)


def futile(arm: Arm, candidate: Trained) -> float:
    """Return the share owed to futile activations; of a pruned network none. NaN where the value is undefined."""
    return 0.0 if arm.variant.prune else candidate.metrics.get("futile_share", np.nan)


def _gamed(arm: Arm, front: Sequence[Trained]) -> float:
    return float(np.mean([futile(arm, member) > FLAGGED for member in front])) if front else float("nan")


def _row(arm: Arm, searches: Sequence[Found], workshop: Workshop) -> list[Cell]:
    found = [one for one in searches if one.front]
    best = [max(one.front, key=lambda c: c.metrics.get("introspectability", -1.0)) for one in found]

    def volume(name: str) -> str:
        fronts = [Found(arm, one.seed, one.front, one.front) for one in found]
        ends = [hypervolumes(front, ("accuracy", name), reference(workshop))[-1] for front in fronts]
        return mean_with_interval(np.array(ends))

    return [
        arm.title,
        volume("introspectability"),
        volume("introspectability" if arm.variant.prune else "introspectability_live"),
        mean_with_interval(np.array([c.metrics.get("introspectability", np.nan) for c in best])),
        mean_with_interval(np.array([live(arm, c) for c in best])),
        mean_with_interval(np.array([np.nanmean([futile(arm, m) for m in one.front]) for one in found])),
        mean_with_interval(np.array([_gamed(arm, one.front) for one in found])),
    ]


def _points(arm: Arm, members: Sequence[Trained]) -> tuple[Floats, Floats]:
    claimed = np.array([member.metrics.get("introspectability", np.nan) for member in members])
    return claimed, np.array([live(arm, member) for member in members])
