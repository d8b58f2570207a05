"""Benchmark mode: a row of a table is the evaluation (protocol.md §3). No torch.

The table is a CSV file, plain or gzipped, with a header. One column is the key; every column whose values are
finite numbers becomes a metric under its own name.
"""

from __future__ import annotations

import csv
import gzip
import io
import math
import zlib
from functools import lru_cache
from pathlib import Path

from xnas_core.errors import InvalidInputError
from xnas_core.tasks import TaskKind, TaskResult
from xnas_evaluator.context import TaskContext

_GZIP_MAGIC = b"\x1f\x8b"
_MAX_BYTES = 1024 * 1024 * 1024
"""Bound of an unpacked table."""


class Table:
    """Rows by key; each a tuple of cells. Numbers are read when a row is asked for."""

    def __init__(self, path: Path, key: str) -> None:
        reader = csv.reader(io.StringIO(_text(path), newline=""))
        header = next(reader, [])
        if key not in header:
            raise InvalidInputError(f"table {path} has no column {key!r}; its columns are: {', '.join(header[:20])}")
        self.path = path
        self.columns = header
        self._key = header.index(key)
        self._rows: dict[str, list[str]] = {}
        for row in reader:
            if len(row) != len(header):
                raise InvalidInputError(f"table {path}, line {reader.line_num}: {len(row)} cells, {len(header)} named")
            if row[self._key] in self._rows:
                raise InvalidInputError(f"table {path}, line {reader.line_num}: {row[self._key]!r} appears twice")
            self._rows[row[self._key]] = row

    def metrics(self, key: str) -> dict[str, float]:
        """Return the finite numbers of a row by column; raise InvalidInputError if there is no such row."""
        row = self._rows.get(key)
        if row is None:
            raise InvalidInputError(
                f"table {self.path} has no row {key!r}; use a search space whose encodings it holds"
            )
        values: dict[str, float] = {}
        for column, cell in zip(self.columns, row, strict=True):
            try:
                number = float(cell)
            except ValueError:
                continue
            if math.isfinite(number):
                values[column] = number
        return values


def _text(path: Path) -> str:
    try:
        data = path.read_bytes()
        if data[:2] == _GZIP_MAGIC:
            with gzip.open(io.BytesIO(data)) as unpacked:
                data = unpacked.read(_MAX_BYTES + 1)
        if len(data) > _MAX_BYTES:
            raise InvalidInputError(f"table {path} is larger than 1 GiB")
        return data.decode()
    except FileNotFoundError:
        raise InvalidInputError(f"there is no table {path}; check benchmark.table") from None
    except (OSError, EOFError, UnicodeDecodeError, zlib.error) as error:
        raise InvalidInputError(f"table {path} cannot be read: {error}") from error


@lru_cache(maxsize=2)
def _cached(path: Path, key: str, _stamp: tuple[int, int]) -> Table:
    return Table(path, key)


def load(path: Path, key: str) -> Table:
    """Return the table, from memory if the file did not change since.

    Raises:
        InvalidInputError: the table is missing, damaged, or lacks the key column.
    """
    try:
        status = path.stat()
    except OSError as error:
        raise InvalidInputError(f"table {path} cannot be read: {error.strerror}; check benchmark.table") from error
    return _cached(path, key, (status.st_size, status.st_mtime_ns))


def evaluate(context: TaskContext) -> TaskResult:
    """Answer `evaluate` with the row of the candidate's encoding; `finalise` has nothing to do.

    Raises:
        InvalidInputError: no benchmark, no such table or row, or an objective is not a number there.
    """
    assignment, benchmark = context.assignment, context.spec.benchmark
    if benchmark is None:
        raise InvalidInputError("the search has no benchmark table")
    metrics: dict[str, float] = {}
    if assignment.kind is TaskKind.EVALUATE:
        metrics = load(Path(benchmark.table), benchmark.key).metrics(assignment.encoding)
        for objective in context.spec.objectives:
            if objective.metric_name not in metrics:
                raise InvalidInputError(
                    f"column {objective.metric_name!r} of table {benchmark.table} is missing or not a finite number "
                    f"for {assignment.encoding}"
                )
            metrics[objective.name] = metrics[objective.metric_name]
    return assignment.result(
        metrics,
        environment={"device": "table"},
    )
