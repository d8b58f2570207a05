"""An architecture's drawing as SVG.

Short labels and few layers (a cell): left to right, with the operations on the arrows. Otherwise (a chain of stages):
top to bottom, with the labels in boxes. Arrows that pass over a layer bend out, the longer the further, on
alternate sides. What carries nothing to the output is dotted.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from xnas_core.report.svg import short, tag
from xnas_core.spaces.base import Drawing, DrawnEdge

_CHARACTER = 6.3
_COLOURS = 7


@dataclass(frozen=True, slots=True)
class _Place:
    """A node's centre and half extents."""

    x: float
    y: float
    half_width: float
    half_height: float


def label_colours(drawings: Sequence[Drawing]) -> dict[str, int]:
    """Give each label of a live arrow a number from 1 to 7, the same in all drawings.

    Empty where there are more labels: then they are no small set of operations, and colours would say nothing.
    """
    labels = sorted({edge.label for drawing in drawings for edge in drawing.edges if edge.live and edge.label})
    return {label: place for place, label in enumerate(labels, start=1)} if len(labels) <= _COLOURS else {}


def draw(drawing: Drawing, colours: Mapping[str, int], title: str, mark: str) -> Markup:
    """Return the drawing.

    Args:
        drawing: what to draw; an edge that names no node is left out.
        colours: as `label_colours` gives.
        title: text alternative.
        mark: makes the ids in the SVG unique in the page.
    """
    layers = _layers(drawing)
    if not layers:
        return Markup("")
    across = max(layers.values()) < 6 and max(len(node.label) for node in drawing.nodes) <= 8
    places = _places(drawing, layers, across)
    edges = [edge for edge in drawing.edges if edge.source in places and edge.target in places]
    parts: list[Markup] = []
    box = _Box()
    long = 0
    for edge in edges:
        span = layers[edge.target] - layers[edge.source]
        long += span > 1
        side = (-1 if long % 2 else 1) if span > 1 else 0
        parts.append(_arrow(edge, places, side * span, across, colours, mark, box))
    for node in drawing.nodes:
        place = places[node.id]
        box.add(place.x - place.half_width, place.y - place.half_height)
        box.add(place.x + place.half_width, place.y + place.half_height)
        parts.append(
            tag(
                "g",
                tag(
                    "rect",
                    x=place.x - place.half_width,
                    y=place.y - place.half_height,
                    width=2 * place.half_width,
                    height=2 * place.half_height,
                    rx=min(place.half_height, 12),
                ),
                tag("text", node.label, x=place.x, y=place.y + 4, text_anchor="middle"),
                class_="node",
            )
        )
    head = tag("path", d="M0 0L8 4L0 8z", class_="head")
    marker = tag(
        "marker",
        head,
        id=f"head-{mark}",
        viewBox="0 0 8 8",
        refX=7,
        refY=4,
        markerWidth=7,
        markerHeight=7,
        orient="auto",
    )
    left, top, width, height = box.extent(6)
    return tag(
        "svg",
        tag("title", title),
        tag("defs", marker),
        *parts,
        class_="drawing",
        viewBox=f"{short(left)} {short(top)} {short(width)} {short(height)}",
        width=width,
        height=height,
        role="img",
        aria_label=title,
    )


class _Box:
    """The smallest rectangle around what was drawn."""

    def __init__(self) -> None:
        self._xs: list[float] = []
        self._ys: list[float] = []

    def add(self, x: float, y: float) -> None:
        self._xs.append(x)
        self._ys.append(y)

    def extent(self, room: float) -> tuple[float, float, float, float]:
        left, top = min(self._xs) - room, min(self._ys) - room
        return left, top, max(self._xs) + room - left, max(self._ys) + room - top


def _layers(drawing: Drawing) -> dict[str, int]:
    """Return each node's layer: the longest way to it from the input."""
    layers = {node.id: 0 for node in drawing.nodes}
    incoming: dict[str, list[str]] = {node.id: [] for node in drawing.nodes}
    for edge in drawing.edges:
        if edge.source in layers and edge.target in layers:
            incoming[edge.target].append(edge.source)
    for node in drawing.nodes:
        layers[node.id] = 1 + max((layers[source] for source in incoming[node.id]), default=-1)
    return layers


