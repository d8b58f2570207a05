"""One evaluator's stream: what waits to be sent, and how it ends."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from typing import Protocol

import grpc

from xnas_core import wire
from xnas_core.dispatch import messages as m

_BATCH_BYTES = 1024 * 1024
"""Content of one batch, at most, so that a batch stays well below the bound of a message."""


class Writable(Protocol):
    """The part of a server's stream context that is written to."""

    async def write(self, message: bytes, /) -> None:
        """Send one message; returns when the transport has taken it."""


class EvaluatorStream:
    """The sending side of one stream. `send` and `close` may be called at any time in the event loop.

    Args:
        number: identity of the stream in the pool's books.
        refuse: called with task id and sentence when an assignment is over the bound of a message.
    """

    def __init__(self, number: int, evaluator: str, refuse: Callable[[str, str], None]) -> None:
        self.number = number
        self.evaluator = evaluator
        self.closed = False
        self.status: tuple[grpc.StatusCode, str] | None = None
        self._refuse = refuse
        self._outbox: deque[m.ServerMessage] = deque()
        self._wake = asyncio.Event()

    def send(self, message: m.ServerMessage) -> None:
        """Queue a message. After `close` it is dropped: whoever connects again is told anew."""
        if not self.closed:
            self._outbox.append(message)
            self._wake.set()

    def close(self, code: grpc.StatusCode | None = None, sentence: str = "") -> None:
        """End the stream once what is queued was sent; with a code, as an error."""
        if not self.closed:
            self.closed = True
            self.status = (code, sentence) if code is not None else None
            self._wake.set()

    async def write_until_closed(self, context: Writable) -> None:
        """Send what is queued, several messages at a time, until the stream is closed."""
        while True:
            if self._outbox:
                for data in self._encode():
                    await context.write(data)
            elif self.closed:
                return
            else:
                self._wake.clear()
                await self._wake.wait()

    def _encode(self) -> Iterator[bytes]:
        ready: list[m.ServerMessage] = []
        total = 0
        while self._outbox:
            message = self._outbox.popleft()
            length = wire.size(message)
            if length > m.MAX_MESSAGE_BYTES and isinstance(message, m.Assign):
                sentence = f"the assignment has {length} bytes; at most {m.MAX_MESSAGE_BYTES} can be sent"
                self._refuse(message.task_id, sentence)
                continue
            if ready and total + length > _BATCH_BYTES:
                yield wire.responses(ready)
                ready, total = [], 0
            ready.append(message)
            total += length
        if ready:
            yield wire.responses(ready)
