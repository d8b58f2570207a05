"""What a data set plug-in returns: decoded images and labels, and the checks that every data set has to pass."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from xnas_core.api.spec import DatasetSpec
from xnas_core.errors import InvalidInputError

Images = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]
Layout = Literal["NCHW", "NHWC"]

MAX_SIDE = 1024
MAX_CLASSES = 10_000


@dataclass(frozen=True)
class RawDataset:
    """Decoded images, not yet split.

    Attributes:
        train_images: (N, C, H, W) or (N, H, W, C) uint8, as `layout` says; (N, H, W) for grey images is accepted too.
        train_labels: (N,) integers from 0 to classes - 1.
        class_names: one name for each class, in the labels' order.
        test_images: as train_images, or None: a share is then held out of the training images.
        test_labels: as train_labels, or None.
        layout: order of the images' dimensions.
    """

    train_images: npt.NDArray[Any]
    train_labels: npt.NDArray[Any]
    class_names: tuple[str, ...]
    test_images: npt.NDArray[Any] | None = None
    test_labels: npt.NDArray[Any] | None = None
    layout: Layout = field(default="NCHW", kw_only=True)

    @cached_property
    def digest(self) -> str:
        """SHA-256 (hex) over shapes, pixels, labels and class names."""
        digest = hashlib.sha256("\n".join((self.layout, *self.class_names)).encode())
        for array in (self.train_images, self.train_labels, self.test_images, self.test_labels):
            digest.update(b"none" if array is None else f"{array.dtype.str}{array.shape}".encode())
            if array is not None:
                digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()


Loader = Callable[[DatasetSpec, Path], RawDataset]
"""A data set plug-in (entry-point group `xnas.datasets`): called with the spec's `dataset` part and the cache folder.

Raises InvalidInputError, in one sentence that says what is wrong and what to change.
"""


def checked(raw: RawDataset, what: str) -> RawDataset:
    """Return the data set as (N, C, H, W) uint8 and int64 labels.

    Args:
        raw: what a loader returned.
        what: names the data set in errors.

    Raises:
        InvalidInputError: it is empty, ill-shaped, of one class, or has labels out of range.
    """
    classes = len(raw.class_names)
    if classes < 2:
        raise InvalidInputError(f"{what} has {classes} class{'' if classes == 1 else 'es'}; at least two are needed")
    if classes > MAX_CLASSES:
        raise InvalidInputError(f"{what} has {classes} classes; at most {MAX_CLASSES} are supported")
    train = _images(raw.train_images, raw.layout, f"{what}, training split")
    if len(train) < classes:
        raise InvalidInputError(
            f"{what} has more classes ({classes}) than training images ({len(train)}); add images or merge classes"
        )
    train_labels = _labels(raw.train_labels, len(train), classes, f"{what}, training split")
    missing = np.flatnonzero(np.bincount(train_labels, minlength=classes) == 0)
    if classes - len(missing) < 2:
        raise InvalidInputError(f"{what}: all training images are of one class; at least two are needed")
    if missing.size:
        raise InvalidInputError(f"{what}: class {raw.class_names[missing[0]]!r} has no training image")
    if (raw.test_images is None) != (raw.test_labels is None):
        raise InvalidInputError(f"{what}: a test split needs both images and labels")
    if raw.test_images is None:
        return RawDataset(train, train_labels, raw.class_names)
    test = _images(raw.test_images, raw.layout, f"{what}, test split")
    if test.shape[1:] != train.shape[1:]:
        raise InvalidInputError(
            f"{what}: test images have shape {test.shape[1:]}, training images {train.shape[1:]}; they have to be equal"
        )
    test_labels = _labels(raw.test_labels, len(test), classes, f"{what}, test split")
    return RawDataset(train, train_labels, raw.class_names, test, test_labels)


def _images(images: npt.NDArray[Any], layout: Layout, what: str) -> Images:
    if images.ndim == 3:
        images = images[:, None] if layout == "NCHW" else images[..., None]
    if images.ndim != 4:
        raise InvalidInputError(
            f"{what}: images have shape {images.shape}; expected (N, H, W), (N, H, W, C) or (N, C, H, W)"
        )
    if images.dtype != np.uint8:
        raise InvalidInputError(f"{what}: images are {images.dtype}; expected uint8 with values from 0 to 255")
    if layout == "NHWC":
        images = images.transpose(0, 3, 1, 2)
    count, channels, height, width = images.shape
    if count == 0:
        raise InvalidInputError(f"{what} has no images")
    if not (1 <= channels <= 4 and 2 <= height <= MAX_SIDE and 2 <= width <= MAX_SIDE):
        raise InvalidInputError(
            f"{what}: images of {channels} channels and {height}x{width} pixels are not supported; "
            f"1 to 4 channels and 2 to {MAX_SIDE} pixels a side are"
        )
    return np.ascontiguousarray(images)


def _labels(labels: npt.NDArray[Any] | None, count: int, classes: int, what: str) -> Labels:
    if labels is None or labels.shape != (count,):
        shape = None if labels is None else labels.shape
        raise InvalidInputError(f"{what}: {count} images but labels of shape {shape}; one label an image is needed")
    if not np.issubdtype(labels.dtype, np.integer):
        raise InvalidInputError(f"{what}: labels are {labels.dtype}; expected integers from 0 to {classes - 1}")
    lowest, highest = int(labels.min()), int(labels.max())
    if lowest < 0 or highest >= classes:
        raise InvalidInputError(
            f"{what}: label {lowest if lowest < 0 else highest} is out of range; labels go from 0 to {classes - 1}"
        )
    return labels.astype(np.int64)
