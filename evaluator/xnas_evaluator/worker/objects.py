"""Reading and writing one object by a grant that is a file of this machine (protocol.md §6.9)."""

from __future__ import annotations

from pathlib import Path

from xnas_core.artifacts.folder import FolderStore
from xnas_core.errors import StoreError


def write_path(path: Path, data: bytes) -> None:
    """Replace the file atomically and durably.

    Raises:
        StoreError: it could not be written; the message names it and what to change.
    """
    FolderStore(path.parent).put(path.name, data)


def read_path(path: Path) -> bytes | None:
    """Return the file's content, or None if there is none; raise StoreError if it cannot be read."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror}") from error
