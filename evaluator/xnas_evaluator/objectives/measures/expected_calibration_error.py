"""Expected calibration error."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from xnas_core.api.metric_parameters import read_parameters
from xnas_core.objectives import METRICS
from xnas_evaluator.objectives.estimates import UNDEFINED, Estimate
from xnas_evaluator.objectives.interface import Measurement


class ExpectedCalibrationError:
    """How far the network's confidence is from its accuracy.

    Formula: sum over bins of n_b / n |accuracy_b - confidence_b|, where bin b holds the samples whose softmax
    probability of the predicted class lies in ((b - 1) / B, b / B].
    Source: Guo et al. 2017, "On Calibration of Modern Neural Networks", equation 3; B = 15 as in their experiments.
    Range: 0 to 1. Direction: minimize. Hypervolume reference: 1.
    Standard error: of the mean of sign_b (confidence - hit) over samples, signs held fixed (delta method). Few samples
    in a bin also bias the value upwards, which it does not show.
    Cost: one pass over the validation split, shared.
    """

    metric = METRICS["expected_calibration_error"]

    def measure(self, measurement: Measurement) -> Estimate:
        """Return the value."""
        settings = read_parameters(self.metric.name, measurement.parameters)
        confidence, predictions = measurement.shared.logits().double().softmax(1).max(1)
        hits = predictions == measurement.data.validation.labels
        return calibration_error(confidence, hits, settings.whole("bins"))


def calibration_error(confidence: Tensor, hits: Tensor, bins: int) -> Estimate:
    """Return the expected calibration error.

    Args:
        confidence: (N,) float64, above 0 up to 1.
        hits: (N,) bool, whether the prediction is right.
        bins: how many, of equal width.
    """
    count = len(confidence)
    if not count:
        return UNDEFINED
    number = (confidence * bins).ceil().long().clamp(1, bins) - 1
    excess = confidence - hits.double()
    sums = torch.zeros(bins, dtype=torch.float64, device=confidence.device).index_add_(0, number, excess)
    each = sums.sign()[number] * excess
    error = float(each.std()) / math.sqrt(count) if count > 1 else None
    return Estimate(float(sums.abs().sum()) / count, error)
