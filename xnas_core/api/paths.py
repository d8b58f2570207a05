"""Paths in a spec: relative to the folder of the file that holds it."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from xnas_core.api.base import ParameterValue
from xnas_core.api.declared import Kind
from xnas_core.api.metric_parameters import METRIC_PARAMETERS
from xnas_core.api.spec import ArchitectureSearchSpec, MetricSpec, ObjectiveSpec

_Item = TypeVar("_Item", ObjectiveSpec, MetricSpec)


def resolve(path: str, base_folder: Path) -> str:
    """Return a path as an absolute one; s3:// addresses and absolute paths stay as they are."""
    if path.startswith("s3://"):
        return path
    return str((base_folder / Path(path).expanduser()).absolute())


def resolve_paths(spec: ArchitectureSearchSpec, base_folder: Path) -> ArchitectureSearchSpec:
    """Return the spec with the paths of dataset, benchmark and metrics' parameters made absolute."""
    changes: dict[str, object] = {
        "objectives": [_with_paths(item, base_folder) for item in spec.objectives],
        "metrics": [_with_paths(item, base_folder) for item in spec.metrics],
    }
    dataset = spec.dataset
    if dataset is not None:
        source = dataset.source
        if source is not None:
            places = {name: getattr(source, name) for name in ("idx", "image_folder", "npz")}
            source = source.model_copy(
                update={name: resolve(place, base_folder) for name, place in places.items() if place is not None}
            )
        path = resolve(dataset.path, base_folder) if dataset.path is not None else None
        changes["dataset"] = dataset.model_copy(update={"source": source, "path": path})
    if spec.benchmark is not None:
        table = resolve(spec.benchmark.table, base_folder)
        changes["benchmark"] = spec.benchmark.model_copy(update={"table": table})
    return spec.model_copy(update=changes)


def _with_paths(item: _Item, base_folder: Path) -> _Item:
    known = METRIC_PARAMETERS.get(item.metric_name, {})
    paths: dict[str, ParameterValue] = {
        name: resolve(value, base_folder)
        for name, value in item.parameters.items()
        if isinstance(value, str) and name in known and known[name].kind is Kind.PATH
    }
    return item.model_copy(update={"parameters": item.parameters | paths}) if paths else item
