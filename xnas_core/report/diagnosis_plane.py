"""Activations in the plane of their first two principal components: a mark a sample, colour and shape say its class.

Seven colours that are told apart with every common colour vision deficiency (after Okabe and Ito 2008, darker, for
white paper), and after seven classes another shape. Classes that are not among those shown are grey. Samples that the
network gets wrong are ringed.
"""

from __future__ import annotations

from markupsafe import Markup

from xnas_core.diagnosis import Diagnosis
from xnas_core.report.plots import diamond
from xnas_core.report.shapes import circle, square, triangle
from xnas_core.report.svg import Scale, join, short, tag

_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b8860b", "#56b4e9", "#7a5195")
_SHAPES = (circle, square, triangle, diamond)
_OTHER = -1
_WIDTH, _HEIGHT, _ROOM, _R = 340.0, 270.0, 14.0, 3.2


def plane_plot(found: Diagnosis) -> Markup:
    """Return the plot."""
    points = found.plane.points
    across = Scale.of([x for x, _ in points], _ROOM, _WIDTH - _ROOM)
    up = Scale.of([y for _, y in points], _HEIGHT - 2 * _ROOM, _ROOM)
    places = _places(found)
    paths: dict[int, str] = {}
    rings = ""
    for (x, y), label, predicted in zip(points, found.plane.labels, found.plane.predictions, strict=True):
        place, px, py = places.get(label, _OTHER), across(x), up(y)
        paths[place] = paths.get(place, "") + _mark(place, px, py)
        if label != predicted:
            rings += circle(px, py, _R + 3)
    shares = [f"{100 * share:.0f} %" for share in found.plane.variance]
    said = f"Activations of {len(points)} validation samples; the axes hold {' and '.join(shares)} of the variance"
    names = {place: found.class_names[label] for label, place in places.items()} | {_OTHER: "other classes"}
    parts = [
        *(tag("path", tag("title", names[place]), d=paths[place], fill=_colour(place)) for place in sorted(paths)),
        tag("path", class_="ring", d=rings) if rings else Markup(""),
        tag("text", f"first component, {shares[0]}", x=_ROOM, y=_HEIGHT - 6),
        tag("text", f"second, {shares[1]}", x=_ROOM, y=_ROOM),
    ]
    box = f"0 0 {short(_WIDTH)} {short(_HEIGHT)}"
    return tag("svg", tag("title", said), join(parts), class_="plot", viewBox=box, role="img", aria_label=said)


def plane_legend(found: Diagnosis) -> list[tuple[Markup, str]]:
    """Return sign and name of each class in the plot."""
    places, seen = _places(found), set(found.plane.labels)
    known = [(places[label], found.class_names[label]) for label in found.classes.shown if label in seen]
    others = [(_OTHER, "other classes")] if seen - set(places) else []
    return [(_sign(place), name) for place, name in (*known, *others)]


def _places(found: Diagnosis) -> dict[int, int]:
    """Return the place of each shown class, which its colour and shape follow from."""
    return {label: place for place, label in enumerate(found.classes.shown)}


def _sign(place: int) -> Markup:
    mark = tag("path", d=_mark(place, 6, 6), fill=_colour(place))
    return tag("svg", mark, width=12, height=12, viewBox="0 0 12 12", aria_hidden="true")


def _colour(place: int) -> str:
    return "#8a8a8a" if place == _OTHER else _COLOURS[place % len(_COLOURS)]


def _mark(place: int, x: float, y: float) -> str:
    shape = circle if place == _OTHER else _SHAPES[place // len(_COLOURS) % len(_SHAPES)]
    return shape(x, y, 1.6 if place == _OTHER else _R)
