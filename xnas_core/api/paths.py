"""Paths in a spec: relative to the folder of the file that holds it."""

from __future__ import annotations

from pathlib import Path

from xnas_core.api.spec import ArchitectureSearchSpec


def resolve(path: str, base_folder: Path) -> str:
    """Return a path as an absolute one; s3:// addresses and absolute paths stay as they are."""
    if path.startswith("s3://"):
        return path
    return str((base_folder / Path(path).expanduser()).absolute())


def resolve_paths(spec: ArchitectureSearchSpec, base_folder: Path) -> ArchitectureSearchSpec:
    """Return the spec with the paths of dataset and benchmark made absolute."""
    changes: dict[str, object] = {}
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
