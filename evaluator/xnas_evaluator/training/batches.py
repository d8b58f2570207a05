"""The batches of one epoch: a seeded order and seeded augmentation, the same wherever training is interrupted.

Crop, flip and cut-out are one gather and one mask on the device: the crop's zero padding and the cut-out become
zeros of the z-scored image, that is the mean pixel.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from xnas_core.api.spec import Augmentation
from xnas_core.tasks import generator
from xnas_evaluator.training.device_data import DeviceData, DevicePart

PREPARED_VALUES = 1 << 18
"""Pixel values that are prepared at once, where a batch has fewer."""


@dataclass(frozen=True)
class Augmenting:
    """Random choices for every sample of an epoch, on the device; None where an augmentation is off.

    Attributes:
        shift: (N, 2) rows and columns by which the image is shifted, from -h//8 to h//8.
        flip: (N,) bool, mirrored left to right.
        hole: (N, 4) first row, first column, rows and columns that are cut out, after the flip.
    """

    shift: Tensor | None
    flip: Tensor | None
    hole: Tensor | None

    @property
    def off(self) -> bool:
        """Whether nothing is augmented."""
        return self.shift is None and self.flip is None and self.hole is None


def batch_bounds(samples: int, batch_size: int) -> list[tuple[int, int]]:
    """Return first and last + 1 position of each batch.

    The last batch may be smaller; a last batch of one sample, on which batch norm can't work, joins the one before.
    """
    starts = list(range(0, samples, batch_size))
    if len(starts) > 1 and samples - starts[-1] == 1:
        starts.pop()
    return list(zip(starts, [*starts[1:], samples], strict=True))


def epoch_batches(
    data: DeviceData,
    part: DevicePart,
    batch_size: int,
    augmentations: Sequence[Augmentation],
    seed: int,
    epoch: int,
    memory_format: torch.memory_format = torch.contiguous_format,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the batches of an epoch: images (N, C, H, W) float32 z-scored, labels (N,) int64.

    Args:
        data: for the statistics.
        part: what is drawn from; every sample once.
        batch_size: samples a batch.
        augmentations: those that are on.
        seed: training seed.
        epoch: number of the epoch, from 1; the order and all random choices follow from seed and epoch.
        memory_format: layout of the images.
    """
    random = generator(seed, "epoch", epoch)
    device = part.labels.device
    order = torch.from_numpy(random.permutation(len(part))).to(device)
    height, width = part.images.shape[2:]
    choices = _choices(random, len(part), height, width, augmentations, device)
    bounds = batch_bounds(len(part), batch_size)
    # Small batches are prepared several at a time, so that a tiny network does not wait for many tiny operations.
    together = max(1, PREPARED_VALUES // (batch_size * part.images[0].numel()))
    for group in (bounds[start : start + together] for start in range(0, len(bounds), together)):
        start, end = group[0][0], group[-1][1]
        chosen = order[start:end]
        images = part.images.index_select(0, chosen)
        images = data.normalise(images) if choices.off else _augmented(data, images, choices, start, end)
        images, labels = images.contiguous(memory_format=memory_format), part.labels.index_select(0, chosen)
        for first, last in group:
            yield images[first - start : last - start], labels[first - start : last - start]


def _choices(
    random: np.random.Generator,
    count: int,
    height: int,
    width: int,
    augmentations: Sequence[Augmentation],
    device: torch.device,
) -> Augmenting:
    shift = flip = hole = None
    if Augmentation.CROP in augmentations:
        margins = np.array((height // 8, width // 8))
        shift = torch.from_numpy(random.integers(-margins, margins + 1, (count, 2))).to(device)
    if Augmentation.FLIP in augmentations:
        flip = torch.from_numpy(random.random(count) < 0.5).to(device)
    if Augmentation.CUTOUT in augmentations:
        sides = random.integers(0, np.array((height // 4, width // 4)) + 1, (count, 2))
        corners = random.integers(0, np.array((height, width)) - sides + 1)
        hole = torch.from_numpy(np.concatenate((corners, sides), 1)).to(device)
    return Augmenting(shift, flip, hole)


def _augmented(data: DeviceData, images: Tensor, choices: Augmenting, first: int, last: int) -> Tensor:
    """Return z-scored, augmented images of a batch (uint8 in)."""
    count, channels, height, width = images.shape
    device = images.device
    rows = torch.arange(height, device=device).expand(count, height)
    columns = torch.arange(width, device=device).expand(count, width)
    keep = None
    if choices.hole is not None:
        top, left, tall, wide = choices.hole[first:last].unsqueeze(2).unbind(1)
        in_rows = (rows >= top) & (rows < top + tall)
        in_columns = (columns >= left) & (columns < left + wide)
        keep = ~(in_rows.unsqueeze(2) & in_columns.unsqueeze(1))
    if choices.flip is not None:
        columns = torch.where(choices.flip[first:last, None], width - 1 - columns, columns)
    if choices.shift is not None:
        rows = rows + choices.shift[first:last, :1]
        columns = columns + choices.shift[first:last, 1:]
        inside_rows = (rows >= 0) & (rows < height)
        inside_columns = (columns >= 0) & (columns < width)
        inside = inside_rows.unsqueeze(2) & inside_columns.unsqueeze(1)
        keep = inside if keep is None else keep & inside
        rows, columns = rows.clamp(0, height - 1), columns.clamp(0, width - 1)
    if choices.flip is not None or choices.shift is not None:
        source = (rows.unsqueeze(2) * width + columns.unsqueeze(1)).view(count, 1, height * width)
        images = images.view(count, channels, -1).gather(2, source.expand(-1, channels, -1)).view(images.shape)
    images = data.normalise(images)
    return images if keep is None else images.mul_(keep.unsqueeze(1))
