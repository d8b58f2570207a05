"""Accepting a search on one machine: what its first event says, and what may have changed since."""

from __future__ import annotations

from dataclasses import astuple
from pathlib import Path

from xnas_core.api import ArchitectureSearchSpec, changed_fields
from xnas_core.errors import InvalidInputError
from xnas_core.local.describe import describe_dataset
from xnas_core.search.acceptance import check_same_data, describe_table
from xnas_core.search.events import Started
from xnas_core.tasks import DataDescription


class SpecChangedError(InvalidInputError):
    """A field that may not change while a search runs has changed."""

    reason = "SpecChanged"


def describe_data(spec: ArchitectureSearchSpec) -> DataDescription | None:
    """Return what the search's data or table are; None where it has neither.

    Raises:
        InvalidInputError: they cannot be used; the message says why.
    """
    if spec.benchmark is not None:
        columns = [objective.metric_name for objective in spec.objectives]
        return describe_table(Path(spec.benchmark.table), columns)
    data = describe_dataset(spec)
    if data is None:
        return None
    return DataDescription(shape=astuple(data.shape), digest=data.digest, class_names=data.class_names)


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


def check_data(started: Started, spec: ArchitectureSearchSpec) -> None:
    """Raise InvalidInputError if the data set is not the one that the search was started with."""
    data = describe_dataset(spec)
    if data is not None:
        advice = "bring the old one back, or start a new search in another --output folder"
        check_same_data(started.data_digest, data.digest, "the data set", advice)
