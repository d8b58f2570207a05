"""Experiments (a) and (b): what two objectives and the regulariser bring, in hypervolume, at equal budgets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.experiments.publishing import Cell, Series, Table, write_figure
from benchmarks.experiments.searching import Arm, Found, hypervolumes, search
from benchmarks.experiments.setting import REGULARISED
from benchmarks.experiments.statistics import Floats, band, difference, mean_with_interval
from benchmarks.experiments.workshop import Workshop

TWO = Arm("two objectives")
ACCURACY = Arm("accuracy only", objectives=("accuracy",))
RANDOM = Arm("random", algorithm="random")
REGULARISER = Arm("two objectives + regulariser", variant=REGULARISED)
OBJECTIVES = ("accuracy", "introspectability")
ONE_SPLIT = (
    "All searches have one split of the data, and a network is trained once: intervals are of what chance does to a "
    "search, not of other data or another training. All values are on the validation split, by which networks were "
    "chosen, so maxima and hypervolumes are too good for every arm."
)


def objectives(workshop: Workshop, folder: Path) -> None:
    """(a) Two objectives against accuracy only against random search."""
    _compare(workshop, folder, "objectives", "Two objectives, accuracy only, random search", (TWO, ACCURACY, RANDOM))


def regulariser(workshop: Workshop, folder: Path) -> None:
    """(b) Two objectives with and without the introspectability regulariser."""
    _compare(workshop, folder, "regulariser", "With and without the regulariser (weight 0.5)", (REGULARISER, TWO))


def reference(workshop: Workshop) -> tuple[float, float]:
    """Return the hypervolume's reference point, as published: accuracy 1 / classes, introspectability 0."""
    return 1 / workshop.setting.shape.classes, 0.0


def _compare(workshop: Workshop, folder: Path, name: str, title: str, arms: Sequence[Arm]) -> None:
    setting = workshop.setting
    found = {arm.title: [search(workshop, arm, seed) for seed in setting.seeds] for arm in arms}
    volumes = {
        title_: np.stack([hypervolumes(one, OBJECTIVES, reference(workshop)) for one in searches])
        for title_, searches in found.items()
    }
    rows = [_row(arm.title, found[arm.title], volumes[arm.title]) for arm in arms]
    first = arms[0].title
    notes = [
        f"{first} less {arm.title}: {difference(volumes[first][:, -1], volumes[arm.title][:, -1])}." for arm in arms[1:]
    ]
    notes.append(
        f"{setting.name}: {len(setting.seeds)} searches of {setting.evaluations} different networks each, "
        f"{setting.training['epochs']} epochs on {len(workshop.data(arms[0].variant).train):,} images; reference point "
        f"accuracy {reference(workshop)[0]:.3g}, introspectability 0. Brackets: 95 % t intervals over searches."
    )
    notes.append(ONE_SPLIT)
    columns = ("search", "hypervolume", "max accuracy", "median accuracy", "max introsp.", "median introsp.")
    Table(f"{name}-{setting.name}", title, columns, rows, notes).write(folder)
    series = []
    for arm in arms:
        means, ends = band(volumes[arm.title])
        series.append(Series(arm.title, np.arange(1.0, len(means) + 1), means, ends))
    write_figure(
        folder / f"{name}-{setting.name}.svg", title, "networks evaluated", "hypervolume (mean, 95 % interval)", series
    )


def _row(title: str, searches: Sequence[Found], volumes: Floats) -> list[Cell]:
    cells: list[Cell] = [title, mean_with_interval(volumes[:, -1])]
    for metric in OBJECTIVES:
        for summary in (np.nanmax, np.nanmedian):
            cells.append(mean_with_interval(np.array([float(summary(one.values(metric))) for one in searches])))
    return cells
