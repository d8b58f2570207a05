"""Introspectability (Carmichael et al. 2023): mean cosine distance between the class means of all activations.

The parameters and the formula; `class_means` gathers the means.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, cast, get_args

import torch
from torch import Tensor

from xnas_core.api.base import ParameterValue
from xnas_core.errors import InvalidInputError
from xnas_evaluator.networks.build import Layers

GroupBy = Literal["trueClass", "predictedClass"]


@dataclass(frozen=True, slots=True)
class IntrospectabilitySettings:
    """Parameters of the metric.

    Attributes:
        group_by: which classes the means are taken over.
        layers: which outputs count as activations.
        max_samples: at most so many validation samples, spread evenly over the classes.
    """

    group_by: GroupBy = "predictedClass"
    layers: Layers = "convolutionsAndActivations"
    max_samples: int = 25_000

    @staticmethod
    def parse(parameters: Mapping[str, ParameterValue]) -> IntrospectabilitySettings:
        """Read an objective's `parameters` (groupBy, layers, maxSamples).

        Raises:
            InvalidInputError: an unknown parameter or value.
        """
        known = {"groupBy", "layers", "maxSamples"}
        unknown = sorted(set(parameters) - known)
        if unknown:
            raise InvalidInputError(
                f"introspectability has no parameter {unknown[0]!r} (known: groupBy, layers, maxSamples)"
            )
        group_by = parameters.get("groupBy", "predictedClass")
        layers = parameters.get("layers", "convolutionsAndActivations")
        max_samples = parameters.get("maxSamples", 25_000)
        for name, value, allowed in (("groupBy", group_by, get_args(GroupBy)), ("layers", layers, get_args(Layers))):
            if value not in allowed:
                raise InvalidInputError(f"introspectability: {name} is {value!r}; it has to be {' or '.join(allowed)}")
        if isinstance(max_samples, bool) or not isinstance(max_samples, int) or max_samples < 2:
            raise InvalidInputError(
                f"introspectability: maxSamples is {max_samples!r}; it has to be an integer of 2 or more"
            )
        return IntrospectabilitySettings(cast(GroupBy, group_by), cast(Layers, layers), max_samples)


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
        None where no pair is defined.
    """
    first, second = torch.triu_indices(len(distances), len(distances), 1)
    values = distances[first, second]
    defined = ~values.isnan()
    if not defined.any():
        return None
    if weights is None:
        return float(values[defined].mean())
    chosen = weights[first, second][defined].double()
    return float((values[defined] * chosen).sum() / chosen.sum())
