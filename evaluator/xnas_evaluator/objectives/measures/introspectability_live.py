"""Introspectability of live activations: the guard against futile blocks."""

from __future__ import annotations

from collections.abc import Mapping

from xnas_core.api.base import ParameterValue
from xnas_core.objectives import METRICS
from xnas_evaluator.objectives.estimates import Estimate
from xnas_evaluator.objectives.futile import distance_estimate, live_scores
from xnas_evaluator.objectives.interface import Measurement
from xnas_evaluator.objectives.introspectability import IntrospectabilitySettings


class IntrospectabilityLive:
    """Introspectability of those activations that the class scores depend on.

    Formula: as `introspectability`, with the counted operations restricted to the live ones (`ablation`): those whose
    replacement by their mean (or zero) changes the class scores by more than `tolerance` of their spread.
    Source: Carmichael et al. 2023 for the value and for futile blocks; the ablation is ours.
    Range: as introspectability. Direction: maximize. Hypervolume reference: 0. Undefined where nothing is live.
    Standard error: jackknife over classes, live activations held fixed.
    Cost: one run from each counted operation to the output, on `ablationSamples` samples.
    """

    metric = METRICS["introspectability_live"]

    def check(self, parameters: Mapping[str, ParameterValue]) -> None:
        """Raise InvalidInputError where `layers` is named and nothing is."""
        IntrospectabilitySettings.parse(parameters, self.metric.name)

    def measure(self, measurement: Measurement) -> Estimate:
        """Return the value."""
        scores, group_by = live_scores(measurement, self.metric.name)
        return distance_estimate(scores.live_distances[group_by])
