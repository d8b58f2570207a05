"""Two passes over the data for everything that is said of single samples, in memory that does not grow with them.

The first pass sums class means (`ClassMeans`) and notes predictions and probabilities. The second compares each
sample's activations with one class mean: layer by layer as they appear, so nothing but three numbers a sample is kept.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from xnas_evaluator.context import NonFiniteError
from xnas_evaluator.networks.build import GraphNetwork, Layers, activation_layers
from xnas_evaluator.objectives.class_means import ClassMeans, representatives
from xnas_evaluator.objectives.introspectability import GroupBy
from xnas_evaluator.training.device_data import DeviceData, DevicePart
from xnas_evaluator.training.settings import Arithmetic

MAX_SAMPLES = 25_000
"""At most so many samples of a split, evenly spread over the classes: as for introspectability."""


@dataclass(frozen=True)
class Subject:
    """The trained network and how to run it.

    Attributes:
        network: on the device, in eval mode.
        data: on the same device.
        layers: whose outputs count as activations.
        alive: called after each batch; it may raise to leave.
    """

    network: GraphNetwork
    data: DeviceData
    arithmetic: Arithmetic
    layers: Layers
    alive: Callable[[], None] = lambda: None

    def logits(self, part: DevicePart, chosen: Tensor) -> Tensor:
        """Return class scores (N, K) float32 of samples of a part."""
        images = self.data.normalise(part.images.index_select(0, chosen))
        with self.arithmetic.autocast():
            scores: Tensor = self.network(images.contiguous(memory_format=self.arithmetic.memory_format))
        return scores.float()


@dataclass(frozen=True)
class Gathered:
    """What is known of the samples that were used, ordered by their position in the split; on the CPU.

    Attributes:
        positions: (N,) in the split.
        labels: (N,) true classes.
        predictions: (N,) predicted classes.
        confidence: (N,) softmax probability of the prediction.
        similarity: (N,) cosine similarity of the sample's activations to the mean of the class it is compared with;
            0 where one of the two is a zero vector.
        means: the class means of these samples.
    """

    positions: npt.NDArray[np.int64]
    labels: npt.NDArray[np.int64]
    predictions: npt.NDArray[np.int64]
    confidence: npt.NDArray[np.float64]
    similarity: npt.NDArray[np.float64]
    means: ClassMeans


@torch.inference_mode()
def gather(subject: Subject, part: DevicePart, compared: GroupBy, max_samples: int = MAX_SAMPLES) -> Gathered:
    """Return what two passes over a part see.

    Args:
        subject: the network.
        part: the samples; at least one.
        compared: which class mean a sample is compared with: that of its predicted or of its true class, taken over
            all samples of that predicted or true class.
        max_samples: at most so many samples, evenly spread in the order of their classes.

    Raises:
        NonFiniteError: a class score is NaN or infinite.
    """
    # Sorted by class: see ClassMeans.add.
    order = torch.argsort(part.labels, stable=True)
    if len(order) > max_samples:
        order = order[torch.arange(max_samples, device=order.device) * len(order) // max_samples]
    means = ClassMeans(subject.network, len(subject.data.class_names), subject.layers, subject.arithmetic)
    predictions, confidence = _first_pass(subject, part, order, means)
    labels = part.labels.index_select(0, order)
    classes = labels if compared == "trueClass" else predictions
    again = torch.argsort(classes, stable=True)
    similarity = torch.empty(len(order), dtype=torch.float64, device=order.device)
    similarity[again] = _second_pass(subject, part, order[again], classes[again], means, compared)
    back = torch.argsort(order)
    return Gathered(
        order[back].cpu().numpy(),
        labels[back].cpu().numpy(),
        predictions[back].cpu().numpy(),
        confidence[back].cpu().numpy(),
        similarity[back].cpu().numpy(),
        means,
    )


def _first_pass(subject: Subject, part: DevicePart, order: Tensor, means: ClassMeans) -> tuple[Tensor, Tensor]:
    """Return predictions (N,) and their softmax probabilities (N,) float64, in the given order."""
    predictions, confidence = [], []
    with means:
        for chosen in torch.split(order, means.batch_size):
            logits = subject.logits(part, chosen)
            predicted = logits.argmax(1)
            means.add(part.labels.index_select(0, chosen), predicted)
            predictions.append(predicted)
            # In float64: a float32 probability is exactly 1 for most samples of a well-trained network, and ranks none.
            confidence.append(logits.double().softmax(1).amax(1))
            subject.alive()
    joined = torch.cat(confidence)
    if not bool(joined.isfinite().all()):
        raise NonFiniteError("a class score is NaN or infinite")
    return torch.cat(predictions), joined


def _second_pass(
    subject: Subject, part: DevicePart, order: Tensor, classes: Tensor, means: ClassMeans, compared: GroupBy
) -> Tensor:
    """Return cosine similarities (N,) float64 to the mean of each sample's class; samples come sorted by class."""
    counted = layers_once(subject.network, subject.layers)
    by_layer = means.means(compared, list(counted))
    squares = means.gram(compared).diagonal().to(order.device)
    found = []
    size = means.batch_size
    for chosen, own in zip(torch.split(order, size), torch.split(classes, size), strict=True):
        comparison = _Comparison(counted, by_layer, own)
        with watched(subject.network, list(counted), comparison.see):
            subject.logits(part, chosen)
        norm = (comparison.lengths * squares[own]).sqrt()
        # Products are rounded to float32: a sample that is its class's mean would be more alike than can be.
        found.append(torch.where(norm > 0, comparison.inner / norm, 0.0).clamp(-1.0, 1.0))
        subject.alive()
    return torch.cat(found)


class _Comparison:
    """Inner products of one batch's activations with class means, and their squared lengths, layer by layer."""

    def __init__(self, counted: Mapping[str, int], means: Mapping[str, Tensor], classes: Tensor) -> None:
        self._counted, self._means = counted, means
        self._present, self._group = torch.unique(classes, return_inverse=True)
        self.inner = torch.zeros(len(classes), dtype=torch.float64, device=classes.device)
        self.lengths = torch.zeros_like(self.inner)

    def see(self, name: str, output: Tensor) -> None:
        rows = flat(output)
        products = rows @ flat(self._means[name][self._present]).T
        self.inner += self._counted[name] * products.gather(1, self._group.unsqueeze(1)).squeeze(1).double()
        self.lengths += self._counted[name] * rows.square().sum(1).double()


def flat(output: Tensor) -> Tensor:
    """Return (N, D) float32 activations, in the order in which they lie in memory where that is channels last."""
    if output.dim() == 4:
        output = output.permute(0, 2, 3, 1)
    return output.flatten(1).float()


def layers_once(network: GraphNetwork, layers: Layers) -> dict[str, int]:
    """Return the counted layers by name, and how often each counts: layers of equal value are looked at once."""
    first = representatives(network.graph)
    return dict(Counter(first[name] for name in activation_layers(network, layers)))


@contextmanager
def watched(network: GraphNetwork, names: list[str], see: Callable[[str, Tensor], None]) -> Iterator[None]:
    """Call `see` with name and output of each named node in every forward pass; hooks are gone afterwards."""

    def hook(name: str) -> Callable[[nn.Module, object, Tensor], None]:
        return lambda _module, _inputs, output: see(name, output)

    handles = [network.get_submodule(name).register_forward_hook(hook(name)) for name in names]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
