"""The plots of a comparison: fronts laid over each other, hypervolume over evaluations with bands.

An arm has a colour, a shape and a letter, so that it is told apart without colours. Each plot is made twice, for wide
and for narrow screens; the style sheet shows one of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from markupsafe import Markup

from xnas_core.analysis.arms import Arm, Comparison
from xnas_core.analysis.summaries import band
from xnas_core.objectives import METRICS
from xnas_core.report.data import Field
from xnas_core.report.numbers import number, plural
from xnas_core.report.plots import Point, axes, diamond, stairs, unbeaten
from xnas_core.report.shapes import circle, square
from xnas_core.report.svg import Scale, figure, join, short, tag
from xnas_core.search.view import SearchView

EXTENTS = (("wide-only", (1_040.0, 440.0)), ("narrow-only", (360.0, 330.0)))
_LEFT, _RIGHT, _TOP, _BOTTOM = 72.0, 26.0, 12.0, 46.0
_COLOURS = (1, 2, 3, 4, 5, 7, 6)
"""Classes of colour. The sixth is as blue as the first; seventh in this order, it has another shape."""
_DRAWN = 400
"""Front members of an arm that are drawn on a plot."""
_LINE = 13.0


def mark(place: int, x: float, y: float, r: float = 4.5) -> Markup:
    """Return the mark of an arm by its place among the arms: 35 combinations of colour and shape."""
    shapes: tuple[Callable[[float, float, float], str], ...] = (diamond, _disc, _up, _square, _down)
    return tag("path", class_=f"arm f{_colour(place)}", d=shapes[place % len(shapes)](x, y, r))


def fields(view: SearchView) -> tuple[Field, ...]:
    """Return the objectives as fields."""
    made = []
    for objective in view.spec.objectives:
        meaning = METRICS.get(objective.metric_name)
        unit, about = (meaning.unit, meaning.description) if meaning else ("1", "")
        made.append(Field(objective.name, unit, about, objective.direction, True))
    return tuple(made)


def joint_front(arm: Arm, x: int, y: int) -> list[Point]:
    """Return what no front member of any of the arm's searches beats in both objectives, best first objective first."""
    spec = arm.trials[0].view.spec.objectives
    ways = spec[x].direction, spec[y].direction
    return unbeaten([point for trial in arm.trials for point in _front(trial.view, x, y)], ways)


def fronts_plot(comparison: Comparison, x: int, y: int) -> Markup:
    """Return the fronts of all searches in two objectives: a thin line a search, marks on each arm's joint front."""
    made = [tag("div", _fronts(comparison, x, y, extent), class_=kind) for kind, extent in EXTENTS]
    return join(made)


def volumes_plot(comparison: Comparison) -> Markup:
    """Return mean hypervolume over evaluations, a line an arm, with its band."""
    return join([tag("div", _volumes(comparison, extent), class_=kind) for kind, extent in EXTENTS])


def _fronts(comparison: Comparison, x: int, y: int, extent: Point) -> Markup:
    across_field, up_field = (fields(comparison.views[0])[k] for k in (x, y))
    spec = comparison.views[0].spec.objectives
    ways = spec[x].direction, spec[y].direction
    fronts = [[_front(trial.view, x, y) for trial in arm.trials] for arm in comparison.arms]
    points = [point for arm in fronts for front in arm for point in front]
    across = Scale.of([a for a, _ in points], _LEFT, extent[0] - _RIGHT)
    up = Scale.of([b for _, b in points], extent[1] - _BOTTOM, _TOP)
    parts: list[Markup] = [axes(across, up, across_field, up_field, extent)]
    for place, (arm, trials) in enumerate(zip(comparison.arms, fronts, strict=True)):
        colour = f"c{_colour(place)}"
        for front in trials:
            parts.append(tag("path", class_=f"outline {colour}", d=stairs(unbeaten(front, ways), across, up)))
        joint = joint_front(arm, x, y)[:_DRAWN]
        parts += [
            tag("g", tag("title", _said(arm, comparison, x, y, a, b)), mark(place, across(a), up(b))) for a, b in joint
        ]
    label = f"Fronts of {plural(len(comparison.arms), 'arm')}: {up_field.name} over {across_field.name}"
    return figure(label, extent, parts)


