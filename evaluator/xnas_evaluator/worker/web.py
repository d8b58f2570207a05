"""Objects of a cluster's store, by presigned URLs that the server grants one at a time (protocol.md §6.9)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol, TypeVar

from xnas_core.artifacts import presigned
from xnas_core.artifacts.refusals import AccessRefusedError
from xnas_core.artifacts.transport import Patience, Transport
from xnas_core.errors import StoreError

PATIENCE = Patience(
    connect_seconds=10,
    read_seconds=60,
    deadline_seconds=240,
    tries=60,
    first_pause_seconds=0.5,
    longest_pause_seconds=10,
)
"""A store may be away for some minutes, so that its restart costs no attempt. The agent's hang limit is longer."""
_GRANTS = 3
"""URLs asked for at most, for one transfer: one can expire while a request waits its turn."""

_R = TypeVar("_R")


class AskUrl(Protocol):
    """Asks the server for a URL."""

    def __call__(self, key: str, *, write: bool) -> str:
        """Return a fresh URL; raise StoreError where there is none."""
        ...


def transport(ca_file: Path | None, sleep: Callable[[float], None]) -> Transport:
    """Return connections to the store.

    Args:
        ca_file: certificates to trust; None: the system's, or those in the file that the variable SSL_CERT_FILE names.
        sleep: waits between tries; what it raises ends the transfer.
    """
    return Transport(PATIENCE, str(ca_file) if ca_file is not None else None, sleep)


class WebObjects:
    """Reads and writes of one attempt.

    Args:
        ask: called before every transfer, and again when a URL has expired.
        sleep: waits between tries; what it raises ends the transfer.
        ca_file: see `transport`.
    """

    def __init__(self, ask: AskUrl, sleep: Callable[[float], None], ca_file: Path | None = None) -> None:
        self._ask = ask
        self._transport = transport(ca_file, sleep)

    def put(self, key: str, url: str, data: bytes) -> None:
        """Store the object: whole or not at all. Blocks.

        Args:
            key: to ask for another URL with.
            url: the first one.
            data: the content; not copied.

        Raises:
            StoreError: the store could not, repetitions used up.
        """
        self._with_url(key, url, lambda fresh: presigned.put(self._transport, fresh, data), write=True)

    def get(self, key: str, url: str) -> bytes | None:
        """Return the object, or None if there is none; see `put`."""
        return self._with_url(key, url, lambda fresh: presigned.get(self._transport, fresh), write=False)

    def _with_url(self, key: str, url: str, transfer: Callable[[str], _R], *, write: bool) -> _R:
        for number in range(1, _GRANTS + 1):
            if not url.startswith(("https://", "http://")):
                raise StoreError("the grant is neither a file nor a web address; update the evaluator or the server")
            try:
                return transfer(url)
            except AccessRefusedError:
                if number == _GRANTS:
                    raise
            url = self._ask(key, write=write)
        raise AssertionError("the last transfer neither ended nor failed")
