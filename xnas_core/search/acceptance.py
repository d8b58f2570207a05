"""The first event of a search: what it is accepted with. The same on one machine and on a cluster."""

from __future__ import annotations

import hashlib
import platform
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import astuple
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from xnas_core import __version__, objectives
from xnas_core.api import ArchitectureSearchSpec, spec_digest
from xnas_core.api.benchmark_table import TableError, column_ranges
from xnas_core.api.class_pairs import resolve_pairs
from xnas_core.api.explaining import ExplanationScope
from xnas_core.api.metric_parameters import judged
from xnas_core.api.spec import Direction
from xnas_core.errors import InvalidInputError
from xnas_core.search.events import DATA_VERSION, Started
from xnas_core.spaces.base import DataShape
from xnas_core.tasks import DataDescription

BENCHMARK_SHAPE = DataShape(3, 32, 32, 10)
"""Shape for networks that are only looked up or counted, never trained: CIFAR-10's, as NAS-Bench-201 has it."""
_PACKAGES = ("numpy", "pymoo", "torch", "captum", "grpcio", "pydantic")


def needs_data(spec: ArchitectureSearchSpec) -> bool:
    """Return whether the data or a table must be described before the search can begin."""
    return spec.dataset is not None or spec.benchmark is not None


def first_event(spec: ArchitectureSearchSpec, search_id: str, data: DataDescription | None) -> Started:
    """Return the first event of a new search.

    Args:
        spec: as accepted, paths resolved.
        search_id: see protocol.md §2.
        data: what the data are; None where there are none.

    Raises:
        InvalidInputError: the spec names a class that the data have not.
    """
    regulariser = spec.training.introspectability_regularizer
    if data is not None and data.class_names and regulariser is not None:
        resolve_pairs(regulariser.pairs, data.class_names)
    versions = {"xnas": __version__, "python": platform.python_version(), **_package_versions()}
    if data is not None and spec.dataset is not None:
        # Not of a table: one with holes may be mended, and what failed for a hole be tried again.
        versions[DATA_VERSION] = data.digest
    document = spec.to_document()
    return Started(
        time=time.time(),
        search_id=search_id,
        spec=document,
        spec_digest=spec_digest(document),
        data_shape=astuple(BENCHMARK_SHAPE) if data is None or data.shape is None else data.shape,
        versions=versions,
        references=references(spec, data.ranges) if data is not None else {},
        class_names=data.class_names if data is not None else (),
    )


def describe_table(table: Path, objectives: Sequence[str]) -> DataDescription:
    """Return what a benchmark table is, as far as objectives name its columns.

    Raises:
        InvalidInputError: it cannot be used.
    """
    try:
        ranges = column_ranges(table, list(dict.fromkeys(objectives)))
        return DataDescription(ranges=ranges, digest=hashlib.sha256(table.read_bytes()).hexdigest())
    except TableError as error:
        raise InvalidInputError(f"the table {table} {error}") from error
    except OSError as error:
        raise InvalidInputError(f"the table {table} cannot be read: {error.strerror}") from error


def check_same_data(expected: str, found: str, what: str, advice: str) -> None:
    """Raise InvalidInputError unless a data set is the one that the search was started with.

    Args:
        expected: digest noted when the search began; empty where none was.
        found: digest of what is here.
        what: names the data set in the message.
        advice: ends the message.
    """
    if expected not in ("", found):
        raise InvalidInputError(
            f"{what} is not the one that this search was started with (its content has another digest); {advice}"
        )


def references(spec: ArchitectureSearchSpec, ranges: Mapping[str, tuple[float, float]]) -> dict[str, float]:
    """Return each objective's worst value in the benchmark table, the default hypervolume reference."""
    if spec.benchmark is None:
        return {}
    return {
        objective.name: ranges[objective.metric_name][0 if objective.direction is Direction.MAXIMIZE else 1]
        for objective in spec.objectives
    }


def lacking(spec: ArchitectureSearchSpec, capabilities: Collection[str]) -> list[str]:
    """Return what a search needs and an evaluator did not declare, such as "data set faces" (protocol.md §6.2)."""
    wanted: list[tuple[str, str]] = []
    if spec.dataset is not None and spec.dataset.name is not None:
        wanted.append(("dataset", spec.dataset.name))
    if spec.benchmark is None and spec.dataset is not None:
        wanted += [("objective", name) for name in _measured(spec) if not objectives.always_recorded(name)]
        if spec.explanations.scope is not ExplanationScope.NONE:
            wanted += [("explainer", name) for name in spec.explanations.methods]
        wanted += [("explainer", name) for name in judged_explainers(spec)]
    words = {"dataset": "data set", "objective": "objective", "explainer": "explainer"}
    missing = [(kind, name) for kind, name in wanted if f"{kind}/{name}" not in capabilities]
    return [f"{words[kind]} {name}" for kind, name in dict.fromkeys(missing)]


def _measured(spec: ArchitectureSearchSpec) -> list[str]:
    """Return the metrics that a search names, static ones included."""
    named = objectives.spec_metrics(spec)
    return [*named.values(), *(c.metric for c in spec.constraints if c.metric not in named)]


def judged_explainers(spec: ArchitectureSearchSpec) -> list[str]:
    """Return the explainers that built-in metrics of a search judge."""
    given = [(item.metric_name, item.parameters) for item in spec.metrics]
    given += [(item.metric_name, item.parameters) for item in spec.objectives]
    named = objectives.spec_metrics(spec)
    given += [(c.metric, {}) for c in spec.constraints if c.metric not in named]
    return judged(given)


def _package_versions() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
