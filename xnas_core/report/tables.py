"""The candidates as a table (parquet) and the front as a table for people and spreadsheets (CSV).

One list of columns serves both, so that the two never differ. A number that is not known is null (parquet)
or empty (CSV), never 0 or NaN.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from xnas_core.api.spec import ArchitectureSearchSpec
from xnas_core.report.files import replace_file
from xnas_core.search.view import CandidateRecord, SearchView

_STRINGS = pa.list_(pa.string())
_TIME = pa.timestamp("us", tz="UTC")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its name, arrow type and how to get its value from a candidate."""

    name: str
    type: Any
    value: Callable[[CandidateRecord], Any]


class Tabulated(Protocol):
    """What columns are made from: a view, or candidates with their search's spec."""

    @property
    def candidates(self) -> tuple[CandidateRecord, ...]:
        """The candidates."""

    @property
    def spec(self) -> ArchitectureSearchSpec:
        """The spec, whose objectives the candidates' are."""


def columns(view: Tabulated) -> tuple[Column, ...]:
    """Return the columns, in an order that depends on the names that occur and on nothing else.

    Identity first; then metrics (those of the objectives first, in the spec's order, then by name) under
    their own names; `<metric>_stderr`; `objective_<name>` in the spec's order and own sign; `timing_<part>` in
    seconds; artifacts as three lists of equal length. A metric whose name is taken is prefixed with `metric_`.
    """
    first = (
        Column("id", pa.string(), lambda c: c.id),
        Column("arch", pa.string(), lambda c: c.arch),
        Column("state", pa.string(), lambda c: c.state.value),
        Column("generation", pa.int32(), lambda c: c.generation),
        Column("parents", _STRINGS, lambda c: list(c.parents)),
        Column("attempts", pa.int32(), lambda c: c.attempts),
    )
    last = (
        Column("violation", pa.float64(), lambda c: c.violation),
        Column("on_front", pa.bool_(), lambda c: c.on_front),
        Column("failure", pa.string(), lambda c: c.failure or None),
        Column("number", pa.int32(), lambda c: c.number),
        Column("genes", pa.list_(pa.int32()), lambda c: list(c.genes)),
        Column("operators", _STRINGS, lambda c: list(c.operators)),
        Column("proposed_at", _TIME, lambda c: _microseconds(c.proposed_at)),
        Column("finished_at", _TIME, lambda c: None if c.finished_at is None else _microseconds(c.finished_at)),
        Column("artifact_paths", _STRINGS, lambda c: [a.key for a in c.artifacts]),
        Column("artifact_bytes", pa.list_(pa.int64()), lambda c: [a.size for a in c.artifacts]),
        Column("artifact_sha256", _STRINGS, lambda c: [a.sha256 for a in c.artifacts]),
    )
    objectives = tuple(
        Column(f"objective_{objective.name}", pa.float64(), _objective(index))
        for index, objective in enumerate(view.spec.objectives)
    )
    taken = {column.name for column in (*first, *objectives, *last)}
    errors = sorted({name for candidate in view.candidates for name in candidate.errors})
    timings = sorted({name for candidate in view.candidates for name in candidate.timings})
    measured = [
        *_named("{}", metric_names(view), lambda c: c.metrics, taken),
        *_named("{}_stderr", errors, lambda c: c.errors, taken),
    ]
    timed = _named("timing_{}", timings, lambda c: c.timings, taken)
    return (*first, *measured, *objectives, *timed, *last)


def metric_names(view: Tabulated) -> list[str]:
    """Return the names of all metrics that any candidate has: the objectives' first, the others sorted."""
    known = {name for candidate in view.candidates for name in candidate.metrics}
    wanted = [name for objective in view.spec.objectives for name in (objective.name, objective.metric_name)]
    first = [name for name in dict.fromkeys(wanted) if name in known]
    return first + sorted(known - set(first))


def candidates_table(view: SearchView) -> Any:
    """Return all candidates, in order of proposal, as a `pyarrow.Table` (see `columns`)."""
    chosen = columns(view)
    arrays = [pa.array([c.value(candidate) for candidate in view.candidates], c.type) for c in chosen]
    about = {"xnas.search": view.search_id, "xnas.name": view.name}
    schema = pa.schema([pa.field(c.name, c.type) for c in chosen], metadata=about)
    return pa.Table.from_arrays(arrays, schema=schema)


def candidates_parquet(view: SearchView) -> bytes:
    """Return `candidates_table` as a parquet file's content."""
    sink = io.BytesIO()
    pq.write_table(candidates_table(view), sink, compression="zstd")
    return sink.getvalue()


def write_candidates(view: SearchView, path: Path) -> None:
    """Write `candidates_parquet`, replacing the file whole; raise StoreError if it cannot."""
    replace_file(path, candidates_parquet(view))


def front_csv(view: SearchView) -> str:
    """Return the front, best first objective first, as CSV (RFC 4180, with a header).

    Lists are joined with ';', numbers are written so that reading them gives the same number back.
    """
    by_id = {candidate.id: candidate for candidate in view.candidates}
    return _csv(columns(view), (by_id[identity] for identity in view.front))


def write_front(view: SearchView, path: Path) -> None:
    """Write `front_csv`, replacing the file whole; raise StoreError if it cannot."""
    replace_file(path, front_csv(view).encode())


def _csv(chosen: Sequence[Column], rows: Iterable[CandidateRecord]) -> str:
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow([column.name for column in chosen])
    for row in rows:
        writer.writerow([_cell(column, column.value(row)) for column in chosen])
    return out.getvalue()


def _cell(column: Column, value: Any) -> str:
    if value is None:
        return ""
    if column.type == _TIME:
        return (_EPOCH + timedelta(microseconds=int(value))).isoformat(timespec="microseconds")
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, list):
        return ";".join(map(str, value))
    return str(value)


def _microseconds(seconds: float) -> int:
    return round(seconds * 1_000_000)


def _named(
    form: str, names: Sequence[str], values: Callable[[CandidateRecord], Mapping[str, float]], taken: set[str]
) -> list[Column]:
    """Make a column for each name; the columns' names are added to `taken`."""

    def reader(name: str) -> Callable[[CandidateRecord], float | None]:
        return lambda candidate: _float(values(candidate).get(name))

    made = []
    for name in names:
        free = form.format(name)
        while free in taken:
            free = "metric_" + free
        taken.add(free)
        made.append(Column(free, pa.float64(), reader(name)))
    return made


def _objective(index: int) -> Callable[[CandidateRecord], float | None]:
    return lambda candidate: _float(candidate.objectives[index]) if index < len(candidate.objectives) else None


def _float(value: float | None) -> float | None:
    return None if value is None else float(value)
