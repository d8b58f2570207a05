"""Data sets on disk, whole and broken."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

WriteIdx = Callable[..., Path]
WriteFolder = Callable[..., Path]


def idx_bytes(array: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> bytes:
    header = bytes((0, 0, 8, array.ndim)) + b"".join(size.to_bytes(4, "big") for size in array.shape)
    return header + array.tobytes()


@pytest.fixture
def write_idx(tmp_path: Path) -> WriteIdx:
    """Write the four files of MNIST's layout; every label of ten twice in each split."""

    def write(folder: str = "idx", *, zipped: bool = False, count: int = 20) -> Path:
        target = tmp_path / folder
        target.mkdir(parents=True, exist_ok=True)
        random = np.random.default_rng(0)
        for part in ("train", "t10k"):
            images = random.integers(0, 256, (count, 6, 5), dtype=np.uint8)
            labels = (np.arange(count) % 10).astype(np.uint8)
            for name, array in ((f"{part}-images-idx3-ubyte", images), (f"{part}-labels-idx1-ubyte", labels)):
                content = idx_bytes(array)
                path = target / (f"{name}.gz" if zipped else name)
                path.write_bytes(gzip.compress(content) if zipped else content)
        return target

    return write


@pytest.fixture
def write_folder(tmp_path: Path) -> WriteFolder:
    """Write class folders of small images."""

    def write(
        folder: str = "images", *, classes: tuple[str, ...] = ("ant", "bee"), mode: str = "RGB", test: bool = True
    ) -> Path:
        random = np.random.default_rng(0)
        for part in ("train", "test") if test else ("train",):
            for name in classes:
                place = tmp_path / folder / part / name
                place.mkdir(parents=True)
                for index in range(6):
                    shape = (5, 7, 3) if mode == "RGB" else (5, 7)
                    image = Image.fromarray(random.integers(0, 256, shape, dtype=np.uint8))
                    image.save(place / f"{index}.{'png' if index % 2 else 'jpg'}")
        return tmp_path / folder

    return write
