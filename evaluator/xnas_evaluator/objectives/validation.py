"""One pass over the validation split for accuracy, loss and both introspectabilities."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from xnas_evaluator.context import NonFiniteError
from xnas_evaluator.networks.build import GraphNetwork, Layers
from xnas_evaluator.objectives.class_means import ClassMeans
from xnas_evaluator.objectives.introspectability import GroupBy, distances_of, mean_distance
from xnas_evaluator.training.device_data import DeviceData, DevicePart
from xnas_evaluator.training.settings import Arithmetic

PLAIN_BATCH = 256


@dataclass(frozen=True, slots=True)
class Scores:
    """What one pass measures.

    Attributes:
        accuracy: share classified correctly.
        accuracy_error: its standard error, sqrt(p (1 - p) / n).
        loss: mean cross-entropy, nat.
        loss_error: its standard error.
        distances: (K, K) cosine distances of class means by grouping, NaN where undefined; empty where not asked for.
        live_distances: the same over live activations only; empty where not asked for.
    """

    samples: int
    accuracy: float
    accuracy_error: float
    loss: float
    loss_error: float
    distances: Mapping[GroupBy, Tensor] = field(default_factory=dict)
    live_distances: Mapping[GroupBy, Tensor] = field(default_factory=dict)

    @property
    def introspectability_true_class(self) -> float | None:
        """Grouped by true class; None where it is undefined or not asked for."""
        return mean_distance(self.distances["trueClass"]) if self.distances else None

    @property
    def introspectability_predicted_class(self) -> float | None:
        """Grouped by predicted class; None where it is undefined or not asked for."""
        return mean_distance(self.distances["predictedClass"]) if self.distances else None


@torch.inference_mode()
def score(
    network: GraphNetwork,
    part: DevicePart,
    data: DeviceData,
    arithmetic: Arithmetic,
    layers: Layers | None = None,
    max_samples: int = 25_000,
    live: Collection[str] | None = None,
) -> Scores:
    """Score a network in eval mode (it is put there, and left in the mode it was in).

    Args:
        network: on the device.
        part: the samples, none left out for accuracy and loss.
        data: for classes and statistics.
        arithmetic: device and precision.
        layers: whose activations count for introspectability; None: it is not measured.
        max_samples: at most so many samples for introspectability.
        live: names of live activations (`ablation`), for `live_distances`.

    Raises:
        NonFiniteError: a class score is NaN or infinite.
    """
    mode = network.training
    network.eval()
    try:
        return _score(network, part, data, arithmetic, layers, max_samples, live)
    finally:
        network.train(mode)


def _score(
    network: GraphNetwork,
    part: DevicePart,
    data: DeviceData,
    arithmetic: Arithmetic,
    layers: Layers | None,
    max_samples: int,
    live: Collection[str] | None,
) -> Scores:
    device = part.labels.device
    correct = torch.zeros((), dtype=torch.int64, device=device)
    losses, squares = (torch.zeros((), dtype=torch.float64, device=device) for _ in range(2))
    # Sorted by class: see ClassMeans.add.
    order = torch.argsort(part.labels, stable=True)
    chosen = spread(len(order), max_samples if layers is not None else 0).to(device)
    rest = torch.ones(len(order), dtype=torch.bool, device=device)
    rest[chosen] = False
    means = None if layers is None else ClassMeans(network, len(data.class_names), layers, arithmetic)
    size = PLAIN_BATCH if means is None else means.batch_size
    for indices, batch_size, counted in ((order[chosen], size, means), (order[rest], PLAIN_BATCH, None)):
        with counted or nullcontext():
            for images, labels in batches(data, part, indices, batch_size, arithmetic):
                with arithmetic.autocast():
                    logits = network(images)
                logits = logits.float()
                predictions = logits.argmax(1)
                if counted is not None:
                    counted.add(labels, predictions)
                each = F.cross_entropy(logits, labels, reduction="none").double()
                correct += (predictions == labels).sum()
                losses += each.sum()
                squares += each.square().sum()
    count = len(order)
    accuracy, loss = correct.item() / count, losses.item() / count
    if not math.isfinite(loss):
        raise NonFiniteError(f"the loss over {count} samples is {loss}")
    variance = max(0.0, squares.item() / count - loss * loss)
    return Scores(
        count,
        accuracy,
        math.sqrt(accuracy * (1 - accuracy) / count),
        loss,
        math.sqrt(variance / count),
        {} if means is None else _distances(means, None),
        {} if means is None or live is None else _distances(means, live),
    )


def _distances(means: ClassMeans, among: Collection[str] | None) -> dict[GroupBy, Tensor]:
    groupings: tuple[GroupBy, ...] = ("trueClass", "predictedClass")
    return {group_by: distances_of(means.gram(group_by, among)) for group_by in groupings}


def spread(count: int, wanted: int) -> Tensor:
    """Return at most `wanted` positions below `count`, evenly spread."""
    if wanted >= count:
        return torch.arange(count)
    return torch.arange(wanted) * count // max(1, wanted)


def batches(
    data: DeviceData, part: DevicePart, indices: Tensor, size: int, arithmetic: Arithmetic
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield z-scored images (N, C, H, W) and labels (N,) of the samples at these positions, N at most `size`."""
    for chosen in torch.split(indices, size) if len(indices) else ():
        images = data.normalise(part.images.index_select(0, chosen))
        yield images.contiguous(memory_format=arithmetic.memory_format), part.labels.index_select(0, chosen)
