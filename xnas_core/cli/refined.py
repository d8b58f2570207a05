"""What a refinement has changed, on the terminal."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from xnas_core.refinement import Refinement
from xnas_core.report.numbers import UNKNOWN, number, with_error


def print_refinement(console: Console, candidate: str, document: Refinement) -> None:
    """Write the network before and after, and each pair's distance and confusions."""
    console.print(
        f"{candidate} · {document.epochs} epochs at learning rate {document.learning_rate:g}, "
        f"measured on {document.samples} validation samples",
        style="bold", soft_wrap=True,
    )  # fmt: skip
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("")
    for title in ("before", "after"):
        table.add_column(title, justify="right")
    for name, before, after in rows(document):
        table.add_row(name, before, after)
    console.print(table)


def rows(document: Refinement) -> list[tuple[str, str, str]]:
    """Return (name, before, after) as text."""
    before, after, names = document.before, document.after, document.class_names
    found = [
        (
            "accuracy",
            with_error(before.accuracy, before.accuracy_error, "1"),
            with_error(after.accuracy, after.accuracy_error, "1"),
        ),
        ("loss", with_error(before.loss, before.loss_error, "nat"), with_error(after.loss, after.loss_error, "nat")),
        ("introspectability", _number(before.introspectability), _number(after.introspectability)),
    ]
    for pair in document.pairs:
        first, second = names[pair.first], names[pair.second]
        then, now = pair.before, pair.after
        found += [
            (f"distance {first} – {second}", _number(then.distance), _number(now.distance)),
            (f"{first} taken for {second}", str(then.first_as_second), str(now.first_as_second)),
            (f"{second} taken for {first}", str(then.second_as_first), str(now.second_as_first)),
        ]
    return found


def _number(value: float | None) -> str:
    return UNKNOWN if value is None else number(value)
