"""The plots as plain SVG: what a reader without JavaScript and a printer see.

The script in the page draws the same plots again to the width of the screen, with axis pickers and pointers.
Colours and strokes are classes, so that light, dark and print differ in the style sheet only. Shapes differ as
well as colours: dots for all that was evaluated, crosses for what breaks a constraint, diamonds for the front.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from markupsafe import Markup

from xnas_core.api.spec import Direction
from xnas_core.objectives import to_minimise
from xnas_core.report.data import Field, ReportData, steps
from xnas_core.report.numbers import number, plural, tick
from xnas_core.report.svg import Scale, figure, join, short, tag, ticks

WIDTH, HEIGHT = 720.0, 420.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 72.0, 12.0, 12.0, 46.0
_TITLE = 12.0
"""Middle of the turned title: clear of tick labels as long as "200 000"."""
_MOST_TICKS = 10

Point = tuple[float, float]


def front_axes(data: ReportData) -> tuple[int, int]:
    """Return the fields on the first plot's axes: the first two objectives, or proposal order and the only one."""
    if len(data.objectives) > 1:
        return 0, 1
    return len(data.fields) - 1, 0


def front_plot(data: ReportData, cards: frozenset[int], knee: int | None) -> Markup:
    """Return the front plot; members that have a card link to it."""
    x, y = front_axes(data)
    return scatter(data, x, y, (WIDTH, HEIGHT), cards=cards, knee=knee)


def scatter(
    data: ReportData,
    x: int,
    y: int,
    extent: tuple[float, float],
    *,
    cards: frozenset[int] = frozenset(),
    knee: int | None = None,
) -> Markup:
    """Return a scatter plot of field `y` over field `x`."""
    xs, ys = data.values[x], data.values[y]
    shown = [
        (i, float(a), float(b)) for i, (a, b) in enumerate(zip(xs, ys, strict=True)) if a is not None and b is not None
    ]
    width, height = extent
    across = Scale.of([a for _, a, _ in shown], _LEFT, width - _RIGHT)
    up = Scale.of([b for _, _, b in shown], height - _BOTTOM, _TOP)
    members = set(data.front)
    plain = [(across(a), up(b)) for i, a, b in shown if i not in members and i not in data.infeasible]
    crossed = [(across(a), up(b)) for i, a, b in shown if i in data.infeasible]
    on_front = [(i, a, b) for i, a, b in shown if i in members]
    parts = [
        axes(across, up, data.fields[x], data.fields[y], extent),
        dots(plain),
        tag("path", class_="cross", d="".join(_cross(px, py) for px, py in crossed)) if crossed else Markup(""),
        _staircase(data, x, y, on_front, across, up),
        *(_member(data, x, y, i, (across(a), up(b)), cards, knee) for i, a, b in on_front),
    ]
    label = (
        f"{data.fields[y].name} over {data.fields[x].name}: {plural(len(shown), 'candidate')}, "
        f"{len(on_front)} of them on the front"
    )
    return figure(label, extent, parts, "group")


def hypervolume_plot(data: ReportData) -> Markup:
    """Return the hypervolume over finished evaluations, as steps."""
    points = steps(data.view.history)
    extent = (WIDTH, 260.0)
    across = Scale.of([float(p.evaluations) for p in points], _LEFT, extent[0] - _RIGHT)
    up = Scale.of([p.hypervolume for p in points], extent[1] - _BOTTOM, _TOP)
    line = ""
    for place, point in enumerate(points):
        px, py = short(across(point.evaluations)), short(up(point.hypervolume))
        line += f"H{px}V{py}" if place else f"M{px} {py}"
    names = (Field("finished evaluations", "1", "", None, False), Field("hypervolume", "1", "", None, False))
    last = points[-1] if points else None
    label = (
        f"Hypervolume over evaluations; {number(last.hypervolume)} after {last.evaluations}"
        if last
        else "No values yet"
    )
    return figure(label, extent, [axes(across, up, *names, extent), tag("path", class_="line", d=line)], "group")


