"""Artifacts of a search: which there are, and fetching them, each checked by its digest."""

from __future__ import annotations

import fnmatch
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from xnas_core.artifacts.keys import check_key
from xnas_core.cli.sources import Source
from xnas_core.cli.viewing import find_candidate
from xnas_core.errors import IntegrityError, StoreError
from xnas_core.report.files import replace_file
from xnas_core.search.view import SearchView


@dataclass(frozen=True, slots=True)
class Listed:
    """An artifact: whose, its key below the search's root, size in bytes, SHA-256 (hex)."""

    candidate: str
    key: str
    size: int
    sha256: str


def listed(view: SearchView, identity: str | None, *, front: bool, match: str) -> list[Listed]:
    """Return artifacts in the order of candidates and keys.

    Args:
        view: the search.
        identity: of one candidate, or how it begins; None: of all.
        front: only of the front.
        match: shell pattern of keys; one without "/" is compared with the last part.

    Raises:
        InvalidInputError: there is no such candidate.
    """
    candidates = [find_candidate(view, identity)] if identity is not None else view.candidates
    return [
        Listed(candidate.id, artifact.key, artifact.size, artifact.sha256)
        for candidate in candidates
        if candidate.on_front or not front
        for artifact in sorted(candidate.artifacts, key=lambda a: a.key)
        if fnmatch.fnmatchcase(artifact.key if "/" in match else artifact.key.rpartition("/")[2], match)
    ]


def fetch(source: Source, wanted: Sequence[Listed], folder: Path) -> Iterator[tuple[Listed, Path]]:
    """Write artifacts below a folder, under their keys; yield each with its file.

    Raises:
        IntegrityError: one is not what the journal says.
        StoreError: one is gone, or can't be written.
    """
    for one in wanted:
        path = folder / check_key(one.key)
        if not (path.is_file() and _digest(path) == one.sha256):
            try:
                data = source.get(one.key)
            except KeyError as error:
                raise StoreError(
                    f"{one.key} is not in the store of {source.place} any more; it was given up"
                ) from error
            if hashlib.sha256(data).hexdigest() != one.sha256:
                raise IntegrityError(f"{one.key} of {source.place} is torn or altered: it does not fit its digest")
            path.parent.mkdir(parents=True, exist_ok=True)
            replace_file(path, data)
        yield one, path


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
