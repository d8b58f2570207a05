"""How many flagged samples lie among those with the lowest confidence: mistakes, or wrong labels.

Carmichael et al. 2023, section 4: samples are ranked by cosine similarity of their activations to a class mean.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from xnas_core.diagnosis import CURVE_POINTS, Detection
from xnas_evaluator.diagnosis.correlation import Values


def detect(confidence: Values, flagged: npt.NDArray[np.bool_]) -> Detection | None:
    """Return the detection curve and its area; None where no sample or every sample is flagged.

    Samples of equal confidence count as in random order: each as the mean of its group. With e the flagged share, the
    area under the exact curve (a point after each sample) is e/2 + (1 - e) AUC, where AUC is the probability that a
    flagged sample has less confidence than one that is not, equal ones counting one half (Mann-Whitney).

    Args:
        confidence: (N,).
        flagged: (N,) those to find.
    """
    count, wanted = len(flagged), int(flagged.sum())
    if wanted in (0, count):
        return None
    _, group, sizes = np.unique(confidence, return_inverse=True, return_counts=True)
    share = np.bincount(group, flagged.astype(np.float64)) / sizes
    each = np.repeat(share, sizes) / wanted
    found = np.concatenate(([0.0], np.cumsum(each)))
    at = np.linspace(0.0, count, CURVE_POINTS)
    curve = np.interp(at, np.arange(count + 1), found)
    area = float((found[1:] + found[:-1]).sum() / 2 / count)
    rate = wanted / count
    auc = min(1.0, max(0.0, (area - rate / 2) / (1 - rate)))
    return Detection(
        found=tuple(float(min(1.0, value)) for value in curve),
        area=area,
        auc=auc,
        auc_error=auc_error(auc, wanted, count - wanted),
    )


def auc_error(auc: float, flagged: int, others: int) -> float:
    """Return the standard error of an AUC (Hanley & McNeil 1982, equation 1)."""
    q1, q2 = auc / (2 - auc), 2 * auc * auc / (1 + auc)
    variance = auc * (1 - auc) + (flagged - 1) * (q1 - auc * auc) + (others - 1) * (q2 - auc * auc)
    return math.sqrt(max(0.0, variance) / (flagged * others))
