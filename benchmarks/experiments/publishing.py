"""Results as files: a table as CSV and Markdown, a figure as SVG. The same results give the same bytes."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from benchmarks.results_table import machine

Cell = str | float | int | None
RESULTS = Path(__file__).parents[1] / "results" / "experiments"
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#7a5195", "#56b4e9", "#e69f00", "#000000")
STYLES = ("-", "--", "-.", ":")
"""Of lines: they differ in more than colour."""


@dataclass(frozen=True)
class Table:
    """A table of results.

    Attributes:
        name: file name without ending.
        columns, rows: cells; numbers are written with four figures in Markdown and whole in CSV.
        notes: sentences below the table: what was found, also where the expected effect did not appear.
    """

    name: str
    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    notes: Sequence[str] = field(default=())

    def write(self, folder: Path) -> None:
        """Write `<name>.csv` and `<name>.md`."""
        folder.mkdir(parents=True, exist_ok=True)
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([self.columns, *self.rows])
        (folder / f"{self.name}.csv").write_text(text.getvalue(), encoding="utf-8")
        (folder / f"{self.name}.md").write_text(self.markdown(), encoding="utf-8")

    def markdown(self) -> str:
        """Return title, machine, table and notes."""
        lines = [self.columns, ["---"] * len(self.columns), *([shown(cell) for cell in row] for row in self.rows)]
        table = ["| " + " | ".join(line) + " |" for line in lines]
        head = [f"# {self.title}", "", f"Machine: {machine()}.", ""]
        return "\n".join([*head, *table, "", *(f"- {note}" for note in self.notes), ""])


def shown(cell: Cell) -> str:
    """Return a cell as people read it."""
    if cell is None:
        return "–"
    return cell.replace("|", "\\|") if isinstance(cell, str) else f"{cell:.4g}"


@dataclass(frozen=True)
class Series:
    """A line with a band, or points where there is no band and `dots` is set."""

    label: str
    x: npt.NDArray[np.float64]
    y: npt.NDArray[np.float64]
    band: tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]] | None = None
    dots: bool = False


def write_figure(path: Path, title: str, x: str, y: str, series: Sequence[Series]) -> None:
    """Write a plot as SVG."""
    with mpl.rc_context({"svg.hashsalt": "xnas", "svg.fonttype": "none", "font.size": 10}):
        figure = Figure(figsize=(6.4, 4.0), layout="constrained")
        axes = figure.subplots()
        for place, each in enumerate(series):
            colour, style = COLOURS[place % len(COLOURS)], STYLES[place % len(STYLES)]
            if each.dots:
                axes.plot(each.x, each.y, "os^DvP*"[place % 7], color=colour, label=each.label, alpha=0.8, markersize=5)
                continue
            axes.plot(each.x, each.y, style, color=colour, label=each.label)
            if each.band is not None:
                axes.fill_between(each.x, *each.band, color=colour, alpha=0.15, linewidth=0)
        axes.set(title=title, xlabel=x, ylabel=y)
        axes.grid(visible=True, alpha=0.3)
        if len(series) > 1:
            axes.legend()
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, format="svg", metadata={"Date": None})
