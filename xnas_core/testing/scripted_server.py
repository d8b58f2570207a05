"""A server that says only what a test tells it to, and remembers what it heard. For tests of evaluators."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import grpc

from xnas.v1alpha1 import evaluator_pb2 as pb
from xnas_core import wire
from xnas_core.dispatch import messages as m

Message = TypeVar("Message")
WITHIN = 20.0
"""Seconds that a test waits for what must come. Generous: only failing tests wait so long."""


class ScriptedStream:
    """One stream of an evaluator.

    Attributes:
        register: what it registered with.
        heard: all that it said after that, oldest first.
    """

    def __init__(self, register: m.Register, context: grpc.aio.ServicerContext[bytes, bytes]) -> None:
        self.register = register
        self.heard: list[m.EvaluatorMessage] = []
        self.finished = False
        self._context = context
        self._unread: deque[m.EvaluatorMessage] = deque()
        self._news = asyncio.Condition()
        self._end: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def send(self, *messages: m.ServerMessage) -> None:
        """Say something; several messages leave as one batch."""
        await self._context.write(wire.responses(messages))

    async def expect(
        self, kind: type[Message], where: Callable[[Message], bool] = lambda _: True, within: float = WITHIN
    ) -> Message:
        """Wait for the next message of a kind that fits, and forget those before it."""

        def found() -> Message | None:
            while self._unread:
                message = self._unread.popleft()
                if isinstance(message, kind) and where(message):
                    return message
            return None

        async with asyncio.timeout(within), self._news:
            while (message := found()) is None:
                if self.finished:
                    raise AssertionError(f"the stream ended without {kind.__name__}; it said {self.heard}")
                await self._news.wait()
            return message

    async def wait_finished(self, within: float = WITHIN) -> None:
        """Wait until the evaluator says no more."""
        async with asyncio.timeout(within), self._news:
            await self._news.wait_for(lambda: self.finished)

    def tear(self) -> None:
        """Break the stream."""
        if not self._end.done():
            self._end.set_result("torn on purpose")

    async def serve(self) -> None:
        """Read to the end; runs inside the server's handler."""
        reader = asyncio.ensure_future(self._read())
        await asyncio.wait((reader, self._end), return_when=asyncio.FIRST_COMPLETED)
        reader.cancel()
        await asyncio.gather(reader, return_exceptions=True)
        if self._end.done():
            await self._context.abort(grpc.StatusCode.UNAVAILABLE, self._end.result())

    async def _read(self) -> None:
        try:
            while isinstance(data := await self._context.read(), bytes):
                async with self._news:
                    message = wire.read_request(data)
                    self.heard.append(message)
                    self._unread.append(message)
                    self._news.notify_all()
        finally:
            async with self._news:
                self.finished = True
                self._news.notify_all()


class ScriptedServer:
    """Accepts streams one after the other.

    Args:
        root: grants are files below it; none are refused.
    """

    def __init__(self, address: str, root: Path) -> None:
        self.address = address
        self.granted: list[tuple[str, str]] = []
        self._root = root
        self._streams: asyncio.Queue[ScriptedStream] = asyncio.Queue()
        self._server: grpc.aio.Server | None = None

    async def start(self) -> None:
        """Bind and serve."""
        self._server = grpc.aio.server()
        self._server.add_generic_rpc_handlers(
            (
                grpc.method_handlers_generic_handler(
                    wire.SERVICE,
                    {
                        "Connect": grpc.stream_stream_rpc_method_handler(self._connect),
                        "Grant": grpc.unary_unary_rpc_method_handler(self._grant),
                    },
                ),
            )
        )
        self._server.add_insecure_port(self.address)
        await self._server.start()

    async def stop(self) -> None:
        """Stop at once; streams break."""
        if self._server is not None:
            await self._server.stop(0)

    async def next_stream(self, within: float = WITHIN) -> ScriptedStream:
        """Wait for a stream and its Register, which is not answered yet."""
        async with asyncio.timeout(within):
            return await self._streams.get()

    async def _connect(self, _requests: object, context: grpc.aio.ServicerContext[bytes, bytes]) -> None:
        data = await context.read()
        if not isinstance(data, bytes):
            return
        message = wire.read_request(data)
        if not isinstance(message, m.Register):
            raise AssertionError(f"the first message is {message}")
        stream = ScriptedStream(message, context)
        self._streams.put_nowait(stream)
        await stream.serve()

    async def _grant(self, data: bytes, _context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        request = pb.GrantRequest.FromString(data)
        self.granted.append((request.task_id, request.key))
        return pb.GrantResponse(path=str(self._root / request.key)).SerializeToString()
