"""Where a server listens and how evaluators name it: `unix:PATH` or `HOST:PORT`."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from xnas_core.errors import InvalidInputError

_UNIX = "unix:"
_MAX_SOCKET_PATH = 100
"""Bytes. Linux allows 107, other systems 103."""


def is_unix(address: str) -> bool:
    """Return whether the address is a Unix socket's."""
    return address.startswith(_UNIX)


def socket_path(address: str) -> Path:
    """Return the file of a Unix socket's address."""
    return Path(address.removeprefix(_UNIX))


def check(address: str) -> str:
    """Return the address if it is one.

    Raises:
        InvalidInputError: it is not; the sentence says what would be.
    """
    if is_unix(address):
        path = socket_path(address)
        if not path.is_absolute():
            raise InvalidInputError(f"the socket of {address!r} must be an absolute path, as in unix:/tmp/xnas.sock")
        if len(os.fsencode(path)) > _MAX_SOCKET_PATH:
            raise InvalidInputError(
                f"the socket path {path} is longer than {_MAX_SOCKET_PATH} bytes; choose a folder with a shorter path"
            )
        return address
    host, colon, port = address.rpartition(":")
    if not colon or not host or not port.isdigit() or int(port) > 65535:
        raise InvalidInputError(f"{address!r} is not an address: use unix:/path/to/socket or HOST:PORT")
    return address


@contextmanager
def private_files() -> Iterator[None]:
    """Create files for their owner only: the socket must not be open to others even for a moment."""
    previous = os.umask(0o177)
    try:
        yield
    finally:
        os.umask(previous)


def check_private(address: str) -> None:
    """Make sure that only the owner can connect to a bound Unix socket."""
    path = socket_path(address)
    path.chmod(0o600)
    mode = path.stat().st_mode
    if not stat.S_ISSOCK(mode) or stat.S_IMODE(mode) != 0o600:
        raise InvalidInputError(f"{path} cannot be made private; choose another folder for the socket")
