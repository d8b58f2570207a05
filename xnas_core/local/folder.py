"""The output folder of one search: its identity and its lock.

The lock keeps two honest runs apart and gives a good message. It is not what protects the search: that is
the journal's create-only-if-absent (protocol.md §5.2), which holds even where locks do not work.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from xnas_core.artifacts import keys
from xnas_core.artifacts.folder import FolderStore
from xnas_core.errors import IntegrityError, InvalidInputError, StoreError

_LOCK = "lock"
_SCHEMA = 1


class FolderInUseError(InvalidInputError):
    """Another run holds the output folder."""

    reason = "FolderInUse"


@dataclass(frozen=True, slots=True)
class SearchIdentity:
    """What search.json holds: written once, when the folder is made.

    Attributes:
        search_id: UUID of the search.
        name: metadata.name of the resource.
    """

    search_id: str
    name: str


class OutputFolder:
    """A folder that holds one search, or will.

    Raises:
        StoreError: the folder cannot be made.
        InvalidInputError: the folder holds something else.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if path.is_dir() and not (path / keys.SEARCH).exists():
            strangers = sorted(entry.name for entry in path.iterdir() if entry.name != _LOCK and entry.name[0] != ".")
            if strangers:
                raise InvalidInputError(
                    f"{path} holds other files ({', '.join(strangers[:3])}) but no search; choose a new folder"
                )
        self.store = FolderStore(path)

    def identity(self) -> SearchIdentity | None:
        """Return the identity of the search in the folder, or None if it holds none yet."""
        try:
            document = json.loads(self.store.get(keys.SEARCH))
            if document["schema"] != _SCHEMA:
                raise IntegrityError(
                    f"{self.path / keys.SEARCH} has schema {document['schema']!r}, this version of xnas reads {_SCHEMA}"
                )
            return SearchIdentity(str(document["searchId"]), str(document["name"]))
        except KeyError as error:
            if error.args == (keys.SEARCH,):
                return None
            raise IntegrityError(f"{self.path / keys.SEARCH} lacks {error}") from error
        except (ValueError, TypeError) as error:
            raise IntegrityError(f"{self.path / keys.SEARCH} is damaged: {error}") from error

    def claim(self, name: str) -> SearchIdentity:
        """Return the folder's identity, writing it first if the folder is new.

        Raises:
            InvalidInputError: the folder belongs to a search of another name.
        """
        identity = self.identity()
        if identity is None:
            document = {"schema": _SCHEMA, "searchId": str(uuid.uuid4()), "name": name, "createdAt": time.time()}
            self.store.create(keys.SEARCH, json.dumps(document, indent=1).encode())
            # Read again: of two that create it, one does not.
            identity = self.identity()
        if identity is None:
            raise StoreError(f"{self.path / keys.SEARCH} vanished while it was read")
        if identity.name != name:
            raise InvalidInputError(
                f"{self.path} belongs to the search {identity.name!r}, not {name!r}; choose another --output, "
                f"or set metadata.name back to {identity.name!r}"
            )
        return identity

    @contextmanager
    def locked(self, advice: str = "wait until it ends, stop it, or choose another --output") -> Iterator[None]:
        """Hold the folder's lock; it goes with the process, however that ends.

        Args:
            advice: what to do where another process holds it.

        Raises:
            FolderInUseError: another process holds it; the message names the process.
            StoreError: the folder is read-only, or its disk is full.
        """
        # Opened close-on-exec, as Python does, so no child can keep the lock beyond our death.
        with self._writing():
            descriptor = os.open(self.path / _LOCK, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = os.pread(descriptor, 64, 0).decode(errors="replace").strip() or "unknown"
                raise FolderInUseError(f"{self.path} is in use by another run (process {holder}); {advice}") from None
            with self._writing():
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
            yield
        finally:
            os.close(descriptor)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            advice = "free some space, or choose another --output" if full else "choose another --output"
            raise StoreError(f"cannot write to {self.path}: {error.strerror}; {advice}") from error
