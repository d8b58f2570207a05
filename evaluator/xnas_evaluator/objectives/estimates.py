"""A measured value with its standard error, and where standard errors come from."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

REPLICATES = 100
"""Bootstrap samples: the standard error itself then has a relative error of about 7 % (1 / sqrt(2 B))."""
_FEWEST_CLASSES = 3


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value; None where it is undefined for this candidate.

    Attributes:
        error: standard error of the value as an estimate, or None where nothing is known of it.
    """

    value: float | None
    error: float | None = None


UNDEFINED = Estimate(None)


def mean_of(values: Tensor) -> Estimate:
    """Return the mean of samples' values, with the standard error s / sqrt(n).

    Args:
        values: (N,); NaN stands for undefined and is left out.
    """
    kept = values.double()
    kept = kept[~kept.isnan()]
    if not len(kept):
        return UNDEFINED
    error = float(kept.std()) / math.sqrt(len(kept)) if len(kept) > 1 else None
    return Estimate(float(kept.mean()), error)


def ratio_of(numerators: Tensor, denominators: Tensor) -> Estimate:
    """Return sum(a) / sum(b) over samples; undefined where sum(b) is 0.

    Standard error by the delta method: sqrt(sum (a - r b)^2 / (n (n - 1))) / mean(b) (Cochran 1977).

    Args:
        numerators, denominators: (N,) each.
    """
    a, b = numerators.double(), denominators.double()
    total = float(b.sum())
    if total == 0:
        return UNDEFINED
    ratio, count = float(a.sum()) / total, len(a)
    if count < 2:
        return Estimate(ratio)
    spread = float((a - ratio * b).square().sum()) / (count * (count - 1))
    return Estimate(ratio, math.sqrt(spread) / abs(total / count))


def jackknife_over_classes(leave_one_out: Tensor) -> float | None:
    """Return sqrt((m - 1) / m sum (t_c - mean t)^2) of a statistic t_c without class c (Efron & Stein 1981).

    It says how much the value depends on which classes the data have, not on which samples.

    Args:
        leave_one_out: (m,) values, one for each class that takes part; NaN is left out.
    """
    kept = leave_one_out[~leave_one_out.isnan()]
    if len(kept) < _FEWEST_CLASSES:
        return None
    return math.sqrt((len(kept) - 1) / len(kept) * float((kept - kept.mean()).square().sum()))


def bootstrap_over_samples(
    statistic: Callable[[npt.NDArray[np.int64]], float | None],
    samples: int,
    random: np.random.Generator,
    replicates: int = REPLICATES,
) -> float | None:
    """Return the standard deviation of a statistic over samples drawn with replacement (Efron 1979).

    Args:
        statistic: of the samples at these positions (N,); None where it is undefined, which is left out.
        samples: how many there are.
        random: where the draws come from.
        replicates: how many times.

    Returns:
        None where fewer than two replicates have a value.
    """
    found = [statistic(random.integers(0, samples, samples)) for _ in range(replicates)]
    defined = [value for value in found if value is not None]
    return float(np.std(defined, ddof=1)) if len(defined) > 1 else None


def without_each_class(distances: Tensor, weights: Tensor | None = None) -> Tensor:
    """Return the mean distance over pairs without each class in turn, NaN for a class without a defined pair.

    Args:
        distances: (K, K) symmetric; NaN where undefined.
        weights: (K, K) symmetric; equal when absent.

    Returns:
        (K,) float64.
    """
    count = len(distances)
    defined = ~distances.isnan() & ~torch.eye(count, dtype=torch.bool)
    chosen = torch.ones_like(distances) if weights is None else weights.double()
    chosen = torch.where(defined, chosen, 0.0)
    sums = torch.where(defined, distances, 0.0).mul(chosen)
    # Every pair is in the matrix twice, and a class's pairs once in its row. Whether any is left is counted in whole
    # numbers: the difference of two sums of weights need not be exactly 0.
    left = defined.sum() // 2 - defined.sum(1)
    values = (sums.sum() / 2 - sums.sum(1)) / (chosen.sum() / 2 - chosen.sum(1))
    return torch.where(defined.any(1) & (left > 0), values, torch.nan)
