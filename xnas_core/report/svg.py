"""SVG elements as escaped markup, and the few numbers a plot needs: nice ticks and a linear scale.

Everything goes through `tag`, which escapes every attribute and every text; so a name with markup in it stays text.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape


def tag(name: str, *children: str, **attributes: str | float | None) -> Markup:
    """Return an element. Children that are not markup are escaped; attributes that are None are left out.

    An attribute's trailing underscore is dropped and the others become hyphens (`class_`, `stroke_width`).
    """
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(value if isinstance(value, str) else short(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    # The name is always a literal of ours; what comes from outside was escaped above or is escaped here.
    return Markup(f"<{name}{written}>{join(children)}</{name}>")


def join(parts: Iterable[str]) -> Markup:
    """Return the parts, escaped where they are not markup, one after the other."""
    return Markup("").join(parts)


def figure(label: str, extent: tuple[float, float], parts: Iterable[str], role: str = "img") -> Markup:
    """Return a plot of so many pixels, with a name for those who do not see it.

    Args:
        label: its name.
        extent: width and height.
        parts: what is drawn.
        role: "img", or "group" where parts of it can be reached.
    """
    return tag(
        "svg",
        tag("title", label),
        join(parts),
        class_="plot",
        viewBox=f"0 0 {short(extent[0])} {short(extent[1])}",
        role=role,
        aria_label=label,
    )


def short(value: float) -> str:
    """Return a coordinate with at most one decimal."""
    text = f"{value:.1f}"
    return text.removesuffix(".0").replace("-0", "0") if text in ("-0.0", "0.0") else text.removesuffix(".0")


def ticks(low: float, high: float, count: int) -> list[float]:
    """Return about `count` round values (1, 2 or 5 times a power of ten apart) within [low, high]."""
    if not (math.isfinite(low) and math.isfinite(high)) or high <= low:
        return [low]
    rough = (high - low) / max(1, count)
    power = 10.0 ** math.floor(math.log10(rough))
    # The step nearest to the wanted one on a logarithmic scale: at most 1.6 times more or fewer ticks.
    step = min((1, 2, 5, 10), key=lambda m: abs(math.log(m * power / rough))) * power
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(k * step, 12 - math.floor(math.log10(step))) for k in range(first, last + 1)]


@dataclass(frozen=True, slots=True)
class Scale:
    """Maps [low, high] to [start, end] in pixels, with some room at both sides."""

    low: float
    high: float
    start: float
    end: float

    @staticmethod
    def of(values: Sequence[float], start: float, end: float) -> Scale:
        """Return a scale that shows all values; one value alone gets room around it."""
        low, high = (min(values), max(values)) if values else (0.0, 1.0)
        room = (high - low) * 0.05 or abs(high) * 0.05 or 0.5
        return Scale(low - room, high + room, start, end)

    def __call__(self, value: float) -> float:
        """Return the pixel."""
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)
