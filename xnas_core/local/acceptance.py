"""Accepting a search on one machine: what its first event says, and what may have changed since."""

from __future__ import annotations

from dataclasses import astuple
from pathlib import Path

from xnas_core.api import ArchitectureSearchSpec, changed_fields
from xnas_core.errors import InvalidInputError
from xnas_core.local.describe import DatasetDescription
from xnas_core.search.acceptance import check_same_data, describe_table, first_event
from xnas_core.search.events import Started
from xnas_core.tasks import DataDescription


class SpecChangedError(InvalidInputError):
    """A field that may not change while a search runs has changed."""

    reason = "SpecChanged"


def accept(spec: ArchitectureSearchSpec, search_id: str, data: DatasetDescription | None) -> Started:
    """Return the first event of a new search."""
    if data is not None:
        described = DataDescription(shape=astuple(data.shape), digest=data.digest, class_names=data.class_names)
        return first_event(spec, search_id, described)
    if spec.benchmark is None:
        return first_event(spec, search_id, None)
    columns = [objective.metric_name for objective in spec.objectives]
    return first_event(spec, search_id, describe_table(Path(spec.benchmark.table), columns))


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
    if data is not None:
        advice = "bring the old data back, or start a new search in another --output folder"
        check_same_data(started, data.digest, advice)
