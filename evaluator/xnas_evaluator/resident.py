"""What a worker process keeps between tasks: the data set on the device."""

from __future__ import annotations

from pathlib import Path

import torch

from xnas_core.api.spec import DatasetSpec
from xnas_core.errors import InvalidInputError
from xnas_core.search.acceptance import check_same_data
from xnas_evaluator.context import TaskContext, fit
from xnas_evaluator.datasets.load import load
from xnas_evaluator.training.device_data import DeviceData, to_device

_kept: dict[tuple[str, int, str, str], DeviceData] = {}


def search_data(context: TaskContext) -> DeviceData:
    """Return the data set of the task's search, on the task's device.

    Raises:
        InvalidInputError: the search has no data set, or it is absent, corrupt or unfit.
        UnfitError: the same, where the search was started with it: it is so here only; or it is another one here.
    """
    spec, digest = context.spec, context.assignment.data_digest
    if spec.dataset is None:
        raise InvalidInputError("the search has no data set")
    with fit(digest):
        data = device_data(spec.dataset, spec.seed, context.cache, context.device)
        advice = "bring back what was there, or give this evaluator the same"
        check_same_data(digest, data.digest, f"the data set {data.name!r}", advice)
    return data


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
