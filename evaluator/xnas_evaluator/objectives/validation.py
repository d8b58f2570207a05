"""One pass over the validation split for accuracy, loss and both introspectabilities."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from xnas_evaluator.context import NonFiniteError
from xnas_evaluator.networks.build import GraphNetwork, Layers
from xnas_evaluator.objectives.class_means import ClassMeans
from xnas_evaluator.objectives.introspectability import distances_of, mean_distance
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
        introspectability_true_class: grouped by true class; None where it is undefined or not asked for.
        introspectability_predicted_class: grouped by predicted class.
    """

    samples: int
    accuracy: float
    accuracy_error: float
    loss: float
    loss_error: float
    introspectability_true_class: float | None = None
    introspectability_predicted_class: float | None = None


@torch.inference_mode()
def score(
    network: GraphNetwork,
    part: DevicePart,
    data: DeviceData,
    arithmetic: Arithmetic,
    layers: Layers | None = None,
    max_samples: int = 25_000,
) -> Scores:
    """Score a network in eval mode (it is put there, and left in the mode it was in).

    Args:
        network: on the device.
        part: the samples, none left out for accuracy and loss.
        data: for classes and statistics.
        arithmetic: device and precision.
        layers: whose activations count for introspectability; None: it is not measured.
        max_samples: at most so many samples for introspectability.

    Raises:
        NonFiniteError: a class score is NaN or infinite.
    """
    mode = network.training
    network.eval()
    try:
        return _score(network, part, data, arithmetic, layers, max_samples)
    finally:
        network.train(mode)


def _score(
    network: GraphNetwork,
    part: DevicePart,
    data: DeviceData,
    arithmetic: Arithmetic,
    layers: Layers | None,
    max_samples: int,
) -> Scores:
    device = part.labels.device
    correct = torch.zeros((), dtype=torch.int64, device=device)
    losses, squares = (torch.zeros((), dtype=torch.float64, device=device) for _ in range(2))
    # Sorted by class: see ClassMeans.add.
    order = torch.argsort(part.labels, stable=True)
    chosen = _spread(len(order), max_samples if layers is not None else 0).to(device)
    rest = torch.ones(len(order), dtype=torch.bool, device=device)
    rest[chosen] = False
    means = None if layers is None else ClassMeans(network, len(data.class_names), layers, arithmetic)
    size = PLAIN_BATCH if means is None else means.batch_size
    for indices, batch_size, counted in ((order[chosen], size, means), (order[rest], PLAIN_BATCH, None)):
        with counted or nullcontext():
            for images, labels in _batches(data, part, indices, batch_size, arithmetic):
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
        None if means is None else mean_distance(distances_of(means.gram("trueClass"))),
        None if means is None else mean_distance(distances_of(means.gram("predictedClass"))),
    )


def _spread(count: int, wanted: int) -> Tensor:
    """Return at most `wanted` positions below `count`, evenly spread."""
    if wanted >= count:
        return torch.arange(count)
    return torch.arange(wanted) * count // max(1, wanted)


def _batches(
    data: DeviceData, part: DevicePart, indices: Tensor, size: int, arithmetic: Arithmetic
) -> Iterator[tuple[Tensor, Tensor]]:
    for chosen in torch.split(indices, size) if len(indices) else ():
        images = data.normalise(part.images.index_select(0, chosen))
        yield images.contiguous(memory_format=arithmetic.memory_format), part.labels.index_select(0, chosen)
