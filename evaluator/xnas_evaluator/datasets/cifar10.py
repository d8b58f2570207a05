"""CIFAR-10 (Krizhevsky 2009): class folders train/<class>/*.jpg and test/<class>/*.jpg, or cifar10.npz."""

from __future__ import annotations

from pathlib import Path

from xnas_core.api.spec import DatasetSpec
from xnas_evaluator.datasets.image_folder import load_folder
from xnas_evaluator.datasets.locate import locate
from xnas_evaluator.datasets.npz import load_file
from xnas_evaluator.datasets.raw import RawDataset

_NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
_ARCHIVES = ("cifar10.npz", "cifar-10.npz")


def load(spec: DatasetSpec, cache: Path) -> RawDataset:
    """Return CIFAR-10 (50,000 and 10,000 colour images, 32x32)."""
    advice = (
        "unpack it as class folders, train/<class>/*.png (or .jpg) and test/<class>/*, or write cifar10.npz with "
        "x_train, y_train, x_test and y_test"
    )
    folder = locate("cifar10", spec.path, ("/usr/share/datasets/cifar10",), _complete, advice)
    archive = _archive(folder)
    if archive is not None:
        return load_file(archive, "cifar10", cache, _NAMES)
    return load_folder(folder, "cifar10", cache)


def _archive(folder: Path) -> Path | None:
    return next((folder / name for name in _ARCHIVES if (folder / name).is_file()), None)


def _complete(folder: Path) -> bool:
    return _archive(folder) is not None or ((folder / "train").is_dir() and (folder / "test").is_dir())
