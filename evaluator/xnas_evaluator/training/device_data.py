"""A data set on the device: moved there once as uint8, cropped, flipped and z-scored there in whole batches."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from xnas_core.spaces.base import DataShape
from xnas_evaluator.datasets.load import Dataset, Part


@dataclass(frozen=True)
class DevicePart:
    """One part of a data set on the device.

    Attributes:
        images: (N, C, H, W) uint8.
        labels: (N,) int64.
    """

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class DeviceData:
    """A data set on the device.

    Attributes:
        name: the data set's name.
        class_names: one for each class.
        mean: (1, C, 1, 1) float32, mean of the training pixels in 0..255.
        std: (1, C, 1, 1) float32, their standard deviation.
        digest: of the decoded data.
        train_sources: (N,) on the CPU, as in `Dataset`.
    """

    name: str
    class_names: tuple[str, ...]
    train: DevicePart
    validation: DevicePart
    test: DevicePart
    mean: Tensor
    std: Tensor
    digest: str
    train_sources: npt.NDArray[np.int64] | None = None

    @property
    def shape(self) -> DataShape:
        """Shape of one image, and the number of classes."""
        channels, height, width = self.train.images.shape[1:]
        return DataShape(channels, height, width, len(self.class_names))

    def normalise(self, images: Tensor) -> Tensor:
        """Return (N, C, H, W) float32, z-scored by the training pixels' statistics, of uint8 images."""
        return images.float().sub_(self.mean).div_(self.std)


def to_device(data: Dataset, device: torch.device) -> DeviceData:
    """Move a data set to a device. On the CPU nothing is copied."""

    def part(source: Part) -> DevicePart:
        return DevicePart(torch.from_numpy(source.images).to(device), torch.from_numpy(source.labels).to(device))

    mean, std = (torch.from_numpy(values).float().view(1, -1, 1, 1).to(device) for values in (data.mean, data.std))
    return DeviceData(
        data.name,
        data.class_names,
        part(data.train),
        part(data.validation),
        part(data.test),
        mean,
        std,
        data.digest,
        data.train_sources,
    )
