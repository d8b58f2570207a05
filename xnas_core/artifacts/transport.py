"""HTTP to a store: every request has a deadline, every repetition a limit.

All requests go through `Transport`, those of the MinIO SDK too. urllib3's own Retry is not used: it knows no deadline
over all tries, does not repeat an answer that broke off half-way, and writes whole URLs, signatures included, into
the log.
"""

from __future__ import annotations

import io
import logging
import math
import random
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import urllib3
from urllib3 import BaseHTTPResponse, HTTPResponse, Timeout
from urllib3.exceptions import HTTPError, LocationValueError, ProtocolError, SSLError

from xnas_core.errors import InvalidInputError

# At DEBUG, urllib3 logs every URL; a presigned one grants access to whoever reads the log.
logging.getLogger("urllib3.connectionpool").setLevel(logging.INFO)

REPEATED = frozenset({408, 429, 500, 502, 503, 504})
"""Statuses after which the same request may succeed."""
_BLOCK_BYTES = 256 * 1024
_SLOWEST_BYTES_PER_SECOND = 1024 * 1024
"""A transfer that is slower counts as hung; it lengthens the deadline of large objects."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a store may take.

    Attributes:
        connect_seconds: to connect, and to take each block (256 KiB) of what is sent.
        read_seconds: of silence, while an answer is waited for or read.
        deadline_seconds: of one call with all its repetitions; one second more for each MiB that is moved.
        tries: requests that one call makes at most.
        first_pause_seconds: mean pause before the first repetition; each later one is twice as long, with jitter.
        longest_pause_seconds: bound of that.
    """

    connect_seconds: float = 5.0
    read_seconds: float = 30.0
    deadline_seconds: float = 60.0
    tries: int = 12
    first_pause_seconds: float = 0.2
    longest_pause_seconds: float = 8.0

    def __post_init__(self) -> None:
        if self.tries < 1:
            raise InvalidInputError(f"{self.tries} tries are none; allow at least 1")


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer."""

    status: int
    headers: Mapping[str, str]
    content: bytes


class Transport(urllib3.PoolManager):
    """Connections to a store. Safe to call from any thread.

    Args:
        patience: limits of each call.
        ca_file: file with the certificates to trust; None: the system's (OpenSSL's variable SSL_CERT_FILE is heeded).
        sleep: waits between tries; what it raises ends the call.

    Raises:
        InvalidInputError: there is no such file.
    """

    def __init__(
        self,
        patience: Patience | None = None,
        ca_file: str | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        if ca_file is not None and not Path(ca_file).is_file():
            raise InvalidInputError(f"the store's CA file {ca_file} is not there; set it to a file of certificates")
        super().__init__(num_pools=4, maxsize=16, blocksize=_BLOCK_BYTES, ca_certs=ca_file, cert_reqs="CERT_REQUIRED")
        self.patience = patience or Patience()
        self._sleep = sleep

    def exchange(
        self,
        method: str,
        url: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        repeated: Collection[int] = REPEATED,
    ) -> Answer:
        """Send a request and read the whole answer. Blocks.

        Args:
            method: an idempotent one: the request may arrive more than once.
            url: absolute.
            body: what is sent; not copied.
            headers: sent as they are.
            repeated: statuses after which the request is repeated; the last of them is returned.

        Raises:
            urllib3.exceptions.HTTPError: there was no whole answer, repetitions used up.
        """

        def once(until: float) -> Answer:
            response = self._send(method, url, body, headers, until)
            buffer = io.BytesIO()
            for block in blocks(response, until):
                buffer.write(block)
            return Answer(response.status, response.headers, buffer.getvalue())

        return self._insist(once, len(body or b""), repeated)

    def stream(self, method: str, url: str, headers: Mapping[str, str] | None = None) -> BaseHTTPResponse:
        """Send a request and return the answer unread, for `blocks` or to be closed. Only the request is repeated.

        Raises:
            urllib3.exceptions.HTTPError: see `exchange`.
        """
        return self._insist(lambda until: self._send(method, url, None, headers, until), 0, REPEATED)

    def urlopen(  # type: ignore[override]  # as PoolManager itself does
        self, method: str, url: str, redirect: bool = True, **kw: Any
    ) -> BaseHTTPResponse:
        """Serve the MinIO SDK: as `exchange`. Redirects are not followed: signatures are for one host."""
        del redirect
        answer = self.exchange(method, url, body=kw.get("body"), headers=kw.get("headers"))
        return HTTPResponse(
            io.BytesIO(answer.content), answer.headers, answer.status, request_method=method, preload_content=True
        )

    def _send(
        self, method: str, url: str, body: bytes | None, headers: Mapping[str, str] | None, until: float
    ) -> BaseHTTPResponse:
        left = max(0.001, until - time.monotonic())
        limits = Timeout(connect=min(self.patience.connect_seconds, left), read=min(self.patience.read_seconds, left))
        sent = dict(headers or {})
        if body is not None:
            sent["Content-Length"] = str(len(body))
        return super().urlopen(
            method,
            url,
            redirect=False,
            body=None if body is None else _Body(body, until),
            headers=sent,
            timeout=limits,
            retries=False,
            preload_content=False,
            decode_content=False,
        )

    def _insist(self, once: Callable[[float], _A], size: int, repeated: Collection[int]) -> _A:
        until = time.monotonic() + self.patience.deadline_seconds + size / _SLOWEST_BYTES_PER_SECOND
        for number in range(1, self.patience.tries + 1):
            pause = self._pause(number)
            try:
                answer = once(until)
            except HTTPError as error:
                if number == self.patience.tries or time.monotonic() + pause >= until or _is_final(error):
                    raise
            else:
                last = number == self.patience.tries or time.monotonic() + pause >= until
                if answer.status not in repeated or last:
                    return answer
                if isinstance(answer, BaseHTTPResponse):
                    answer.close()
            self._sleep(pause)
        raise AssertionError("the last try returned nothing")

    def _pause(self, number: int) -> float:
        mean = min(self.patience.first_pause_seconds * 2.0 ** (number - 1), self.patience.longest_pause_seconds)
        return mean * random.uniform(0.5, 1.5)


_A = TypeVar("_A", Answer, BaseHTTPResponse)


def _is_final(error: HTTPError) -> bool:
    """Whether a repetition would end the same way: the address is none, or the certificate is not trusted."""
    return isinstance(error, LocationValueError) or (
        isinstance(error, SSLError) and "CERTIFICATE_VERIFY_FAILED" in str(error)
    )


class _Body(io.BytesIO):
    """What is sent, block by block: a socket's time-out holds for one block, this deadline for all."""

    def __init__(self, data: bytes, until: float) -> None:
        super().__init__(data)
        self._until = until

    def read(self, size: int | None = -1, /) -> bytes:
        if time.monotonic() > self._until:
            raise TimeoutError("the store takes what is sent too slowly")
        return super().read(size)


def blocks(response: BaseHTTPResponse, until: float = math.inf) -> Iterator[bytes]:
    """Yield an answer's content as it arrives, then give the connection back.

    Args:
        response: unread.
        until: deadline on the monotonic clock, for little content; more has longer. Silence is limited in any case.

    Raises:
        urllib3.exceptions.HTTPError: it broke off, took too long, or has no length, so that nobody knows it is whole.
    """
    done = False
    try:
        said = response.headers.get("Content-Length", "")
        length = int(said) if said.isdecimal() else None
        chunked = "chunked" in response.headers.get("Transfer-Encoding", "").lower()
        until += (length or 0) / _SLOWEST_BYTES_PER_SECOND
        while block := response.read1(_BLOCK_BYTES):
            if length is None and not chunked:
                raise ProtocolError("the answer has no length, so nobody can tell whether it is whole")
            yield block
            if time.monotonic() > until:
                raise ProtocolError("the store answers too slowly")
        done = True
    finally:
        if done:
            response.release_conn()
        else:
            response.close()
