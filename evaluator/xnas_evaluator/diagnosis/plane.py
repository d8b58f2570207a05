"""Principal components of activations: samples as points in a plane.

Activations have far more dimensions than there are samples, so the components follow from the samples' inner products
(N, N), which are summed layer by layer in one forward pass: exact, and no activation is kept. All samples go through
the network as one batch, so there can be only as many as fit there.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from xnas_core.diagnosis import Plane
from xnas_core.tasks import generator
from xnas_evaluator.diagnosis.gather import Gathered, Subject, flat, layers_once, watched
from xnas_evaluator.training.device_data import DevicePart

MAX_SAMPLES = 256
MAX_BYTES = 1 << 28
"""Of the largest layer's output for all samples."""


def sample_count(subject: Subject) -> int:
    """Return how many samples may go through the network at once."""
    largest = max(torch.Size(shape).numel() for shape in subject.network.graph.shapes.values())
    return max(2, min(MAX_SAMPLES, MAX_BYTES // (4 * largest)))


def choose(count: int, wanted: int, seed: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Return ascending positions below `count`, drawn without replacement (protocol.md §4)."""
    drawn = generator(seed, "diagnosis", "plane").permutation(count)[:wanted]
    return np.sort(drawn).astype(np.int64)


@torch.inference_mode()
def plane(subject: Subject, part: DevicePart, gathered: Gathered, seed: int) -> Plane:
    """Return a seeded subset of the gathered samples in the plane of their first two principal components.

    Each axis points to where its largest coordinate in magnitude is positive. An axis without variance is zero.
    """
    chosen = choose(len(gathered.positions), sample_count(subject), seed)
    positions = torch.from_numpy(gathered.positions[chosen]).to(part.labels.device)
    counted = layers_once(subject.network, subject.layers)
    inner = torch.zeros((len(chosen), len(chosen)), dtype=torch.float64, device=positions.device)

    def add(name: str, output: Tensor) -> None:
        rows = flat(output)
        # Centred here and not in the matrix: the mean is many times longer than what differs.
        rows = rows - rows.mean(0)
        inner.add_((rows @ rows.T).double(), alpha=counted[name])

    with watched(subject.network, list(counted), add):
        subject.logits(part, positions)
    points, variance = _components(inner)
    return Plane(
        points=tuple((float(x), float(y)) for x, y in points.tolist()),
        labels=tuple(gathered.labels[chosen].tolist()),
        predictions=tuple(gathered.predictions[chosen].tolist()),
        variance=variance,
    )


def _components(inner: Tensor) -> tuple[Tensor, tuple[float, float]]:
    """Return (N, 2) coordinates, and each axis's share of the variance, from centred inner products (N, N)."""
    inner = inner.cpu()
    values, vectors = torch.linalg.eigh(inner)
    values = values.clamp(min=0.0).flip(0)[:2]
    points = vectors.flip(1)[:, :2] * values.sqrt()
    largest = points.abs().argmax(0, keepdim=True)
    points = points * torch.where(points.gather(0, largest) < 0, -1.0, 1.0)
    # One sample alone has one axis.
    points, values = F.pad(points, (0, 2 - points.shape[1])), F.pad(values, (0, 2 - len(values)))
    total = float(inner.diagonal().sum())
    if total <= 0:
        return torch.zeros_like(points), (0.0, 0.0)
    return points, (float(values[0]) / total, float(values[1]) / total)
