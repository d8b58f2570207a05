"""From the spec's `dataset` part to a split data set in memory. No torch here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from xnas_core import plugins
from xnas_core.api.spec import DatasetSpec
from xnas_core.errors import InvalidInputError
from xnas_core.spaces.base import DataShape
from xnas_evaluator.datasets import idx, image_folder, npz
from xnas_evaluator.datasets.raw import Images, Labels, Loader, RawDataset, checked
from xnas_evaluator.datasets.split import split


@dataclass(frozen=True)
class Part:
    """One part of a data set.

    Attributes:
        images: (N, C, H, W) uint8.
        labels: (N,) int64.
    """

    images: Images
    labels: Labels

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Dataset:
    """A split data set.

    Attributes:
        name: its name, for reports.
        class_names: one for each class.
        test_held_out: the test split was taken from the training images, as the data set brings none.
        mean: (C,) mean of the training pixels, in 0..255.
        std: (C,) standard deviation of the training pixels, in 0..255; 1 where a channel is constant.
        digest: SHA-256 of the decoded data before the split.
        train_sources: (N,) where each training sample lies in the images as they came, before the split; None where
            that is not known.
    """

    name: str
    class_names: tuple[str, ...]
    train: Part
    validation: Part
    test: Part
    test_held_out: bool
    mean: npt.NDArray[np.float64]
    std: npt.NDArray[np.float64]
    digest: str
    train_sources: npt.NDArray[np.int64] | None = None

    @property
    def shape(self) -> DataShape:
        """Shape of one image, and the number of classes."""
        channels, height, width = self.train.images.shape[1:]
        return DataShape(channels, height, width, len(self.class_names))


def load(spec: DatasetSpec, seed: int, cache: Path) -> Dataset:
    """Load and split a data set.

    Args:
        spec: the search's `dataset`.
        seed: the search's seed; the split follows from it.
        cache: folder for decoded data.

    Raises:
        InvalidInputError: the data are absent, corrupt or unfit; one sentence says what to change.
    """
    name = dataset_name(spec)
    raw = checked(_loader(spec)(spec, cache), name)
    parts = split(
        raw.train_labels,
        seed=seed,
        validation_fraction=spec.validation_fraction,
        training_fraction=spec.training_fraction,
        hold_out_test=raw.test_images is None,
    )
    train = _part(raw, parts.train)
    if raw.test_images is None or raw.test_labels is None:
        test = _part(raw, parts.test)
    else:
        test = Part(raw.test_images, raw.test_labels)
    mean, std = _statistics(train.images)
    return Dataset(
        name,
        raw.class_names,
        train,
        _part(raw, parts.validation),
        test,
        raw.test_images is None,
        mean,
        std,
        raw.digest,
        parts.train,
    )


def dataset_name(spec: DatasetSpec) -> str:
    """Return how to call the data set in tables and errors: its name, or the source's path."""
    if spec.name:
        return spec.name
    source = spec.source
    return (source and (source.idx or source.image_folder or source.npz)) or "the data set"


def _loader(spec: DatasetSpec) -> Loader:
    if (spec.name is None) == (spec.source is None):
        raise InvalidInputError("the dataset needs exactly one of name and source")
    if spec.name is not None:
        loader: Loader = plugins.load(plugins.PluginKind.DATASET, spec.name)
        return loader
    source = spec.source
    given = [name for name in ("idx", "image_folder", "npz") if getattr(source, name) is not None]
    if len(given) != 1:
        raise InvalidInputError("dataset.source needs exactly one of idx, imageFolder and npz")
    return {"idx": idx.load, "image_folder": image_folder.load, "npz": npz.load}[given[0]]


def _part(raw: RawDataset, indices: npt.NDArray[np.int64]) -> Part:
    return Part(raw.train_images[indices], raw.train_labels[indices])


def _statistics(images: Images) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return mean and standard deviation by channel, exact, from a histogram of the 256 pixel values."""
    values = np.arange(256, dtype=np.float64)
    mean, std = [], []
    for channel in range(images.shape[1]):
        share = np.bincount(images[:, channel].ravel(), minlength=256) / images[:, channel].size
        centre = float(share @ values)
        mean.append(centre)
        std.append(float(np.sqrt(share @ (values - centre) ** 2)) or 1.0)
    return np.array(mean), np.array(std)
