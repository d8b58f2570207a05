"""Copies of data sets that lie in a store: where they are kept in the cache folder, and what is known of them.

An address stands for one content: a copy is made once for each cache folder and not looked at again. Whoever changes
a data set gives it another key; an evaluator whose copy is of another content leaves the search (EvaluatorUnfit).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from xnas_core.api.spec import DatasetSpec


@dataclass(frozen=True, slots=True)
class Copy:
    """A whole copy: its file, and SHA-256 (hex) of its content."""

    path: Path
    sha256: str


def remote_address(spec: DatasetSpec | None) -> str | None:
    """Return the s3:// address of a data set; None if it does not lie in a store."""
    place = spec.source.npz if spec is not None and spec.source is not None else None
    return place if place is not None and place.startswith("s3://") else None


def copy_path(cache: Path, uri: str) -> Path:
    """Return where the copy of an object is kept."""
    return cache / "downloads" / f"{hashlib.sha256(uri.encode()).hexdigest()[:16]}.npz"


def notes_path(cache: Path, uri: str) -> Path:
    """Return the file that says that the copy is whole, and what it is."""
    return copy_path(cache, uri).with_suffix(".json")


def find_copy(cache: Path, uri: str) -> Copy | None:
    """Return the copy of an object; None if there is none yet."""
    path = copy_path(cache, uri)
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        notes = json.loads(notes_path(cache, uri).read_text())
        if notes["uri"] == uri and path.stat().st_size == notes["size"]:
            return Copy(path, str(notes["sha256"]))
    return None