def _colour(place: int) -> int:
    return _COLOURS[place % len(_COLOURS)]


def _said(arm: Arm, comparison: Comparison, x: int, y: int, a: float, b: float) -> str:
    names = [objective.name for objective in comparison.views[0].spec.objectives]
    return f"{arm.letter}: {names[x]} {number(a)}, {names[y]} {number(b)}"


def _volumes(comparison: Comparison, extent: Point) -> Markup:
    bands = [band(arm) if arm.evaluations else None for arm in comparison.arms]
    known = [b for b in bands if b is not None]
    across = Scale.of(
        [float(n) for b in known for n in (b.evaluations[0], b.evaluations[-1])], _LEFT, extent[0] - _RIGHT
    )
    heights = [v for b in known for row in (b.mean, b.low or (), b.high or ()) for v in row]
    up = Scale.of(heights, extent[1] - _BOTTOM, _TOP)
    names = (Field("finished evaluations", "1", "", None, False), Field("hypervolume", "1", "", None, False))
    parts: list[Markup] = [axes(across, up, *names, extent)]
    for place, found in enumerate(bands):
        if found is None:
            continue
        xs = [across(n) for n in found.evaluations]
        if found.low is not None and found.high is not None:
            upper = [f"{short(px)} {short(up(v))}" for px, v in zip(xs, found.high, strict=True)]
            lower = [f"{short(px)} {short(up(v))}" for px, v in zip(xs, found.low, strict=True)]
            parts.append(
                tag("path", class_=f"band f{_colour(place)}", d="M" + "L".join([*upper, *reversed(lower)]) + "z")
            )
    ends: list[tuple[float, float, str]] = []
    for place, (arm, found) in enumerate(zip(comparison.arms, bands, strict=True)):
        if found is None:
            continue
        xs, ys = [across(n) for n in found.evaluations], [up(v) for v in found.mean]
        line = "M" + "L".join(f"{short(px)} {short(py)}" for px, py in zip(xs, ys, strict=True))
        parts.append(tag("path", class_=f"mean c{_colour(place)}", d=line))
        parts += [mark(place, xs[k], ys[k]) for k in sorted({len(xs) * n // 5 for n in range(1, 5)} | {len(xs) - 1})]
        ends.append((ys[-1] + 4, xs[-1] + 8, arm.letter))
    parts += _letters(ends)
    return figure("Hypervolume over finished evaluations: mean of each arm, with 95 % band over seeds", extent, parts)


def _letters(ends: Sequence[tuple[float, float, str]]) -> list[Markup]:
    """Return the letters at the lines' ends, (y, x, letter), moved down where they would cover each other."""
    made: list[Markup] = []
    taken: list[Point] = []
    for y, x, letter in sorted(ends):
        low = max((ty + _LINE for tx, ty in taken if abs(tx - x) < _LINE), default=y)
        place = max(y, low)
        taken.append((x, place))
        made.append(tag("text", letter, class_="letter", x=x, y=place))
    return made


def _front(view: SearchView, x: int, y: int) -> list[Point]:
    members = frozenset(view.front)
    return [
        (a, b)
        for c in view.candidates
        if c.id in members and (a := c.objectives[x]) is not None and (b := c.objectives[y]) is not None
    ]


def _disc(x: float, y: float, r: float) -> str:
    return circle(x, y, 0.85 * r)


def _square(x: float, y: float, r: float) -> str:
    return square(x, y, 0.8 * r)


def _up(x: float, y: float, r: float) -> str:
    return f"M{short(x)} {short(y - r)}l{short(r)} {short(1.75 * r)}h{short(-2 * r)}z"


def _down(x: float, y: float, r: float) -> str:
    return f"M{short(x)} {short(y + r)}l{short(r)} {short(-1.75 * r)}h{short(-2 * r)}z"
