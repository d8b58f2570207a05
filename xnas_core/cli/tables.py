"""Searches and candidates as text for a terminal: tables where there is room, lines where there is not."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from xnas_core.cli.ancestry import parents
from xnas_core.objectives import METRICS
from xnas_core.report.numbers import with_error
from xnas_core.search.view import CandidateRecord, SearchView

NARROW = 72
"""Below so many columns a table becomes lines."""
_ARCH_FROM = 130
_COSTS = ("parameters", "macs")
_TESTED = "test_accuracy"


def front_table(view: SearchView, width: int) -> RenderableType:
    """Return the front, best first objective first."""
    by_id = {candidate.id: candidate for candidate in view.candidates}
    members = [by_id[identity] for identity in view.front]
    columns = _columns(view, members)
    if width < NARROW:
        return Group(*(_lines(view, member, columns) for member in members))
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column("candidate", no_wrap=True)
    for name in columns:
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("generation", justify="right", no_wrap=True)
    if width >= _ARCH_FROM:
        table.add_column("architecture", no_wrap=True, overflow="ellipsis")
    for member in members:
        row = [member.id, *(_value(view, member, name) for name in columns), str(member.generation)]
        table.add_row(*(Text(cell) for cell in (*row, member.arch)[: len(table.columns)]))
    return table


def objective_values(view: SearchView, candidate: CandidateRecord) -> str:
    """Return "accuracy 0.97 · introspectability 0.31"."""
    return " · ".join(f"{o.name} {_value(view, candidate, o.name, errors=False)}" for o in view.spec.objectives)


def ancestor_tree(view: SearchView, candidate: CandidateRecord, depth: int) -> Tree:
    """Return the candidate's ancestors as a tree, `depth` levels deep. Who was shown before is not opened again."""
    by_id = {record.id: record for record in view.candidates}
    tree = Tree(_node(view, candidate), guide_style="dim")
    level, shown = [(candidate, tree)], {candidate.id}
    for _ in range(depth):
        above: list[tuple[CandidateRecord, Tree]] = []
        for child, branch in level:
            for parent in parents(by_id, child):
                again = parent.id in shown
                shown.add(parent.id)
                twig = branch.add(_node(view, parent, again=again))
                if not again:
                    above.append((parent, twig))
        level = above
    for child, branch in level:
        hidden = len(parents(by_id, child))
        if hidden:
            branch.add(Text("… older generations: --depth shows more", style="dim"))
    return tree


def pairs(console: Console, rows: Mapping[str, str]) -> RenderableType:
    """Return names and values, side by side or, on a narrow terminal, one below the other."""
    if console.width < NARROW:
        return Group(*(Text.assemble((name, "bold"), f" {value}") for name, value in rows.items()))
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows.items():
        table.add_row(Text(name), Text(value))
    return table


def _columns(view: SearchView, members: list[CandidateRecord]) -> list[str]:
    known = {name for member in members for name in member.metrics}
    wanted = [objective.name for objective in view.spec.objectives]
    extra = [name for name in (_TESTED, *_COSTS) if name in known]
    return list(dict.fromkeys([*wanted, *extra]))


def _value(view: SearchView, candidate: CandidateRecord, name: str, *, errors: bool = True) -> str:
    place = next((i for i, objective in enumerate(view.spec.objectives) if objective.name == name), None)
    value = candidate.metrics.get(name) if place is None else candidate.objectives[place]
    metric = name if place is None else view.spec.objectives[place].metric_name
    known = METRICS.get(metric) or METRICS.get(metric.removeprefix("test_"))
    unit = known.unit if known else "1"
    return with_error(value, candidate.errors.get(name) if errors else None, unit)


def _lines(view: SearchView, member: CandidateRecord, columns: list[str]) -> RenderableType:
    lines = [Text(member.id, style="bold")]
    lines += [Text(f"  {name} {_value(view, member, name)}") for name in columns]
    return Group(*lines)


def _node(view: SearchView, candidate: CandidateRecord, *, again: bool = False) -> Text:
    text = Text(candidate.id, style="bold" if candidate.on_front else "")
    text.append(f" gen {candidate.generation} · {objective_values(view, candidate)}", style="not bold")
    if candidate.on_front:
        text.append(" · front", style="not bold green")
    if candidate.operators:
        text.append(f" · {', '.join(candidate.operators)}", style="not bold dim")
    if again:
        text.append(" (see above)", style="not bold dim")
    return text
