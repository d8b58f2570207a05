"""Where a download goes: a file that is there whole or not at all, or bytes."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import BinaryIO

from xnas_core.errors import StoreError


class FileSink:
    """A file that takes its place only when `finish` is called. All methods raise StoreError."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._temporary = path.parent / f".{path.name}.{secrets.token_hex(4)}"
        self._file: BinaryIO | None = None

    def begin(self) -> None:
        """Start over with nothing."""
        self.discard()
        try:
            self._file = self._temporary.open("xb")
        except OSError as error:
            raise self._explained(error) from error

    def write(self, data: bytes) -> None:
        """Take the next bytes."""
        assert self._file is not None, "begin comes first"
        try:
            self._file.write(data)
        except OSError as error:
            raise self._explained(error) from error

    def finish(self) -> Path:
        """Put the file in its place."""
        assert self._file is not None, "begin comes first"
        try:
            self._file.close()
            self._temporary.replace(self._path)
        except OSError as error:
            raise self._explained(error) from error
        self._file = None
        return self._path

    def discard(self) -> None:
        """Leave nothing behind."""
        if self._file is not None:
            self._file.close()
            self._file = None
            self._temporary.unlink(missing_ok=True)

    def _explained(self, error: OSError) -> StoreError:
        return StoreError(f"cannot write {self._path}: {error.strerror or error}; choose another file")


class MemorySink:
    """Bytes."""

    def __init__(self) -> None:
        self._data = bytearray()

    def begin(self) -> None:
        """Start over with nothing."""
        self._data.clear()

    def write(self, data: bytes) -> None:
        """Take the next bytes."""
        self._data += data

    def finish(self) -> bytes:
        """Return what was taken."""
        return bytes(self._data)

    def discard(self) -> None:
        """Leave nothing behind."""
        self._data.clear()
