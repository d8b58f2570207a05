"""A benchmark's table: printed, and written as Markdown and JSON to benchmarks/results/."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Table:
    """Rows of one run.

    Attributes:
        name: file name without ending.
        title: one line.
        columns: headings, with units.
        rows: cells as printed.
        notes: sentences below the table: goals, and whether they were met.
    """

    name: str
    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str]

    def markdown(self) -> str:
        """Return the table with title, machine and notes."""
        lines = [f"# {self.title}", "", f"Machine: {machine()}.", ""]
        lines += [_line(self.columns), _line(["---"] * len(self.columns)), *map(_line, self.rows), ""]
        return "\n".join([*lines, *(f"- {note}" for note in self.notes), ""])

    def publish(self, folder: Path = RESULTS) -> None:
        """Print the table and write it as `<name>.md` and `<name>.json`."""
        print(self.markdown())
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{self.name}.md").write_text(self.markdown(), encoding="utf-8")
        document = {
            "title": self.title,
            "machine": machine(),
            "rows": [dict(zip(self.columns, row, strict=True)) for row in self.rows],
            "notes": list(self.notes),
        }
        (folder / f"{self.name}.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def machine() -> str:
    """Return what the run was made on."""
    return f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
