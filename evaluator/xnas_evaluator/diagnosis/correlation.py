"""Pearson's and Spearman's correlation of two series, None where it is undefined."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from xnas_core.analysis.correlation import ranks

Values = npt.NDArray[np.float64]

FEWEST = 3
"""Of two points every correlation is 1 or -1."""


def pearson(first: Values, second: Values) -> float | None:
    """Return Pearson's r of two (N,) series; None for fewer than three points or where one series is constant."""
    if len(first) < FEWEST or np.ptp(first) == 0 or np.ptp(second) == 0:
        return None
    one, other = first - first.mean(), second - second.mean()
    # Scaled first, so that squares of tiny numbers do not become zero.
    one, other = one / np.abs(one).max(), other / np.abs(other).max()
    return float(np.clip(one @ other / np.sqrt((one @ one) * (other @ other)), -1.0, 1.0))


def spearman(first: Values, second: Values) -> float | None:
    """Return Spearman's rho: Pearson's r of the ranks, equal values sharing the mean of theirs."""
    return pearson(ranks(first), ranks(second))