def axes(across: Scale, up: Scale, x: Field, y: Field, extent: tuple[float, float]) -> Markup:
    """Return grid lines, tick labels and axis titles with the way that is better."""
    width, height = extent
    bottom = height - _BOTTOM
    parts: list[Markup] = []
    for value in ticks(across.low, across.high, min(_MOST_TICKS, int((width - _LEFT) // 70))):
        px = across(value)
        parts.append(tag("line", class_="grid", x1=px, x2=px, y1=_TOP, y2=bottom))
        parts.append(tag("text", tick(value), x=px, y=bottom + 16, text_anchor="middle"))
    for value in ticks(up.low, up.high, int((bottom - _TOP) // 45)):
        py = up(value)
        parts.append(tag("line", class_="grid", x1=_LEFT, x2=width - _RIGHT, y1=py, y2=py))
        parts.append(tag("text", tick(value), x=_LEFT - 7, y=py + 4, text_anchor="end"))
    middle = (_LEFT + width - _RIGHT) / 2
    parts.append(tag("text", axis_title(x), class_="title", x=middle, y=height - 8, text_anchor="middle"))
    centre = (_TOP + bottom) / 2
    turned = f"rotate(-90 {short(_TITLE)} {short(centre)})"
    parts.append(tag("text", axis_title(y), class_="title", x=_TITLE, y=centre, text_anchor="middle", transform=turned))
    return tag("g", *parts, class_="axes")


def axis_title(field: Field) -> str:
    """Return name, unit and which way is better; without a unit that the name says."""
    said = field.name.endswith(("_ms", "_seconds"))
    unit = "" if field.unit in ("", "1") or said else f" ({field.unit})"
    better = {Direction.MAXIMIZE: ", more is better", Direction.MINIMIZE: ", less is better", None: ""}
    return f"{field.name}{unit}{better[field.direction] if field.objective else ''}"


def dots(points: Sequence[tuple[float, float]], kind: str = "dots") -> Markup:
    """Return the dots as paths of points with round caps: a dozen bytes each, and quick to draw by the thousand.

    Of dots that fall on the same two pixels one is drawn, and a path holds at most 500: browsers take much longer
    for one long path than for several short ones. `kind` is the class.
    """
    seen = {(round(px / 2), round(py / 2)): f"M{short(px)} {short(py)}h0" for px, py in points}
    moves = list(seen.values())
    return join(tag("path", class_=kind, d="".join(moves[at : at + 500])) for at in range(0, len(moves), 500))


def diamond(px: float, py: float, r: float) -> str:
    """Return a path."""
    return f"M{short(px)} {short(py - r)}l{short(r)} {short(r)}l{short(-r)} {short(r)}l{short(-r)} {short(-r)}z"


def _member(
    data: ReportData, x: int, y: int, i: int, at: tuple[float, float], cards: frozenset[int], knee: int | None
) -> Markup:
    record = data.view.candidates[i]
    values = ", ".join(f"{data.fields[f].name} {number(data.values[f][i])}" for f in (x, y))
    said = f"{record.id}: {values}"
    parts = [tag("title", said + (", knee point" if i == knee else ""))]
    if i == knee:
        parts.append(tag("circle", class_="knee", cx=at[0], cy=at[1], r=10))
    parts.append(tag("path", class_="member", d=diamond(*at, 5.5)))
    return tag("a", *parts, href=f"#card-{record.id}") if i in cards else tag("g", *parts)


def _staircase(
    data: ReportData, x: int, y: int, members: Sequence[tuple[int, float, float]], across: Scale, up: Scale
) -> Markup:
    """Return the border between what the front dominates and what it does not; none where an axis is no objective."""
    way_x, way_y = data.fields[x].direction, data.fields[y].direction
    if not (data.fields[x].objective and data.fields[y].objective) or way_x is None or way_y is None:
        return Markup("")
    line = stairs(unbeaten([(a, b) for _, a, b in members], (way_x, way_y)), across, up)
    return tag("path", class_="stairs", d=line) if line else Markup("")


def unbeaten(points: Iterable[Point], ways: tuple[Direction, Direction]) -> list[Point]:
    """Return the points that no other one beats in both objectives, best first objective first."""
    rows = sorted((to_minimise(a, ways[0]), to_minimise(b, ways[1]), a, b) for a, b in points)
    best, kept = float("inf"), []
    for _, worth, a, b in rows:
        if worth < best:
            best = worth
            kept.append((a, b))
    return kept


def stairs(front: Sequence[Point], across: Scale, up: Scale) -> str:
    """Return the border of what these points, in the order of `unbeaten`, dominate."""
    line = ""
    for a, b in front:
        line += f"H{short(across(a))}V{short(up(b))}" if line else f"M{short(across(a))} {short(up(b))}"
    return line


def _cross(px: float, py: float) -> str:
    return f"M{short(px - 3)} {short(py - 3)}l6 6m-6 0l6 -6"
