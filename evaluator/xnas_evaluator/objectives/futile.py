"""The share of an introspectability value that is owed to activations on which the class scores do not depend."""

from __future__ import annotations

import torch
from torch import Tensor

from xnas_core.api.metric_parameters import read_parameters
from xnas_evaluator.objectives.ablation import AblationSettings
from xnas_evaluator.objectives.estimates import UNDEFINED, Estimate, jackknife_over_classes, without_each_class
from xnas_evaluator.objectives.interface import Measurement
from xnas_evaluator.objectives.introspectability import GroupBy, IntrospectabilitySettings, mean_distance
from xnas_evaluator.objectives.validation import Scores


def distance_estimate(distances: Tensor, weights: Tensor | None = None) -> Estimate:
    """Return the (weighted) mean distance over pairs, with the jackknife's standard error over classes.

    Args:
        distances: (K, K), NaN where undefined.
        weights: (K, K); equal when absent.
    """
    return Estimate(mean_distance(distances, weights), jackknife_over_classes(without_each_class(distances, weights)))


def live_scores(measurement: Measurement, metric: str) -> tuple[Scores, GroupBy]:
    """Return the validation pass with the live operations of a metric's parameters told apart, and its grouping."""
    settings = IntrospectabilitySettings.parse(measurement.parameters, metric)
    ablation = AblationSettings.of(read_parameters(metric, measurement.parameters))
    live = measurement.shared.live(settings.layers, ablation)
    return measurement.shared.scores(settings, live), settings.group_by


def share_estimate(everything: Tensor, live: Tensor, weights: Tensor | None = None) -> Estimate:
    """Return 1 - I(live) / I(all), not below 0, with the jackknife's standard error over classes.

    Below 0 it would be where futile activations lower the value: nothing is owed to them then. Undefined where I(all)
    is undefined or 0; 1 where no activation is live.

    Args:
        everything: (K, K) distances over all counted activations, NaN where undefined.
        live: the same over live ones.
        weights: (K, K); equal when absent.
    """
    whole, rest = mean_distance(everything, weights), mean_distance(live, weights)
    if whole is None or whole <= 0:
        return UNDEFINED
    value = min(1.0, max(0.0, 1 - (rest or 0.0) / whole))
    shares = 1 - without_each_class(live, weights).nan_to_num(0.0) / without_each_class(everything, weights)
    return Estimate(value, jackknife_over_classes(torch.clamp(shares, 0.0, 1.0)))
