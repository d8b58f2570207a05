"""One evaluator's stream: what waits to be sent, and how it ends."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from typing import Protocol

import grpc

from xnas.v1alpha1 import evaluator_pb2 as pb
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
        ready: list[pb.ConnectResponse] = []
        size = 0
        while self._outbox:
            message = self._outbox.popleft()
            response = wire.response(message)
            length = response.ByteSize()
            if length > m.MAX_MESSAGE_BYTES - 1024 and isinstance(message, m.Assign):
                task = message.assignment.task_id
                self._refuse(task, f"the assignment has {length} bytes; at most {m.MAX_MESSAGE_BYTES} can be sent")
                continue
            if ready and size + length > _BATCH_BYTES:
                yield _one(ready)
                ready, size = [], 0
            ready.append(response)
            size += length
        if ready:
            yield _one(ready)


def _one(responses: list[pb.ConnectResponse]) -> bytes:
    message = responses[0] if len(responses) == 1 else wire.batch(responses)
    return message.SerializeToString()
