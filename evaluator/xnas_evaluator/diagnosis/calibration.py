"""Calibration of a confidence: does it say how often the network is right?

Guo et al. 2017, "On Calibration of Modern Neural Networks", equations 2 to 5. Carmichael et al. 2023 compare softmax
with the cosine similarity of a sample's activations to the mean of its predicted class, over 50 linear bins.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from xnas_core.diagnosis import Bin, Calibration
from xnas_evaluator.diagnosis.correlation import Values, pearson, spearman

BINS = 50


def calibrate(confidence: Values, correct: npt.NDArray[np.bool_], bins: int = BINS) -> Calibration:
    """Return confidence against accuracy over linear bins of [0, 1].

    Args:
        confidence: (N,), at least one; below 0 (a cosine may be) it counts for the first bin, 1 for the last.
        correct: (N,) whether the prediction is right.
        bins: number of bins.

    Returns:
        The bins that hold samples; the expected calibration error, sum over bins of n_b / N |accuracy - confidence|;
        the correlations of mean confidence and accuracy over these bins, each bin counting once (None below three).
    """
    places = np.clip(np.floor(confidence * bins).astype(np.int64), 0, bins - 1)
    counts = np.bincount(places, minlength=bins)
    filled = counts > 0
    sizes = counts[filled]
    means = np.bincount(places, confidence, bins)[filled] / sizes
    accuracies = np.bincount(places, correct.astype(np.float64), bins)[filled] / sizes
    return Calibration(
        bins=tuple(
            Bin(count=int(n), confidence=float(c), accuracy=float(a))
            for n, c, a in zip(sizes, means, accuracies, strict=True)
        ),
        error=float((sizes / sizes.sum()) @ np.abs(accuracies - means)),
        pearson=pearson(means, accuracies),
        spearman=spearman(means, accuracies),
    )
