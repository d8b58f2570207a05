"""Class folders: train/<class>/*.png and, optionally, test/<class>/*.png; PNG and JPEG, all of one size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from xnas_core.api.spec import DatasetSpec
from xnas_core.errors import InvalidInputError
from xnas_evaluator.datasets.cache import decoded_once, fingerprint_files
from xnas_evaluator.datasets.raw import MAX_SIDE, RawDataset

_ENDINGS = frozenset({".png", ".jpg", ".jpeg"})
_GREY = frozenset({"1", "L", "LA", "I", "I;16"})


def load(spec: DatasetSpec, cache: Path) -> RawDataset:
    """Return the data set in the folder `dataset.source.imageFolder`."""
    folder = Path((spec.source and spec.source.image_folder) or ".")
    if not folder.is_dir():
        raise InvalidInputError(f"dataset.source.imageFolder: there is no folder {str(folder)!r}")
    return load_folder(folder, f"images {folder.name}", cache)


def load_folder(folder: Path, name: str, cache: Path) -> RawDataset:
    """Return the data set in class folders below `folder`.

    Args:
        folder: holds train/<class>/ and perhaps test/<class>/; or the class folders themselves.
        name: names the data set in errors.
        cache: the cache folder.

    Raises:
        InvalidInputError: a file is not an image or of another size (it is named), or there are no class folders.
    """
    train = folder / "train" if (folder / "train").is_dir() else folder
    test = folder / "test"
    class_names = _classes(train)
    files = {part: _files(part, class_names) for part in (train, test) if part.is_dir()}
    every = [path for by_class in files.values() for paths in by_class for path in paths]
    return decoded_once(cache, name, fingerprint_files(every), lambda: _decode(list(files.values()), class_names))


def _classes(folder: Path) -> tuple[str, ...]:
    names = tuple(sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")))
    if not names:
        raise InvalidInputError(
            f"the folder {str(folder)!r} has no class folders; put the images into train/<class>/ below it"
        )
    return names


def _files(folder: Path, class_names: Sequence[str]) -> list[list[Path]]:
    unknown = sorted({path.name for path in folder.iterdir() if path.is_dir()} - set(class_names))
    unknown = [name for name in unknown if not name.startswith(".")]
    if unknown:
        raise InvalidInputError(f"{str(folder / unknown[0])!r} is a class that the training split does not have")
    found = []
    for name in class_names:
        paths = sorted(path for path in folder.glob(f"{name}/*") if path.suffix.lower() in _ENDINGS)
        if not paths and folder.name != "test":
            raise InvalidInputError(f"the class folder {str(folder / name)!r} has no PNG or JPEG image")
        found.append(paths)
    return found


def _decode(parts: Sequence[Sequence[Sequence[Path]]], class_names: tuple[str, ...]) -> RawDataset:
    first = parts[0][0][0]
    with _opened(first) as image:
        size = image.size
    if max(size) > MAX_SIDE:
        raise InvalidInputError(
            f"{str(first)!r} has {size[0]}x{size[1]} pixels; at most {MAX_SIDE} a side are supported"
        )
    # Judged by the first image of each class; a colour image among grey ones is then read as grey.
    grey = all(_is_grey(paths[0]) for part in parts for paths in part if paths)
    decoded = [_decode_part(part, grey, size, first) for part in parts]
    test_images, test_labels = decoded[1] if len(decoded) > 1 else (None, None)
    return RawDataset(*decoded[0], class_names, test_images, test_labels, layout="NHWC")


def _decode_part(
    part: Sequence[Sequence[Path]], grey: bool, size: tuple[int, int], first: Path
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    count = sum(len(paths) for paths in part)
    images = np.empty((count, size[1], size[0], 1 if grey else 3), np.uint8)
    labels = np.repeat(np.arange(len(part)), [len(paths) for paths in part])
    for index, path in enumerate(path for paths in part for path in paths):
        with _opened(path) as image:
            if image.size != size:
                raise InvalidInputError(
                    f"{str(path)!r} has {image.size[0]}x{image.size[1]} pixels, {first.name} has {size[0]}x{size[1]}; "
                    "all images have to be of one size"
                )
            if image.mode.startswith("I"):
                raise InvalidInputError(f"{str(path)!r} has 16 bits a channel; convert it to 8")
            pixels = np.asarray(image.convert("L" if grey else "RGB"))
        images[index] = pixels.reshape(images.shape[1:])
    return images, labels


def _is_grey(path: Path) -> bool:
    with _opened(path) as image:
        return image.mode in _GREY


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """Open an image; what is wrong with its file, now or when its pixels are read, is an InvalidInputError."""
    try:
        with Image.open(path, formats=("PNG", "JPEG")) as image:
            yield image
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise InvalidInputError(
            f"{str(path)!r} is not a whole PNG or JPEG image ({type(error).__name__}); replace it"
        ) from error
