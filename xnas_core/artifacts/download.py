"""A large object into a file, by presigned URLs: gone on with after every break, never in memory as a whole."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from xnas_core.artifacts import presigned
from xnas_core.artifacts.refusals import AccessRefusedError
from xnas_core.artifacts.transport import Transport
from xnas_core.errors import InvalidInputError, StoreError

_TRIES = 5
"""Breaks or refusals in a row without a new byte. A request that fails is repeated by the transport only."""
_HASH_BYTES = 1 << 20


def partial_path(target: Path) -> Path:
    """Return where an object lies until all of it is there."""
    return target.with_name(target.name + ".partial")


@dataclass(frozen=True, slots=True)
class Downloaded:
    """What came: size in bytes, and SHA-256 (hex)."""

    size: int
    sha256: str


@dataclass
class Download:
    """One object on its way into a file. What has come outlives the process: the next one goes on from there.

    Args:
        transport: to the store.
        ask: returns a URL to read the object with; called anew when one has expired. What it raises ends the download.
        what: names the object in messages.
        target: replaced when all is there; what is not whole yet lies beside it.
        max_bytes: largest size that is taken.
        alive: called now and then with the share that is there, 0 to 1; what it raises ends the download.
        sleep: waits between tries, in seconds; what it raises ends the download.
    """

    transport: Transport
    ask: Callable[[], str]
    what: str
    target: Path
    max_bytes: int
    alive: Callable[[float], None]
    sleep: Callable[[float], None]
    _have: int = field(default=0, init=False)
    _size: int | None = field(default=None, init=False)
    _etag: str = field(default="", init=False)

    def run(self) -> Downloaded:
        """Bring the object here. Blocks. Nobody else may write to the target meanwhile.

        Raises:
            InvalidInputError: there is no such object, or it is too large.
            StoreError: the store could not, repetitions used up; or there is no room.
            OSError: the file could not be written.
        """
        self._remember()
        failures, furthest = 0, self._have
        url = self.ask()
        while self._size is None or self._have < self._size:
            try:
                found = presigned.rest(self.transport, url, self._have, self._etag)
                if found is None:
                    raise InvalidInputError(f"there is no object {self.what}; check the address")
                broke_off = self._take(found)
            except AccessRefusedError as error:
                broke_off, url = error, self.ask()
            if broke_off is None:
                continue
            failures = 1 if self._have > furthest else failures + 1
            furthest = max(furthest, self._have)
            if failures >= _TRIES:
                raise broke_off
            if not isinstance(broke_off, AccessRefusedError):
                self.sleep(failures)
        return self._finish()

    @property
    def _partial(self) -> Path:
        return partial_path(self.target)

    @property
    def _notes(self) -> Path:
        return self.target.with_name(self.target.name + ".partial.json")

    def _remember(self) -> None:
        """Learn what an earlier process left."""
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            notes = json.loads(self._notes.read_text())
            size, etag, have = int(notes["size"]), str(notes["etag"]), self._partial.stat().st_size
            if etag and 0 < have <= size:
                self._size, self._etag, self._have = size, etag, have

    def _take(self, found: presigned.Rest) -> StoreError | None:
        """Write what comes; return what broke it off, if anything did."""
        with contextlib.closing(found.blocks):
            if found.size > self.max_bytes:
                raise InvalidInputError(f"{self.what} has {found.size} bytes; at most {self.max_bytes} are taken")
            self._begin(found)
            self.alive(self._have / max(found.size, 1))
            with self._partial.open("r+b" if self._have else "wb") as file:
                file.truncate(self._have)
                file.seek(self._have)
                try:
                    for block in found.blocks:
                        file.write(block)
                        self._have += len(block)
                        self.alive(self._have / max(found.size, 1))
                except StoreError as error:
                    return error
        if self._have != found.size:
            self._have, self._etag = 0, ""
            return StoreError(f"{self.what} came with another length than the store said")
        return None

    def _begin(self, found: presigned.Rest) -> None:
        room = shutil.disk_usage(self.target.parent).free
        if found.size - found.start > room:
            raise StoreError(
                f"{self.what} has {found.size} bytes, but the disk of {self.target.parent} has room for {room}; "
                "give the cache folder a larger volume"
            )
        self._have = found.start
        if (found.size, found.etag) != (self._size, self._etag):
            self._size, self._etag = found.size, found.etag
            self._notes.write_text(json.dumps({"size": found.size, "etag": found.etag}))

    def _finish(self) -> Downloaded:
        digest = hashlib.sha256()
        with self._partial.open("rb") as file:
            while block := file.read(_HASH_BYTES):
                digest.update(block)
                self.alive(1.0)
            os.fsync(file.fileno())
        self._partial.replace(self.target)
        self._notes.unlink(missing_ok=True)
        return Downloaded(self._have, digest.hexdigest())
