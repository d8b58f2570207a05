"""What is computed from attributions, whatever explainer they come from: N samples, C channels, (H, W) pixels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from xnas_core.tasks import generator
from xnas_evaluator.diagnosis.correlation import spearman

Compare = Literal["absolute", "signed"]


def gini(attributions: Tensor) -> Tensor:
    """Return the Gini index of each sample's absolute attributions: 0 if all are equal, near 1 if one has everything.

    With values v_1 <= ... <= v_d: 1 - 2 sum_k v_k / |v|_1 (d - k + 0.5) / d (Hurley & Rickard 2009, used by
    Chalasani et al. 2020).

    Args:
        attributions: (N, ...).

    Returns:
        (N,) float64; NaN where all are zero.
    """
    values = attributions.flatten(1).double().abs().sort(1).values
    count = values.shape[1]
    places = torch.arange(1, count + 1, dtype=torch.float64, device=values.device)
    shares = (values * (count - places + 0.5)).sum(1) / count
    return 1 - 2 * shares / values.sum(1)


def pixels(attributions: Tensor, compare: Compare) -> Tensor:
    """Return (N, H*W) float64: what each pixel has over its channels, in size or with its sign."""
    values = attributions.double()
    return (values.abs() if compare == "absolute" else values).sum(1).flatten(1)


def rank_correlations(first: Tensor, second: Tensor, compare: Compare) -> Tensor:
    """Return Spearman's rank correlation of two attributions of each sample, pixel by pixel.

    Args:
        first, second: (N, C or 1, H, W) each.
        compare: whether signs count.

    Returns:
        (N,) float64 on the CPU; NaN where one of the two is constant.
    """
    one, other = (pixels(values, compare).cpu().numpy() for values in (first, second))
    found = [spearman(a, b) for a, b in zip(one, other, strict=True)]
    return torch.tensor([np.nan if value is None else value for value in found], dtype=torch.float64)


def over_channels(attributions: Tensor, channels: int) -> Tensor:
    """Return (N, channels, H, W); what was given for whole pixels is divided equally among their channels."""
    if attributions.shape[1] == channels:
        return attributions
    return (attributions / channels).expand(-1, channels, -1, -1)


class Perturbations:
    """Random numbers for perturbed copies of samples, the same however samples and copies are batched.

    Args:
        path: what the random numbers follow from.
        shape: (N, C, H, W) of all samples.
    """

    def __init__(self, path: tuple[object, ...], shape: torch.Size) -> None:
        self._path, self._shape = path, tuple(shape)

    def take(self, kind: Literal["uniform", "normal", "pixels"], start: int, end: int) -> Iterator[tuple[int, Tensor]]:
        """Yield (number of the copy, values) without end, for samples `start` to `end`.

        Values: (n, C, H, W) float32 on the CPU, uniform in [-1, 1) or standard normal; or (n, 1, H, W), uniform in
        [0, 1), one for each pixel.
        """
        count, channels, height, width = self._shape
        number = 0
        while True:
            random = generator(*self._path, number)
            if kind == "normal":
                values = random.standard_normal((count, channels, height, width), dtype=np.float32)
            elif kind == "uniform":
                values = random.random((count, channels, height, width), dtype=np.float32) * 2 - 1
            else:
                values = random.random((count, 1, height, width), dtype=np.float32)
            yield number, torch.from_numpy(values[start:end])
            number += 1
