"""Synthetic lines: 12x12 grey images of four classes (none, horizontal, vertical, diagonal), after Carmichael et al.

Every image is drawn from its own number, so the set is the same everywhere and needs no file.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from xnas_core.api.spec import DatasetSpec
from xnas_core.tasks import generator
from xnas_evaluator.datasets.raw import RawDataset

SIDE = 12
CLASS_NAMES = ("none", "horizontal", "vertical", "diagonal")
TRAIN_SAMPLES, TEST_SAMPLES = 2000, 500


def load(spec: DatasetSpec, cache: Path) -> RawDataset:
    """Return 2,000 training and 500 test images, classes in turn."""
    del spec, cache
    train, train_labels = _draw(TRAIN_SAMPLES, "train")
    test, test_labels = _draw(TEST_SAMPLES, "test")
    return RawDataset(train, train_labels, CLASS_NAMES, test, test_labels)


def _draw(count: int, part: str) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    random = generator("lines", part)
    labels = np.arange(count) % len(CLASS_NAMES)
    images = random.integers(0, 64, (count, SIDE, SIDE), dtype=np.uint8)
    positions = random.integers(0, SIDE, count)
    offsets = random.integers(-SIDE // 3, SIDE // 3 + 1, count)
    falling = random.random(count) < 0.5
    brightness = random.integers(160, 256, count, dtype=np.uint8)
    steps = np.arange(SIDE)
    for image, label, position, offset, down, value in zip(
        images, labels, positions, offsets, falling, brightness, strict=True
    ):
        if label == 1:
            image[position, :] = value
        elif label == 2:
            image[:, position] = value
        elif label == 3:
            columns = steps + offset
            inside = (columns >= 0) & (columns < SIDE)
            rows = steps if down else SIDE - 1 - steps
            image[rows[inside], columns[inside]] = value
    return images[:, None], labels.astype(np.int64)
