"""Numbers as people read them: four figures, a thin space between thousands, units, standard errors."""

from __future__ import annotations

import math

UNKNOWN = "–"
_THIN = "\u202f"
_FIXED = "\u00a0"
"""A space at which no line breaks."""


def number(value: float | None, unit: str = "1") -> str:
    """Return a number with four figures and its unit; whole numbers as "12 345", large ones as "1.23 M" or "1 M"."""
    if value is None or not math.isfinite(value):
        return UNKNOWN
    return _plain(value, "#.4g") + _unit(unit)


def tick(value: float) -> str:
    """Return a round number as short as it can be: "0.1", "200 000", "1 M"."""
    return _plain(value, ".4g")


def with_error(value: float | None, error: float | None, unit: str = "1") -> str:
    """Return "value ± standard error unit", rounded to two figures of the error."""
    if value is None or error is None or not (math.isfinite(value) and math.isfinite(error) and error > 0):
        return number(value, unit)
    decimals = min(12, max(0, 1 - math.floor(math.log10(error))))
    return f"{value:.{decimals}f} ± {error:.{decimals}f}{_unit(unit)}"


def signed(value: float, figures: int = 2) -> str:
    """Return a number with its sign and so many figures, at most seven decimals: "+0.12", "−0.0040", "+0.000037"."""
    size = abs(value)
    decimals = 2 if size == 0 else min(7, max(0, figures - 1 - math.floor(math.log10(size))))
    text = f"{size:.{decimals}f}"
    return ("−" if value < 0 and float(text) else "+") + (number(size) if size >= 9_999.5 else text)


def share(part: float) -> str:
    """Return a share in per cent: "19 %", "0.4 %"."""
    return f"{100 * part:.{1 if 0 < part < 0.01 else 0}f}{_FIXED}%"


def p_value(value: float) -> str:
    """Return "p = 0.012", or "p < 0.0001" for a smaller one."""
    text = "p < 0.0001" if value < 0.0001 else f"p = {value:.2g}"
    return text.replace(" ", _FIXED)


def duration(seconds: float | None) -> str:
    """Return a duration in its two largest units."""
    if seconds is None or not math.isfinite(seconds):
        return UNKNOWN
    if 0 < seconds < 0.1:
        return f"{1000 * seconds:.2g} ms"
    if seconds < 10:
        return f"{seconds:.2g} s"
    whole = round(seconds)
    for size, name, smaller, name_smaller in ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            rest = whole % size // smaller
            return f"{whole // size} {name} {rest} {name_smaller}" if rest else f"{whole // size} {name}"
    return f"{whole} s"


def size(count: int) -> str:
    """Return a size in bytes as B, kB, MB or GB (powers of ten)."""
    for power, name in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if count >= power:
            return f"{count / power:.3g} {name}"
    return f"{count} B"


def plural(count: int, noun: str) -> str:
    """Return "1 candidate", "2 candidates"."""
    return f"{grouped(count)} {noun}{'' if count == 1 else 's'}"


def grouped(value: int) -> str:
    """Return a whole number with thin spaces between thousands, from 10,000 on."""
    return f"{value:,}".replace(",", _THIN) if abs(value) >= 10_000 else str(value)


def _plain(value: float, form: str) -> str:
    if abs(value) >= 999_950:
        for power, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M")):
            if abs(value) >= power * 0.99995:
                # Zeros at the end would only look exact.
                return f"{value / power:.4g}{_THIN}{letter}"
    if value == round(value) or abs(value) >= 9_999.5:
        return grouped(round(value))
    return f"{value:{form}}".removesuffix(".")


def _unit(unit: str) -> str:
    return "" if unit in ("", "1") else f" {unit}"
