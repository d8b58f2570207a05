"""Shapes as parts of an SVG path, so that many marks of one kind are one element."""

from __future__ import annotations

from xnas_core.report.svg import short


def circle(x: float, y: float, r: float) -> str:
    """Return a circle around (x, y)."""
    half = f"a{short(r)} {short(r)} 0 1 0 "
    return f"M{short(x - r)} {short(y)}{half}{short(2 * r)} 0{half}{short(-2 * r)} 0"


def square(x: float, y: float, r: float) -> str:
    """Return a square around (x, y), 2 r wide."""
    return f"M{short(x - r)} {short(y - r)}h{short(2 * r)}v{short(2 * r)}h{short(-2 * r)}z"


def triangle(x: float, y: float, r: float) -> str:
    """Return a triangle that stands on its base, 2 r wide and high."""
    return f"M{short(x)} {short(y - r)}l{short(r)} {short(2 * r)}h{short(-2 * r)}z"
