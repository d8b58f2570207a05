from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.gpu.gpu_device import DEVICE
from xnas_evaluator.training.settings import prepare


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("gpu-cache")


@pytest.fixture(scope="module", autouse=True)
def prepared() -> Iterator[None]:
    """What a task sets for its process, before anything touches the device: cuBLAS reads its setting once."""
    if not torch.cuda.is_available():
        yield
        return
    prepare(DEVICE, 1)
    yield
    if torch.are_deterministic_algorithms_enabled():
        torch.use_deterministic_algorithms(False)
