"""Calls as programs: generators that say what to do next and are told what came of it. They know no threads and no
event loop, so that one text of retries, pages, digests and reconnects serves the sync and the aio client.

A driver carries out each step, sends the result in, and throws our errors in (`sync.py`, `aio.py`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from google.protobuf.message import Message

from xnas_core.client.connection import Connection
from xnas_core.service.errors import UnavailableError

M = TypeVar("M", bound=Message)
T = TypeVar("T")


class Stream(Protocol):
    """An open stream of the driver's."""

    def cancel(self) -> object:
        """Break it off; harmless when it has ended."""


@dataclass(frozen=True, slots=True)
class Unary(Generic[M]):
    """Call a method; the result is its response. `seconds`: what it may take."""

    method: str
    request: Message
    response: type[M]
    seconds: float


@dataclass(frozen=True, slots=True)
class Open(Generic[M]):
    """Open a stream; the result is a `Stream`."""

    method: str
    request: Message
    response: type[M]


@dataclass(frozen=True, slots=True)
class Read:
    """Read from a stream; the result is a message, or None at its end. Silence for too long is a DeadlineError."""

    stream: Stream
    seconds: float


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Blocking:
    """Do something that may block; the result is what it returns."""

    action: Callable[[], Any]


@dataclass(frozen=True, slots=True)
class Emit:
    """Give a value to whoever iterates; only in programs that are iterated over."""

    value: Any


Step = Unary[Any] | Open[Any] | Read | Pause | Blocking | Emit
Program = Generator[Step, Any, T]


def call(
    connection: Connection, method: str, request: Message, response: type[M], *, idempotent: bool = True
) -> Program[M]:
    """Call a method, again where it may be repeated and nobody answered, within the limits of the connection.

    Raises:
        XnasError: the call failed, see `Connection.explain`.
    """
    end = time.monotonic() + connection.timeout
    failures = 0
    while True:
        try:
            answer: M = yield Unary(method, request, response, max(0.001, end - time.monotonic()))
            return answer
        except UnavailableError:
            failures += 1
            pause = connection.retry.pause(failures)
            if not idempotent or failures >= connection.retry.attempts or time.monotonic() + pause >= end:
                raise
        yield Pause(pause)
