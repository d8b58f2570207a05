"""NumPy archives: x_train, y_train and, optionally, x_test, y_test and class_names. Nothing is unpickled."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from xnas_core.api.spec import DatasetSpec
from xnas_core.errors import InvalidInputError
from xnas_evaluator.datasets.cache import decoded_once, fingerprint_files
from xnas_evaluator.datasets.copies import find_copy, remote_address
from xnas_evaluator.datasets.raw import Layout, RawDataset

_READ = ("x_train", "y_train", "x_test", "y_test", "class_names")


def load(spec: DatasetSpec, cache: Path) -> RawDataset:
    """Return the data set in the file `dataset.source.npz`."""
    uri = remote_address(spec)
    if uri is not None:
        return _load_copy(uri, cache)
    given = (spec.source and spec.source.npz) or ""
    path = Path(given)
    if not path.is_file():
        raise InvalidInputError(f"dataset.source.npz: there is no file {given!r}")
    return load_file(path, f"npz {path.name}", cache)


def _load_copy(uri: str, cache: Path) -> RawDataset:
    copy = find_copy(cache, uri)
    if copy is None:
        raise InvalidInputError(
            f"dataset.source.npz: {uri} is read on a cluster only, where the operator grants access to it; "
            "copy the object to this machine and name the file"
        )
    # By content: pods that share a cache folder share what is decoded, too.
    return decoded_once(cache, f"npz {Path(uri).name}", copy.sha256, lambda: _decode(copy.path, None, uri))


def load_file(path: Path, name: str, cache: Path, class_names: tuple[str, ...] | None = None) -> RawDataset:
    """Return the data set in an archive.

    Args:
        path: the .npz file. Images are (N, H, W), (N, H, W, C) or (N, C, H, W), integers from 0 to 255.
        name: names the data set in errors.
        cache: the cache folder.
        class_names: used where the archive has no `class_names`; numbers by default.

    Raises:
        InvalidInputError: it is torn, lacks an array or holds something else.
    """
    return decoded_once(cache, name, fingerprint_files([path]), lambda: _decode(path, class_names, str(path)))


def _decode(path: Path, class_names: tuple[str, ...] | None, what: str) -> RawDataset:
    arrays = _arrays(path, what)
    missing = [name for name in _READ[:2] if name not in arrays]
    if missing:
        raise InvalidInputError(f"{what!r} lacks the array {missing[0]}; it needs x_train and y_train")
    labels = _labels(arrays["y_train"])
    if "class_names" in arrays:
        class_names = tuple(str(value) for value in arrays["class_names"].ravel())
    elif class_names is None:
        highest = int(labels.max(initial=-1)) if np.issubdtype(labels.dtype, np.integer) else 0
        class_names = tuple(str(label) for label in range(min(highest, 100_000) + 1))
    layout = _layout(arrays["x_train"])
    test_images = _pixels(arrays["x_test"], what, "x_test") if "x_test" in arrays else None
    test_labels = _labels(arrays["y_test"]) if "y_test" in arrays else None
    train_images = _pixels(arrays["x_train"], what, "x_train")
    return RawDataset(train_images, labels, class_names, test_images, test_labels, layout=layout)


def _arrays(path: Path, what: str) -> dict[str, npt.NDArray[Any]]:
    try:
        with path.open("rb") as file:
            archive = np.load(file, allow_pickle=False)
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise InvalidInputError(f"{what!r} is a single array, not an .npz archive")
            with archive:
                return {name: archive[name] for name in _READ if name in archive.files}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise InvalidInputError(
            f"{what!r} is not a whole .npz archive of plain arrays ({str(error)[:120]}); write it again"
        ) from error


def _layout(images: npt.NDArray[Any]) -> Layout:
    """Return where the channels are: the last or the second dimension, whichever looks like 1 or 3, else up to 4."""
    if images.ndim != 4:
        return "NCHW"
    second, last = images.shape[1], images.shape[3]
    likely, possible = (1, 3), (1, 2, 3, 4)
    if (last in likely) != (second in likely):
        return "NHWC" if last in likely else "NCHW"
    return "NHWC" if last in possible and second not in possible else "NCHW"


def _pixels(images: npt.NDArray[Any], what: str, name: str) -> npt.NDArray[Any]:
    if images.dtype != np.uint8 and np.issubdtype(images.dtype, np.integer) and images.size:
        if images.min() < 0 or images.max() > 255:
            raise InvalidInputError(f"{what!r}: {name} has values outside 0 to 255")
        return images.astype(np.uint8)
    return images


def _labels(labels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels
