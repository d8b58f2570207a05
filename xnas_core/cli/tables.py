"""Searches and candidates as text for a terminal: tables where there is room, lines where there is not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from xnas_core.api.spec import ArchitectureSearchSpec
from xnas_core.objectives import meaning, spec_metrics
from xnas_core.report.numbers import with_error
from xnas_core.search.ancestry import parents
from xnas_core.search.view import CandidateRecord, SearchView


class Fronted(Protocol):
    """What a table of a front is made from: a `SearchView`, or a part of one."""

    @property
    def spec(self) -> ArchitectureSearchSpec:
        """Names the objectives."""
        ...

    @property
    def candidates(self) -> tuple[CandidateRecord, ...]:
        """At least the front's members."""
        ...

    @property
    def front(self) -> tuple[str, ...]:
        """Ids, best first objective first."""
        ...


NARROW = 72
"""Below so many columns a table becomes lines."""
_EXTRAS = ("test_accuracy", "parameters", "macs")


@dataclass(frozen=True, slots=True)
class _Variant:
    """What a table of the front shows beyond the objectives; `extras` is how many of _EXTRAS."""

    extras: int
    errors: bool = False
    arch: bool = False


_VARIANTS = (
    _Variant(extras=3, errors=True, arch=True),
    _Variant(extras=3, errors=True),
    *(_Variant(extras=extras) for extras in (3, 2, 1, 0)),
)


def front_table(view: Fronted, console: Console, limit: int | None = None) -> RenderableType:
    """Return the front, best first objective first, with as many columns as there is room for.

    Args:
        view: the search; its front is not empty.
        console: where it will be printed.
        limit: list at most so many members, and say how many are left out.
    """
    by_id = {candidate.id: candidate for candidate in view.candidates}
    members = [by_id[identity] for identity in view.front[:limit]]
    shown = next(
        (table for wanted in _VARIANTS if fits(console, table := _front_table(view, members, wanted))),
        Group(*(_lines(view, member, _names(view, members, len(_EXTRAS))) for member in members)),
    )
    left_out = len(view.front) - len(members)
    return Group(shown, Text(f"and {left_out} more: `xnas front` lists all")) if left_out else shown


def fits(console: Console, table: Table) -> bool:
    """Return whether the table is no wider than the console, which would cut its cells short."""
    unbounded = console.options.update(max_width=10_000)
    return console.width >= NARROW and console.measure(table, options=unbounded).maximum <= console.width


def _front_table(view: Fronted, members: list[CandidateRecord], wanted: _Variant) -> Table:
    names = _names(view, members, wanted.extras)
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column("candidate", no_wrap=True)
    for name in (*names, "gen"):
        table.add_column(name, justify="right", no_wrap=True)
    if wanted.arch:
        table.add_column("architecture", no_wrap=True)
    for member in members:
        values = [_value(view, member, name, errors=wanted.errors) for name in names]
        row = [member.id, *values, str(member.generation), *([member.arch] if wanted.arch else [])]
        table.add_row(*map(Text, row))
    return table


def objective_values(view: Fronted, candidate: CandidateRecord) -> str:
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


def _names(view: Fronted, members: list[CandidateRecord], extras: int) -> list[str]:
    known = {name for member in members for name in member.metrics}
    wanted = [objective.name for objective in view.spec.objectives]
    extra = [name for name in _EXTRAS[:extras] if name in known]
    return list(dict.fromkeys([*wanted, *extra]))


def _value(view: Fronted, candidate: CandidateRecord, name: str, *, errors: bool = True) -> str:
    place = next((i for i, objective in enumerate(view.spec.objectives) if objective.name == name), None)
    value = candidate.metrics.get(name) if place is None else candidate.objectives[place]
    metric = name if place is None else view.spec.objectives[place].metric_name
    known = meaning(metric, spec_metrics(view.spec))
    unit = known.unit if known else "1"
    error = candidate.errors.get(name, candidate.errors.get(metric)) if errors else None
    return with_error(value, error, unit)


def _lines(view: Fronted, member: CandidateRecord, columns: list[str]) -> RenderableType:
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
