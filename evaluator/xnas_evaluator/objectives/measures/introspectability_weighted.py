"""Introspectability in which similar classes count more."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from xnas_core.api.base import ParameterValue
from xnas_core.api.metric_parameters import read_parameters
from xnas_core.errors import InvalidInputError
from xnas_core.objectives import METRICS
from xnas_evaluator.objectives.ablation import AblationSettings
from xnas_evaluator.objectives.class_similarity import from_file, from_wordnet, load_wordnet, read_pairs
from xnas_evaluator.objectives.estimates import Estimate
from xnas_evaluator.objectives.futile import distance_estimate, share_estimate
from xnas_evaluator.objectives.interface import Measurement
from xnas_evaluator.objectives.introspectability import IntrospectabilitySettings


class IntrospectabilityWeighted:
    """Introspectability with pairs weighted by the similarity of their classes.

    Formula: sum over pairs c < k of s_ck d_ck / sum of s_ck, with d_ck as in `introspectability`: each distance times
    its similarity, divided by the mean similarity. s_ck comes from a file of pairs, or is 1 / (shortest path between
    the two classes in WordNet + 1). Pairs whose distance is undefined are left out of both sums.
    Source: Carmichael et al. 2023 (their ImageNet experiment).
    Range: as introspectability. Direction: maximize. Hypervolume reference: 0.
    Standard error: jackknife over classes.
    Cost: as introspectability.
    """

    metric = METRICS["introspectability_weighted"]

    def check(self, parameters: Mapping[str, ParameterValue]) -> None:
        """Raise InvalidInputError where the file cannot be read, or WordNet cannot be asked."""
        IntrospectabilitySettings.parse(parameters, self.metric.name)
        path = read_parameters(self.metric.name, parameters).word("similarities")
        if path:
            read_pairs(path)
        else:
            load_wordnet()

    def measure(self, measurement: Measurement) -> Estimate:
        """Return the value."""
        settings = IntrospectabilitySettings.parse(measurement.parameters, self.metric.name)
        distances = measurement.shared.scores(settings).distances[settings.group_by]
        return distance_estimate(distances, self._weights(measurement))

    def futile_share(self, measurement: Measurement) -> Estimate:
        """Return the share owed to futile activations, by default settings of the ablation."""
        settings = IntrospectabilitySettings.parse(measurement.parameters, self.metric.name)
        scores = measurement.shared.scores(settings, measurement.shared.live(settings.layers, AblationSettings()))
        group_by = settings.group_by
        return share_estimate(scores.distances[group_by], scores.live_distances[group_by], self._weights(measurement))

    def _weights(self, measurement: Measurement) -> Tensor:
        settings = read_parameters(self.metric.name, measurement.parameters)
        classes = measurement.data.class_names
        if path := settings.word("similarities"):
            return from_file(path, classes)
        names = settings.words("wordNetNames") or classes
        if len(names) != len(classes):
            raise InvalidInputError(
                f"wordNetNames has {len(names)} names for {len(classes)} classes; give one for each"
            )
        return from_wordnet(names)
