"""Class distances and mistakes as two triangles of cells, side by side: dark means near, and often confused.

The colours are those of cividis (Nunez, Anderton and Renslow 2018), which look the same with every common colour
vision deficiency and grow steadily darker. Cells say their numbers; those of the pairs that matter are in a table, too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from markupsafe import Markup

from xnas_core.diagnosis import Diagnosis
from xnas_core.report.numbers import number, plural
from xnas_core.report.svg import join, short, tag

_CIVIDIS = ((254, 232, 56), (200, 184, 102), (148, 142, 119), (102, 105, 112), (53, 69, 108), (0, 34, 78))
_CELL, _LABEL, _LETTERS = 20.0, 96.0, 13
_UNKNOWN = "none"
_LEVELS = 40
_TITLED = 12
"""Classes up to which each cell is an element of its own that says its numbers; of more, cells of one shade are one."""


def shade(strength: float) -> str:
    """Return the colour of a value in [0, 1], from light yellow to dark blue."""
    place = round(min(1.0, max(0.0, strength)) * _LEVELS) / _LEVELS * (len(_CIVIDIS) - 1)
    low = min(len(_CIVIDIS) - 2, int(place))
    share = place - low
    mixed = (round(a + (b - a) * share) for a, b in zip(_CIVIDIS[low], _CIVIDIS[low + 1], strict=True))
    return "#" + "".join(f"{value:02x}" for value in mixed)


def distance_matrix(found: Diagnosis) -> Markup:
    """Return the cosine distances of class means; the smaller, the darker."""
    values = found.classes.distances
    known = [d for row, cells in enumerate(values) for d in cells[:row] if d is not None]
    low, high = min(known, default=0.0), max(known, default=1.0)

    def cell(row: int, column: int) -> tuple[str, str]:
        distance = values[row][column]
        if distance is None:
            return _UNKNOWN, "distance undefined"
        return shade(1 - (distance - low) / (high - low or 1.0)), f"distance {number(distance)}"

    span = f", from {number(low)} (dark) to {number(high)} (light)" if known else ""
    return _triangle(found, cell, f"Cosine distances between class means{span}")


def mistake_matrix(found: Diagnosis) -> Markup:
    """Return how many samples of one class were taken for the other; the more, the darker."""
    values = found.classes.confusion
    folded = [[values[r][c] + values[c][r] for c in range(len(values))] for r in range(len(values))]
    most = max((folded[r][c] for r in range(len(values)) for c in range(r)), default=0)

    def cell(row: int, column: int) -> tuple[str, str]:
        return shade(folded[row][column] / (most or 1)), plural(folded[row][column], "mistake")

    return _triangle(found, cell, f"Mistakes between two classes, both ways, up to {most} (dark)")


def _triangle(found: Diagnosis, cell: Callable[[int, int], tuple[str, str]], label: str) -> Markup:
    names = [_short(found.class_names[k]) for k in found.classes.shown]
    count = len(names)
    side = _CELL * max(0, count - 1)
    parts = []
    plain: dict[str, str] = {}
    for row in range(1, count):
        top = _CELL * (row - 1)
        parts.append(tag("text", names[row], x=_LABEL - 6, y=top + 14, text_anchor="end"))
        for column in range(row):
            fill, said = cell(row, column)
            path = f"M{short(_LABEL + _CELL * column)} {short(top)}h19v19h-19z"
            if count <= _TITLED:
                title = tag("title", f"{names[row]}, {names[column]}: {said}")
                parts.append(tag("path", title, d=path, fill=fill))
            else:
                plain[fill] = plain.get(fill, "") + path
    parts += [tag("path", d=path, fill=fill) for fill, path in plain.items()]
    parts.append(_columns(names[:-1], side))
    return tag(
        "svg",
        tag("title", label),
        join(parts),
        class_="plot matrix",
        viewBox=f"0 0 {_LABEL + side + 70:.0f} {side + 84:.0f}",
        role="img",
        aria_label=label,
    )


def _columns(names: Sequence[str], side: float) -> Markup:
    """Return the names of the columns, turned, below the cells."""
    return join(
        tag(
            "text",
            name,
            text_anchor="start",
            transform=f"translate({_LABEL + _CELL * k + 6:.0f} {side + 10:.0f}) rotate(50)",
        )
        for k, name in enumerate(names)
    )


def _short(name: str) -> str:
    return name if len(name) <= _LETTERS else name[: _LETTERS - 1] + "…"
