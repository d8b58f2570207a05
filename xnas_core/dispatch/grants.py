"""Access to single objects of the store (protocol.md §6.9)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from xnas_core.artifacts.keys import check_key


@dataclass(frozen=True, slots=True)
class Grant:
    """Access to one object: a file of this machine, or a presigned URL. Exactly one is set."""

    path: str | None = None
    url: str | None = None


class GrantSource(Protocol):
    """Makes grants. Whether the evaluator may have the object was checked before."""

    def grant(self, key: str, *, write: bool) -> Grant:
        """Return access to one object, to write (create or replace) or to read.

        Must not block: signing needs no network.
        """
        ...


class FolderGrants:
    """Grants of one machine: files below the output folder."""

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()

    def grant(self, key: str, *, write: bool) -> Grant:
        """See GrantSource.grant; the same file for both verbs."""
        del write
        return Grant(path=str(self._root / check_key(key)))
