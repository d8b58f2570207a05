"""Replace a file whole: a reader sees the old one or the new one, never half of it."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path

from xnas_core.errors import InvalidInputError, StoreError


def replace_file(path: Path, data: bytes) -> None:
    """Write `data` to `path` by way of a temporary file beside it, synced to disk before it takes the name.

    Raises:
        InvalidInputError: something that is no plain file has that name: a folder, a device, a pipe.
        StoreError: the folder is missing or read-only, or the disk is full.
    """
    if path.exists() and not path.is_file():
        # A rename would put the file in a device's place.
        raise InvalidInputError(f"{path} is not a plain file; name one, or a new one")
    temporary = path.parent / f".tmp-{path.name}-{secrets.token_hex(6)}"
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise StoreError(
            f"cannot write {path}: {error.strerror or error}; choose another place or free some space"
        ) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()
