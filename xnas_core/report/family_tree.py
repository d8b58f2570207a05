"""The family tree of a search: candidates by generation, lines to both parents, the lines that led to the front.

A generation is a column, its candidates from best to worst first objective, so that equal heights mean equal places
among contemporaries. What led to the front is drawn over what did not.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from xnas_core.analysis.phylogeny import Phylogeny
from xnas_core.objectives import to_minimise
from xnas_core.report.data import ReportData
from xnas_core.report.numbers import grouped, number, plural
from xnas_core.report.plots import diamond, dots
from xnas_core.report.svg import join, short, tag

LARGEST = 1_500
"""Lines of descent of each kind that are drawn; of those to the front, the nearest to it."""
WIDTH, HEIGHT = 1_060.0, 460.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 40.0, 16.0, 14.0, 44.0
_ROWS = 16
_ROOMY = 1_200
"""Candidates up to which ancestors are circles; of more, dots."""
_LABELS = 24

Place = tuple[float, float]


@dataclass(frozen=True, slots=True)
class FamilyTree:
    """The picture.

    Attributes:
        places: pixel of each candidate in the picture.
        dense: ancestors are dots and not circles.
        drawn, lines: lines of descent to the front that are drawn, and that there are.
        others: whether the lines that did not lead to the front are drawn too.
    """

    svg: Markup
    places: tuple[Place, ...]
    dense: bool
    drawn: int
    lines: int
    others: bool


@dataclass(frozen=True, slots=True)
class GenerationRow:
    """Some neighbouring generations in figures: the picture's text form."""

    generations: str
    candidates: int
    ancestral: int
    front: int
    best: str


def draw_tree(data: ReportData, tree: Phylogeny) -> FamilyTree:
    """Return the family tree's picture."""
    places = tree_places(data, tree)
    to_front = _nearest_first(tree)
    leading = set(to_front)
    others = [edge for edge in tree.edges if edge not in leading]
    drawn, all_others = to_front[:LARGEST], len(others) <= LARGEST
    front = frozenset(tree.front)
    plain = [place for i, place in enumerate(places) if i not in tree.ancestral]
    ancestors = [places[i] for i in sorted(tree.ancestral - front)]
    dense = len(places) > _ROOMY
    label = (
        f"Family tree: {plural(len(places), 'candidate')} in {plural(len(tree.generations), 'generation')}, oldest on "
        f"the left; {grouped(len(tree.ancestral))} of them are on the front or ancestors of a member"
    )
    svg = tag(
        "svg",
        tag("title", label),
        _frame(data, tree),
        tag("path", class_="descent", d=_lines(others, places)) if all_others else Markup(""),
        dots(plain),
        tag("path", class_="descent led", d=_lines(drawn, places)),
        tag("path", class_="descent picked", id="tree-line"),
        tag("path", class_="descent picked near", id="tree-near"),
        dots(ancestors, "dots led")
        if dense
        else join(tag("circle", class_="ancestor", cx=x, cy=y, r=3.5) for x, y in ancestors),
        tag("path", class_="member", d="".join(diamond(*places[i], 5.5) for i in sorted(front))),
        class_="plot tree-plot dense" if dense else "plot tree-plot",
        viewBox=f"0 0 {short(WIDTH)} {short(HEIGHT)}",
        role="img",
        aria_label=label,
    )
    return FamilyTree(svg, places, dense, len(drawn), len(to_front), all_others)


def tree_places(data: ReportData, tree: Phylogeny) -> tuple[Place, ...]:
    """Return the pixel of each candidate: column by generation, row by first objective, best at the top."""
    columns = tree.generations
    step = (WIDTH - _LEFT - _RIGHT) / max(1, len(columns))
    room = HEIGHT - _TOP - _BOTTOM
    way = data.view.spec.objectives[0].direction
    places: list[Place] = [(0.0, 0.0)] * len(tree.generation)

    def worth(i: int) -> tuple[float, int]:
        value = data.view.candidates[i].objectives[0]
        return (math.inf if value is None else to_minimise(value, way)), i

    for column, row in enumerate(columns):
        for place, i in enumerate(sorted(row, key=worth)):
            places[i] = (_LEFT + (column + 0.5) * step, _TOP + (place + 0.5) * room / len(row))
    return tuple(places)


def generation_rows(data: ReportData, tree: Phylogeny) -> list[GenerationRow]:
    """Return at most 16 rows of about equally many generations."""
    columns = tree.generations
    front = frozenset(tree.front)
    size = max(1, math.ceil(len(columns) / _ROWS))
    rows = []
    for start in range(0, len(columns), size):
        block = [i for column in columns[start : start + size] for i in column]
        first, last = (tree.generation[column[0]] for column in (columns[start], columns[start : start + size][-1]))
        rows.append(
            GenerationRow(
                f"{first}" if first == last else f"{first} to {last}",
                len(block),
                sum(i in tree.ancestral for i in block),
                sum(i in front for i in block),
                number(_best(data, block), data.fields[0].unit),
            )
        )
    return rows


def _best(data: ReportData, block: Sequence[int]) -> float | None:
    way = data.view.spec.objectives[0].direction
    known = [v for i in block if (v := data.view.candidates[i].objectives[0]) is not None]
    return min(known, key=lambda value: to_minimise(value, way)) if known else None


def _nearest_first(tree: Phylogeny) -> list[tuple[int, int]]:
    """Return the descents that led to the front, those nearest to it first."""
    order, seen = list(tree.front), set(tree.front)
    edges = []
    for child in order:
        for parent in tree.parents[child]:
            edges.append((parent, child))
            if parent not in seen:
                seen.add(parent)
                order.append(parent)
    return edges


def _lines(edges: Sequence[tuple[int, int]], places: Sequence[Place]) -> str:
    """Return curves from parent to child, flat at both ends."""
    path = ""
    for parent, child in edges:
        (px, py), (x, y) = places[parent], places[child]
        bend = (x - px) / 2 if x > px else 8.0
        path += "M{} {}C{} {} {} {} {} {}".format(*map(short, (px, py, px + bend, py, x - bend, y, x, y)))
    return path


def _frame(data: ReportData, tree: Phylogeny) -> Markup:
    columns = tree.generations
    step = (WIDTH - _LEFT - _RIGHT) / max(1, len(columns))
    every = max(1, math.ceil(len(columns) / _LABELS))
    parts = [
        tag(
            "text",
            str(tree.generation[columns[place][0]]),
            x=_LEFT + (place + 0.5) * step,
            y=HEIGHT - _BOTTOM + 16,
            text_anchor="middle",
        )
        for place in range(0, len(columns), every)
    ]
    middle = (_LEFT + WIDTH - _RIGHT) / 2
    parts.append(tag("text", "generation", class_="title", x=middle, y=HEIGHT - 8, text_anchor="middle"))
    centre = (HEIGHT - _BOTTOM + _TOP) / 2
    parts.append(
        tag(
            "text", f"place in its generation, best {data.fields[0].name} at the top", class_="title",
            x=14, y=centre, text_anchor="middle", transform=f"rotate(-90 14 {short(centre)})",
        )
    )  # fmt: skip
    return tag("g", *parts, class_="axes")
