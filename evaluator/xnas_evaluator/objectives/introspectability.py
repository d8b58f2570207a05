"""Introspectability (Carmichael et al. 2023): mean cosine distance between the class means of all activations.

One pass and running sums: memory is O(groups x activations), whatever the number of samples.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, cast, get_args

import torch
from torch import Tensor, nn

from xnas_core.api.base import ParameterValue
from xnas_core.errors import InvalidInputError
from xnas_evaluator.networks.build import GraphNetwork, Layers, activation_layers
from xnas_evaluator.training.settings import Arithmetic

GroupBy = Literal["trueClass", "predictedClass"]

BATCH_BYTES = 1 << 26
"""Activations of one batch that are kept until its predictions are known."""
MAX_BATCH = 256


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


class ClassSums:
    """Running sums of the activations by true and by predicted class; a context manager that owns the hooks.

    Within it, run the network on a batch, then call `add` with the batch's classes.
    """

    def __init__(self, network: GraphNetwork, classes: int, layers: Layers, arithmetic: Arithmetic) -> None:
        device = arithmetic.device
        self._channels_last = arithmetic.channels_last
        self._layers = activation_layers(network, layers)
        shapes = network.graph.shapes
        sizes = [int(torch.Size(shapes[name]).numel()) for name in self._layers]
        self.true = [torch.zeros((classes, size), device=device) for size in sizes]
        self.predicted = [torch.zeros((classes, size), device=device) for size in sizes]
        self.activations = sum(sizes)
        self._classes = classes
        self._outputs: list[Tensor] = []
        self._handles: list[torch.utils.hooks.RemovableHandle] = []

    def __enter__(self) -> ClassSums:
        self._handles = [layer.register_forward_hook(self._keep) for layer in self._layers.values()]
        return self

    def __exit__(self, *_: object) -> None:
        for handle in self._handles:
            handle.remove()
        self._outputs.clear()

    def _keep(self, _module: nn.Module, _inputs: object, output: Tensor) -> None:
        self._outputs.append(output)

    def add(self, labels: Tensor, predictions: Tensor) -> None:
        """Add the batch that the network has just seen.

        Args:
            labels: (N,) true classes.
            predictions: (N,) predicted classes.
        """
        # Rows of one (true, predicted) pair share one row of the product, so a batch sorted by class reads its
        # activations once and touches few rows of the sums.
        pairs, group = torch.unique(labels * self._classes + predictions, return_inverse=True)
        members = torch.zeros((len(pairs), len(labels)), device=labels.device)
        members[group, torch.arange(len(labels), device=labels.device)] = 1.0
        true, predicted = pairs // self._classes, pairs % self._classes
        for output, by_true, by_predicted in zip(self._outputs, self.true, self.predicted, strict=True):
            sums = members @ flat(output, self._channels_last).float()
            by_true.index_add_(0, true, sums)
            by_predicted.index_add_(0, predicted, sums)
        self._outputs.clear()

    @property
    def batch_size(self) -> int:
        """Samples a batch such that the activations kept stay below BATCH_BYTES."""
        return max(1, min(MAX_BATCH, BATCH_BYTES // (4 * max(1, self.activations))))


def flat(output: Tensor, channels_last: bool) -> Tensor:
    """Return (N, D) activations, in the order in which they lie in memory: without a copy where the layout is kept."""
    return (output.permute(0, 2, 3, 1) if channels_last and output.dim() == 4 else output).flatten(1)


def class_distances(sums: list[Tensor]) -> Tensor:
    """Return the (K, K) cosine distances between class means over all layers joined, float64.

    Args:
        sums: for each layer the (K, D) sums or means of each class; a row's scale does not change a cosine.

    Returns:
        Distances 1 - cos; NaN where one of the two classes is empty or zero.
    """
    gram = torch.zeros((len(sums[0]), len(sums[0])), dtype=torch.float64)
    for layer in sums:
        double = layer.double()
        gram += (double @ double.T).cpu()
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
