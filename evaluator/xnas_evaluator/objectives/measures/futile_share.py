"""The share of introspectability owed to futile activations."""

from __future__ import annotations

from collections.abc import Mapping

from xnas_core.api.base import ParameterValue
from xnas_core.objectives import METRICS
from xnas_evaluator.objectives.estimates import Estimate
from xnas_evaluator.objectives.futile import live_scores, share_estimate
from xnas_evaluator.objectives.interface import Measurement
from xnas_evaluator.objectives.introspectability import IntrospectabilitySettings


class FutileShare:
    """How much of the introspectability is owed to activations that the class scores do not depend on.

    Formula: max(0, 1 - I_live / I), with I `introspectability` and I_live `introspectability_live` of the same
    parameters; 1 where nothing is live, undefined where I is undefined or 0.
    Source: ours; Carmichael et al. 2023 describe the weakness (futile blocks add to the score).
    Range: 0 to 1. Direction: minimize. Hypervolume reference: 1.
    Standard error: jackknife over classes, live activations held fixed.
    Cost: that of `introspectability_live`. Recorded without being asked for where the space has `prune: false`.
    """

    metric = METRICS["futile_share"]

    def check(self, parameters: Mapping[str, ParameterValue]) -> None:
        """Raise InvalidInputError where `layers` is named and nothing is."""
        IntrospectabilitySettings.parse(parameters, self.metric.name)

    def measure(self, measurement: Measurement) -> Estimate:
        """Return the value."""
        scores, group_by = live_scores(measurement, self.metric.name)
        return share_estimate(scores.distances[group_by], scores.live_distances[group_by])