def _places(drawing: Drawing, layers: Mapping[str, int], across: bool) -> dict[str, _Place]:
    crowd: dict[int, list[str]] = {}
    for node in drawing.nodes:
        crowd.setdefault(layers[node.id], []).append(node.id)
    half = {node.id: max(14.0, len(node.label) * _CHARACTER / 2 + 9) for node in drawing.nodes}
    widest = max((len(edge.label) for edge in drawing.edges if edge.label), default=0) * _CHARACTER
    places = {}
    if across:
        columns = _columns(layers, half, widest + 24)
        for node in drawing.nodes:
            row = crowd[layers[node.id]]
            offset = row.index(node.id) - (len(row) - 1) / 2
            places[node.id] = _Place(columns[layers[node.id]], offset * 56, half[node.id], 13.0)
        return places
    step_across = 2 * max(half.values()) + 24
    step_down = 56.0 if widest else 44.0
    for node in drawing.nodes:
        row = crowd[layers[node.id]]
        offset = row.index(node.id) - (len(row) - 1) / 2
        places[node.id] = _Place(offset * step_across, layers[node.id] * step_down, half[node.id], 13.0)
    return places


def _columns(layers: Mapping[str, int], half: Mapping[str, float], gap: float) -> list[float]:
    """Return the middle of each layer, such that `gap` is free between the widest nodes of two layers."""
    widths = [0.0] * (1 + max(layers.values()))
    for name, layer in layers.items():
        widths[layer] = max(widths[layer], half[name])
    middles = [0.0]
    for left, right in itertools.pairwise(widths):
        middles.append(middles[-1] + left + max(40.0, gap) + right)
    return middles


def _arrow(
    edge: DrawnEdge,
    places: Mapping[str, _Place],
    bend: int,
    across: bool,
    colours: Mapping[str, int],
    mark: str,
    box: _Box,
) -> Markup:
    source, target = places[edge.source], places[edge.target]
    if across:
        reach = math.copysign(26 + 22 * abs(bend), bend) if bend else 0.0
        start = (
            (source.x, source.y + math.copysign(source.half_height, bend))
            if bend
            else (source.x + source.half_width, source.y)
        )
        end = (
            (target.x, target.y + math.copysign(target.half_height, bend))
            if bend
            else (target.x - target.half_width, target.y)
        )
        turn = (
            (start[0] + (end[0] - start[0]) * 0.2, start[1] + reach),
            (end[0] - (end[0] - start[0]) * 0.2, end[1] + reach),
        )
    else:
        wide = max(source.half_width, target.half_width)
        reach = math.copysign(wide * 0.5 + 20 + 14 * abs(bend), bend) if bend else 0.0
        start = (
            (source.x + math.copysign(source.half_width, bend), source.y)
            if bend
            else (source.x, source.y + source.half_height)
        )
        end = (
            (target.x + math.copysign(target.half_width, bend), target.y)
            if bend
            else (target.x, target.y - target.half_height)
        )
        turn = ((start[0] + reach, start[1] + 14), (end[0] + reach, end[1] - 14))
    if not bend:
        turn = (_between(start, end, 1 / 3), _between(start, end, 2 / 3))
    d = "M{} {}C{} {} {} {} {} {}".format(*map(short, (*start, *turn[0], *turn[1], *end)))
    middle = tuple((a + 3 * b + 3 * c + e) / 8 for a, b, c, e in zip(start, *turn, end, strict=True))
    colour = f"c{colours.get(edge.label, 0)}" if edge.live else "dead"
    parts = [tag("path", d=d, class_=f"edge {colour}", marker_end=f"url(#head-{mark})")]
    box.add(middle[0], middle[1])
    if edge.label:
        lift = -5.0 if across and bend <= 0 else 14.0 if across else 4.0
        shift = 0.0 if across else (math.copysign(8, bend) if bend else 8.0)
        anchor = "middle" if across else ("end" if bend < 0 else "start")
        x, y = middle[0] + shift, middle[1] + lift
        length = len(edge.label) * _CHARACTER
        box.add(x - length * {"middle": 0.5, "end": 1.0}.get(anchor, 0.0), y - 11)
        box.add(x + length * {"middle": 0.5, "start": 1.0}.get(anchor, 0.0), y + 3)
        parts.append(tag("text", edge.label, x=x, y=y, text_anchor=anchor, class_=f"op {colour}"))
    return tag("g", *parts)


def _between(a: tuple[float, float], b: tuple[float, float], share: float) -> tuple[float, float]:
    return a[0] + (b[0] - a[0]) * share, a[1] + (b[1] - a[1]) * share
