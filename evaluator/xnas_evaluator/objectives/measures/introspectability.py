"""Introspectability."""

from __future__ import annotations

from collections.abc import Mapping

from xnas_core.api.base import ParameterValue
from xnas_core.objectives import METRICS
from xnas_evaluator.objectives.ablation import AblationSettings
from xnas_evaluator.objectives.estimates import Estimate
from xnas_evaluator.objectives.futile import distance_estimate, share_estimate
from xnas_evaluator.objectives.interface import Measurement
from xnas_evaluator.objectives.introspectability import IntrospectabilitySettings


class Introspectability:
    """How far apart classes are in the network's activations.

    Formula: a(x) is all counted activations of a sample, joined; phi_c the mean of a(x) over the samples of class c;
    the value is the mean over all pairs c < k of 1 - cos(phi_c, phi_k). Pairs with an empty class or a zero vector are
    left out; the value is undefined where none is left.
    Source: Carmichael, Moon, Jacobs 2023, "Learning Debuggable Models Through Multi-Objective NAS".
    Range: 0 to 1 for activations that are not negative (outputs of convolutions may be; then up to 2).
    Direction: maximize. Hypervolume reference: 0.
    Standard error: jackknife over classes: how much the value depends on which classes the data have.
    Cost: with the parameters that are recorded anyway, none; with other layers or samples, one more pass.
    """

    metric = METRICS["introspectability"]

    def check(self, parameters: Mapping[str, ParameterValue]) -> None:
        """Raise InvalidInputError where `layers` is named and nothing is."""
        IntrospectabilitySettings.parse(parameters)

    def measure(self, measurement: Measurement) -> Estimate:
        """Return the value."""
        settings = IntrospectabilitySettings.parse(measurement.parameters)
        return distance_estimate(measurement.shared.scores(settings).distances[settings.group_by])

    def futile_share(self, measurement: Measurement) -> Estimate:
        """Return the share owed to futile activations, by default settings of the ablation."""
        settings = IntrospectabilitySettings.parse(measurement.parameters)
        scores = measurement.shared.scores(settings, measurement.shared.live(settings.layers, AblationSettings()))
        return share_estimate(scores.distances[settings.group_by], scores.live_distances[settings.group_by])
