"""Calibration of the two confidences, and how well each finds mistakes.

Activations are circles and a solid line, softmax is squares and a dashed line: shape says it as well as colour.
"""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from xnas_core.diagnosis import Calibration, Detection, Diagnosis
from xnas_core.report.numbers import number
from xnas_core.report.shapes import circle, square
from xnas_core.report.svg import Scale, figure, join, short, tag

_WIDTH, _HEIGHT = 340.0, 250.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 44.0, 10.0, 10.0, 42.0
_TICKS = (0.0, 0.25, 0.5, 0.75, 1.0)


def calibration_plot(found: Diagnosis) -> Markup:
    """Return accuracy over confidence, by bins, for both confidences; a calibrated one lies on the diagonal."""
    across, up = _scales()
    parts = [
        _frame(across, up, "confidence", "accuracy"),
        tag("path", class_="even", d=f"M{_at(across, up, 0, 0)}L{_at(across, up, 1, 1)}"),
        _marks(found.softmax_calibration, across, up, round_=False),
        _marks(found.activation_calibration, across, up, round_=True),
    ]
    label = (
        f"Accuracy over confidence. Expected calibration error: activations "
        f"{number(found.activation_calibration.error)}, softmax {number(found.softmax_calibration.error)}"
    )
    return figure(label, (_WIDTH, _HEIGHT), parts)


def detection_plot(found: Diagnosis) -> Markup:
    """Return the share of all mistakes that is found among the samples of least confidence; "" without mistakes."""
    wrong = found.mispredictions
    if wrong.activation is None or wrong.softmax is None:
        return Markup("")
    across, up = _scales()
    parts = [
        _frame(across, up, "samples looked at, least confident first", "mistakes found"),
        tag("path", class_="even", d=f"M{_at(across, up, 0, 0)}L{_at(across, up, 1, 1)}"),
        tag("path", class_="curve second", d=_line(wrong.softmax, across, up)),
        tag("path", class_="curve", d=_line(wrong.activation, across, up)),
    ]
    ten = f"{100 * wrong.activation.found[10]:.0f} % by activations, {100 * wrong.softmax.found[10]:.0f} % by softmax"
    label = f"Mistakes found in the least confident samples; in the lowest tenth {ten}"
    return figure(label, (_WIDTH, _HEIGHT), parts)


def _scales() -> tuple[Scale, Scale]:
    return Scale(0.0, 1.0, _LEFT, _WIDTH - _RIGHT), Scale(0.0, 1.0, _HEIGHT - _BOTTOM, _TOP)


def _frame(across: Scale, up: Scale, x: str, y: str) -> Markup:
    parts = []
    for value in _TICKS:
        px, py, text = across(value), up(value), f"{100 * value:.0f} %"
        parts.append(tag("path", class_="grid", d=f"M{short(px)} {short(up(0))}V{short(up(1))}"))
        parts.append(tag("path", class_="grid", d=f"M{short(across(0))} {short(py)}H{short(across(1))}"))
        parts.append(tag("text", text, x=px, y=_HEIGHT - _BOTTOM + 15, text_anchor="middle"))
        parts.append(tag("text", text, x=_LEFT - 5, y=py + 4, text_anchor="end"))
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    parts.append(tag("text", x, class_="title", x=middle, y=_HEIGHT - 8, text_anchor="middle"))
    parts.append(tag("text", y, class_="title", x=_LEFT + 6, y=_TOP + 12))
    return join(parts)


def _marks(calibration: Calibration, across: Scale, up: Scale, *, round_: bool) -> Markup:
    """Return a mark a bin; the area grows with the share of samples in it, within bounds that can be seen."""
    total = sum(b.count for b in calibration.bins)
    path = ""
    for b in calibration.bins:
        px, py = across(min(1.0, max(0.0, b.confidence))), up(b.accuracy)
        r = 2.0 + 5.0 * (b.count / total) ** 0.5
        path += circle(px, py, r) if round_ else square(px, py, r)
    return tag("path", class_="bin" if round_ else "bin second", d=path)


def _line(detection: Detection, across: Scale, up: Scale) -> str:
    points: Sequence[float] = detection.found
    return "M" + "L".join(_at(across, up, k / (len(points) - 1), value) for k, value in enumerate(points))


def _at(across: Scale, up: Scale, x: float, y: float) -> str:
    return f"{short(across(x))} {short(up(y))}"
