"""Student's t distribution: what intervals over few seeds and p values of correlations need, without scipy."""

from __future__ import annotations

import math

import numpy as np

from xnas_core.analysis.significance import Floats

_TINY = 1e-300
_MOST_TERMS = 10_000


def two_sided_p(t: float, degrees: float) -> float:
    """Return P(|T| >= |t|) for `degrees` > 0 degrees of freedom."""
    return beta_share(degrees / (degrees + t * t), degrees / 2, 0.5)


def quantile(probability: float, degrees: float) -> float:
    """Return t with P(|T| <= t) = `probability`, which lies in [0, 1): the factor of a two-sided interval."""
    low, high = 0.0, 1.0
    while 1 - two_sided_p(high, degrees) < probability:
        high *= 2
    for _ in range(200):
        middle = (low + high) / 2
        if 1 - two_sided_p(middle, degrees) < probability:
            low = middle
        else:
            high = middle
    return high


def beta_share(x: float, a: float, b: float) -> float:
    """Return the regularised incomplete beta function I_x(a, b), by its continued fraction (DLMF 8.17.22)."""
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):
        # Only on this side of the mean the fraction converges quickly (DLMF 8.17.4).
        return 1 - beta_share(1 - x, b, a)
    front = math.exp(
        math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    ) / a  # fmt: skip
    return front / _fraction(x, a, b)


def _fraction(x: float, a: float, b: float) -> float:
    """Return 1 + d1/(1 + d2/(1 + ...)), from the front (Lentz 1976)."""
    value = c = 1.0
    d = 0.0
    for term in range(1, _MOST_TERMS):
        m, odd = divmod(term, 2)
        if odd:
            step = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        else:
            step = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        d = 1 / ((1 + step * d) or _TINY)
        c = (1 + step / c) or _TINY
        value *= c * d
        if abs(c * d - 1) < 1e-15:
            break
    return value


def interval(values: Floats, level: float = 0.95) -> tuple[float, float] | None:
    """Return the t interval of the mean of values that are independent and roughly normal; None for fewer than two."""
    if len(values) < 2:
        return None
    half = quantile(level, len(values) - 1) * float(np.std(values, ddof=1)) / math.sqrt(len(values))
    mean = float(np.mean(values))
    return mean - half, mean + half
