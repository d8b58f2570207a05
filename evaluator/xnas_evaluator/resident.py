"""What a worker process keeps between tasks: the data set on the device."""

from __future__ import annotations

from pathlib import Path

import torch

from xnas_core.api.spec import DatasetSpec
from xnas_evaluator.datasets.load import load
from xnas_evaluator.training.device_data import DeviceData, to_device

_kept: dict[tuple[str, int, str, str], DeviceData] = {}


def device_data(spec: DatasetSpec, seed: int, cache: Path, device: str) -> DeviceData:
    """Return the data set on the device; the one used last is kept, so that the next task finds it there.

    Raises:
        InvalidInputError: the data are absent, corrupt or unfit.
    """
    key = (spec.model_dump_json(), seed, str(cache), device)
    if key not in _kept:
        _kept.clear()
        _kept[key] = to_device(load(spec, seed, cache), torch.device(device))
    return _kept[key]
