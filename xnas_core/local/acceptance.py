"""Accepting a search on one machine: what its first event says, and what may have changed since."""

from __future__ import annotations

import platform
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from xnas_core import __version__
from xnas_core.api import ArchitectureSearchSpec, changed_fields, spec_digest
from xnas_core.api.benchmark_table import TableError, column_ranges
from xnas_core.api.spec import Direction
from xnas_core.errors import InvalidInputError
from xnas_core.local.describe import DatasetDescription
from xnas_core.search.events import Started
from xnas_core.spaces.base import DataShape

BENCHMARK_SHAPE = DataShape(3, 32, 32, 10)
"""Shape for networks that are only looked up or counted, never trained: CIFAR-10's, as NAS-Bench-201 has it."""
DATA_VERSION = "data"
"""Name in `versions` under which the digest of the decoded data is kept."""
_PACKAGES = ("numpy", "pymoo", "torch", "captum", "grpcio", "pydantic")


class SpecChangedError(InvalidInputError):
    """A field that may not change while a search runs has changed."""

    reason = "SpecChanged"


def accept(spec: ArchitectureSearchSpec, search_id: str, data: DatasetDescription | None) -> Started:
    """Return the first event of a new search."""
    versions = {"xnas": __version__, "python": platform.python_version(), **_package_versions()}
    if data is not None:
        versions[DATA_VERSION] = data.digest
    shape = data.shape if data else BENCHMARK_SHAPE
    return Started(
        time=time.time(),
        search_id=search_id,
        spec=spec.to_document(),
        spec_digest=spec_digest(spec.to_document()),
        data_shape=(shape.channels, shape.height, shape.width, shape.classes),
        versions=versions,
        references=table_references(spec),
    )


def check_unchanged(accepted: dict[str, object], spec: ArchitectureSearchSpec) -> tuple[str, ...]:
    """Return the mutable fields in which `spec` differs from what was accepted last.

    Raises:
        SpecChangedError: another field has changed; the message names all such fields.
    """

    mutable, immutable = changed_fields(accepted, spec.to_document())
    if immutable:
        raise SpecChangedError(
            f"these fields may not change while a search goes on: {', '.join(immutable)}; "
            "set them back, or start a new search in another --output folder"
        )
    return tuple(mutable)


def check_data(started: Started, data: DatasetDescription | None) -> None:
    """Raise InvalidInputError if the data are not those that the search was started with."""
    if data is not None and started.versions.get(DATA_VERSION) not in (None, data.digest):
        raise InvalidInputError(
            "the data set is not the one that this search was started with (its content has another digest); "
            "bring the old data back, or start a new search in another --output folder"
        )


def table_references(spec: ArchitectureSearchSpec) -> dict[str, float]:
    """Return each objective's worst value in the benchmark table, the default hypervolume reference."""
    if spec.benchmark is None:
        return {}
    columns = [objective.metric_name for objective in spec.objectives]
    try:
        ranges = column_ranges(Path(spec.benchmark.table), list(dict.fromkeys(columns)))
    except TableError as error:
        raise InvalidInputError(f"the table {spec.benchmark.table} {error}") from error
    return {
        objective.name: ranges[objective.metric_name][0 if objective.direction is Direction.MAXIMIZE else 1]
        for objective in spec.objectives
    }


def _package_versions() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
