"""Where a front member comes from: its ancestors as a small graph, generation by generation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from markupsafe import Markup

from xnas_core.report.data import ReportData
from xnas_core.report.numbers import number, plural
from xnas_core.report.plots import diamond
from xnas_core.report.svg import short, tag

LIMIT = 60
"""Ancestors that are drawn, nearest generations first; the others are counted."""

_COLUMN, _ROW, _EDGE = 68.0, 24.0, 26.0


@dataclass(frozen=True, slots=True)
class Lineage:
    """A member's ancestry: `drawn` positions (the member included), ancestors in all, first generation, picture."""

    member: int
    drawn: tuple[int, ...]
    ancestors: int
    generations: tuple[int, ...]
    svg: Markup

    @property
    def hidden(self) -> int:
        """Ancestors that are not drawn."""
        return self.ancestors + 1 - len(self.drawn)


def lineage(data: ReportData, member: int) -> Lineage:
    """Return the ancestry of a candidate. Parents that are not in the view are left out."""
    parents = {member: _parents(data, member)}
    order = [member]
    for i in order:
        for parent in parents[i]:
            if parent not in parents:
                parents[parent] = _parents(data, parent)
                order.append(parent)
    # Breadth first: the nearest ancestors are kept, so every drawn one but the member has a drawn child.
    drawn = order[: LIMIT + 1]
    generations = sorted({data.view.candidates[i].generation for i in drawn})
    places = _places(data, drawn, parents, generations)
    svg = _picture(data, member, places, parents, generations)
    return Lineage(member, tuple(drawn), len(order) - 1, tuple(generations), svg)


def _parents(data: ReportData, i: int) -> list[int]:
    known = [data.index[p] for p in data.view.candidates[i].parents if p in data.index]
    # A parent comes before its child; anything else would be a loop, and is not followed.
    return [p for p in known if data.view.candidates[p].number < data.view.candidates[i].number]


def _places(
    data: ReportData, drawn: list[int], parents: Mapping[int, list[int]], generations: list[int]
) -> dict[int, tuple[float, float]]:
    """Place generations as columns; within one, order by the mean row of the children, youngest column first."""
    columns: dict[int, list[int]] = {generation: [] for generation in generations}
    children: dict[int, list[int]] = {i: [] for i in drawn}
    for i in drawn:
        columns[data.view.candidates[i].generation].append(i)
        for parent in parents[i]:
            if parent in children:
                children[parent].append(i)
    tallest = max(len(column) for column in columns.values())
    rows: dict[int, float] = {}
    for generation in reversed(generations):

        def wish(i: int) -> tuple[float, int]:
            known = [rows[child] for child in children[i] if child in rows]
            return (sum(known) / len(known) if known else tallest / 2, i)

        column = sorted(columns[generation], key=wish)
        for place, i in enumerate(column):
            rows[i] = (place + 0.5) * tallest / len(column)
    return {
        i: (_EDGE + generations.index(data.view.candidates[i].generation) * _COLUMN, _EDGE + 8 + rows[i] * _ROW)
        for i in drawn
    }


def _picture(
    data: ReportData,
    member: int,
    places: Mapping[int, tuple[float, float]],
    parents: Mapping[int, list[int]],
    generations: list[int],
) -> Markup:
    members = set(data.front)
    width = 2 * _EDGE + (len(generations) - 1) * _COLUMN
    height = max(y for _, y in places.values()) + _EDGE
    lines = ""
    for i, (x, y) in places.items():
        for parent in parents[i]:
            if parent in places:
                px, py = places[parent]
                bend = (x - px) / 2 if x > px else 30
                points = map(short, (px, py, px + bend, py, x - bend, y, x, y))
                lines += "M{} {}C{} {} {} {} {} {}".format(*points)
    heads = [
        tag("text", f"{generation}", x=_EDGE + place * _COLUMN, y=14, text_anchor="middle")
        for place, generation in enumerate(generations)
    ]
    nodes = []
    for i, (x, y) in places.items():
        record = data.view.candidates[i]
        values = ", ".join(
            f"{objective.name} {number(value)}"
            for objective, value in zip(data.view.spec.objectives, record.objectives, strict=True)
        )
        said = tag("title", f"{record.id}, generation {record.generation}: {values}")
        if i in members:
            ring = [tag("circle", class_="knee", cx=x, cy=y, r=11)] if i == member else []
            mark = tag("g", said, *ring, tag("path", class_="member", d=diamond(x, y, 6)), data_i=str(i))
        else:
            mark = tag("g", said, tag("circle", class_="ancestor", cx=x, cy=y, r=5), data_i=str(i))
        nodes.append(mark)
    record = data.view.candidates[member]
    label = f"Ancestors of {record.id}: {plural(len(places) - 1, 'candidate')} by generation, youngest on the right"
    return tag(
        "svg",
        tag("title", label),
        tag("g", *heads, class_="axes"),
        tag("path", class_="descent", d=lines),
        *nodes,
        class_="lineage",
        viewBox=f"0 0 {short(width)} {short(height)}",
        width=width,
        height=height,
        role="img",
        aria_label=label,
    )
