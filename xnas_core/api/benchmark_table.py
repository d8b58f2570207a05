"""Checks of a benchmark table: readable, the columns are there, their values are finite numbers, keys are unique."""

from __future__ import annotations

import csv
import gzip
import io
import math
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

MAX_ROWS = 10_000_000


@dataclass(frozen=True, slots=True)
class TableHead:
    """A table's columns and its first key ("" where the key column is absent or there is no row)."""

    columns: tuple[str, ...]
    first_key: str


class TableError(Exception):
    """The table cannot be used; the message is one sentence without the table's name."""


@contextmanager
def _rows(table: Path) -> Iterator[Iterator[list[str]]]:
    try:
        with table.open("rb") as raw:
            zipped = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            binary = gzip.GzipFile(fileobj=raw) if zipped else raw
            with io.TextIOWrapper(binary, encoding="utf-8-sig", newline="") as text:
                yield csv.reader(text, strict=True)
    except FileNotFoundError:
        raise TableError("does not exist; paths are relative to the folder of the search's file") from None
    except IsADirectoryError:
        raise TableError("is a folder, but must be a CSV file, plain or gzipped") from None
    except (OSError, EOFError, zlib.error) as error:
        raise TableError(f"cannot be read: {getattr(error, 'strerror', None) or error}") from None
    except UnicodeDecodeError:
        raise TableError("is not text in UTF-8; give a CSV file, plain or gzipped") from None
    except csv.Error as error:
        raise TableError(f"is not a CSV file: {error}") from None


def read_head(table: Path, key: str) -> TableHead:
    """Return the columns and the first key.

    Raises:
        TableError: the table is missing, unreadable, empty or names a column twice.
    """
    with _rows(table) as rows:
        columns = tuple(name.strip() for name in next(rows, []))
        if not columns:
            raise TableError("is empty; its first line must name the columns")
        repeated = next((name for name in columns if columns.count(name) > 1), None)
        if repeated is not None:
            raise TableError(f'has two columns named "{repeated}"')
        first = next(rows, None)
        if first is None:
            raise TableError("has no rows below the names of its columns")
        place = columns.index(key) if key in columns else len(first)
        return TableHead(columns, first[place] if place < len(first) else "")


def check_values(table: Path, key: str, numeric: Sequence[str]) -> None:
    """Raise TableError at the first row with a repeated or empty key, or without a finite number in `numeric`."""
    with _rows(table) as rows:
        header = [name.strip() for name in next(rows, [])]
        key_place, places = header.index(key), [(name, header.index(name)) for name in numeric]
        seen: set[str] = set()
        for number, row in enumerate(rows, start=2):
            if not row:
                continue
            if number > MAX_ROWS:
                raise TableError(f"has more than {MAX_ROWS:,} rows")
            if len(row) != len(header):
                raise TableError(f"has {len(row)} values in row {number}, but {len(header)} columns")
            if not row[key_place] or row[key_place] in seen:
                raise TableError(f'has an empty or repeated {key} "{row[key_place][:80]}" in row {number}')
            seen.add(row[key_place])
            for name, place in places:
                if not _finite(row[place]):
                    where = f"in row {number} of column {name}"
                    raise TableError(f'has "{row[place][:40]}" {where}, but every value must be a finite number')


def column_ranges(table: Path, columns: Sequence[str]) -> dict[str, tuple[float, float]]:
    """Return the smallest and largest value of each column of a table that `check_values` found good.

    Raises:
        TableError: the table cannot be read, or lacks a column.
    """
    with _rows(table) as rows:
        header = [name.strip() for name in next(rows, [])]
        missing = next((name for name in columns if name not in header), None)
        if missing is not None:
            raise TableError(f'has no column "{missing}"')
        places = [header.index(name) for name in columns]
        values = [[float(row[place]) for place in places] for row in rows if row]
    if not values:
        raise TableError("has no rows below the names of its columns")
    return {name: (min(column), max(column)) for name, column in zip(columns, zip(*values, strict=True), strict=True)}


def _finite(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False
