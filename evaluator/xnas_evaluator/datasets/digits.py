"""scikit-learn's digits: 1,797 real handwritten digits of 8x8 pixels (UCI ML repository; comes with the package)."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np

from xnas_core.api.spec import DatasetSpec
from xnas_core.errors import InvalidInputError
from xnas_evaluator.datasets.cache import decoded_once, fingerprint_files
from xnas_evaluator.datasets.raw import RawDataset


def load(spec: DatasetSpec, cache: Path) -> RawDataset:
    """Return the digits; pixel values 0..16 are spread over 0..255.

    Raises:
        InvalidInputError: scikit-learn, which brings the file, is not installed.
    """
    del spec
    path = _file()
    return decoded_once(cache, "digits", fingerprint_files([path]), lambda: _decode(path))


def _file() -> Path:
    # The package is only located: importing sklearn takes seconds and may import torch.
    package = find_spec("sklearn")
    for folder in (package and package.submodule_search_locations) or ():
        path = Path(folder) / "datasets" / "data" / "digits.csv.gz"
        if path.is_file():
            return path
    raise InvalidInputError(
        "data set 'digits' comes with scikit-learn, which is not installed; install xnas[evaluator]"
    )


def _decode(path: Path) -> RawDataset:
    table = np.loadtxt(path, delimiter=",", dtype=np.uint8)
    images = np.rint(table[:, :-1].astype(np.float64) * (255 / 16)).astype(np.uint8)
    return RawDataset(images.reshape(-1, 1, 8, 8), table[:, -1].astype(np.int64), tuple("0123456789"))
