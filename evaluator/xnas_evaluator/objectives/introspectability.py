"""Introspectability (Carmichael et al. 2023): mean cosine distance between the class means of all activations.

The parameters and the formula; `class_means` gathers the means.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from xnas_core.api.base import ParameterValue
from xnas_core.api.declared import Settings
from xnas_core.api.metric_parameters import read_parameters
from xnas_core.errors import InvalidInputError
from xnas_evaluator.networks.build import Layers

GroupBy = Literal["trueClass", "predictedClass"]


@dataclass(frozen=True, slots=True)
class IntrospectabilitySettings:
    """Parameters of the metric and its kin; bounds and defaults: `metric_parameters`.

    Attributes:
        group_by: which classes the means are taken over.
        layers: which outputs count as activations.
        max_samples: at most so many validation samples, spread evenly over the classes.
    """

    group_by: GroupBy = "predictedClass"
    layers: Layers = "convolutionsAndActivations"
    max_samples: int = 25_000

    @property
    def layers_text(self) -> str:
        """The layers as documents have them."""
        return self.layers if isinstance(self.layers, str) else ", ".join(self.layers)

    @staticmethod
    def parse(parameters: Mapping[str, ParameterValue], metric: str = "introspectability") -> IntrospectabilitySettings:
        """Read the `parameters` of introspectability or of a metric that has the same ones and more.

        Raises:
            InvalidInputError: an unknown parameter or value.
        """
        settings = read_parameters(metric, parameters)
        layers = read_layers(settings, metric)
        group_by: GroupBy = "trueClass" if settings.word("groupBy") == "trueClass" else "predictedClass"
        return IntrospectabilitySettings(group_by, layers, settings.whole("maxSamples"))


def read_layers(settings: Settings, metric: str) -> Layers:
    """Return the layers that a metric with `layers` and `layerNames` counts.

    Raises:
        InvalidInputError: `layers` is named and nothing is.
    """
    word, names = settings.word("layers"), settings.words("layerNames")
    if word == "named" and not names:
        raise InvalidInputError(f"{metric}: layers is named, so layerNames must say which")
    return names if word == "named" else "all" if word == "all" else "convolutionsAndActivations"


def distances_of(gram: Tensor) -> Tensor:
    """Return the (K, K) cosine distances 1 - cos of vectors with these inner products (float64).

    NaN where one of the two vectors is zero or NaN.
    """
    squares = gram.diagonal()
    lengths = (squares.unsqueeze(0) * squares.unsqueeze(1)).sqrt()
    return torch.where(lengths > 0, 1 - gram / lengths, torch.nan)


def mean_distance(distances: Tensor, weights: Tensor | None = None) -> float | None:
    """Return the introspectability: the mean over all pairs c < k whose distance is defined.

    Args:
        distances: (K, K).
        weights: (K, K) similarity of classes; each pair's distance is multiplied by it and the sum divided by the
            sum of the weights (the WordNet variant). Equal when absent.

    Returns:
        None where no pair is defined, or none that is has a weight.
    """
    first, second = torch.triu_indices(len(distances), len(distances), 1)
    values = distances[first, second]
    defined = ~values.isnan()
    if not defined.any():
        return None
    if weights is None:
        return float(values[defined].mean())
    chosen = weights[first, second][defined].double()
    if not chosen.any():
        return None
    return float((values[defined] * chosen).sum() / chosen.sum())
