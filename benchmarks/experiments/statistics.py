"""Means with intervals, and the difference of two arms that share their seeds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from xnas_core.analysis.contrasts import sign_flip
from xnas_core.analysis.correlation import spearman, spread
from xnas_core.analysis.student import interval

Floats = npt.NDArray[np.float64]


def mean_with_interval(values: Floats) -> str:
    """Return "mean [low, high]", a 95 % t interval over seeds; the mean alone of fewer than two values."""
    known = values[~np.isnan(values)]
    if not len(known):
        return "–"
    found = interval(known)
    return f"{known.mean():.4f}" + (f" [{found[0]:.4f}, {found[1]:.4f}]" if found else "")


def difference(first: Floats, second: Floats) -> str:
    """Return the mean difference of paired values with its 95 % t interval and the p value of a sign-flip test."""
    apart = first - second
    found = interval(apart)
    if found is None:
        return f"{apart.mean():+.4f}"
    p, least = sign_flip(apart)
    return f"{apart.mean():+.4f} [{found[0]:+.4f}, {found[1]:+.4f}], p = {p:.3g} (smallest possible {least:.3g})"


def band(rows: Floats) -> tuple[Floats, tuple[Floats, Floats]]:
    """Return mean and 95 % t interval of each column of (seeds, N) values."""
    means = rows.mean(0)
    ends = [interval(column) or (float(column.mean()),) * 2 for column in rows.T]
    return means, (np.array([low for low, _ in ends]), np.array([high for _, high in ends]))


def rank_correlation(x: Sequence[float | None], y: Sequence[float | None]) -> str:
    """Return Spearman's rho with a 95 % interval over the pairs that are known, and their number."""
    pairs = np.array([(a, b) for a, b in zip(x, y, strict=True) if a is not None and b is not None])
    if len(pairs) < 4:
        return f"– (n = {len(pairs)})"
    rho = spearman(pairs[:, 0], pairs[:, 1])
    if rho is None:
        return f"– (n = {len(pairs)})"
    low, high = spread(rho, len(pairs))
    return f"{rho:+.2f} [{low:+.2f}, {high:+.2f}] (n = {len(pairs)})"
