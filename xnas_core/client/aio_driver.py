"""Carries out the steps of programs with grpc's asyncio interface."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any, TypeVar

import grpc

from xnas_core.client.connection import Connection
from xnas_core.client.program import Blocking, Emit, Open, Pause, Program, Read, Step, Unary
from xnas_core.errors import XnasError
from xnas_core.service.errors import DeadlineError
from xnas_core.service.wire import SERVICE

T = TypeVar("T")


class _OpenStream:
    def __init__(self, call: Any) -> None:
        self._call = call

    def cancel(self) -> None:
        """See Stream.cancel."""
        self._call.cancel()

    async def read(self, seconds: float) -> Any:
        try:
            async with asyncio.timeout(seconds):
                message = await self._call.read()
        except TimeoutError:
            self._call.cancel()
            raise DeadlineError(f"the service said nothing for {seconds:g} s") from None
        return None if message is grpc.aio.EOF else message


class AioDriver:
    """One channel, in one event loop."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        credentials = connection.credentials
        self._channel = (
            grpc.aio.insecure_channel(connection.address, connection.options)
            if credentials is None
            else grpc.aio.secure_channel(connection.address, credentials, connection.options)
        )

    async def close(self) -> None:
        """Break off what runs."""
        await self._channel.close()

    async def run(self, program: Program[T]) -> T:
        """Return a program's result."""
        result: list[T] = []
        async with contextlib.aclosing(self._steps(program, result)) as emitted:
            async for _ in emitted:
                raise AssertionError("only programs that are iterated over emit")
        return result[0]

    async def iterate(self, program: Program[None]) -> AsyncIterator[Any]:
        """Yield what a program emits."""
        async with contextlib.aclosing(self._steps(program, [])) as emitted:
            async for value in emitted:
                yield value

    async def _steps(self, program: Program[T], result: list[T]) -> AsyncGenerator[Any, None]:
        """Carry the program out; yield what it emits, leave its result in a list, since generators here return none."""
        with contextlib.closing(program):
            outcome: Any = None
            error: XnasError | None = None
            while True:
                try:
                    step = program.send(outcome) if error is None else program.throw(error)
                except StopIteration as end:
                    result.append(end.value)
                    return
                outcome = error = None
                if isinstance(step, Emit):
                    yield step.value
                    continue
                try:
                    outcome = await self._carry_out(step)
                except grpc.RpcError as failure:
                    error = self.connection.explain(failure)
                except XnasError as failure:
                    error = failure

    async def _carry_out(self, step: Step) -> Any:
        match step:
            case Unary():
                method = self._channel.unary_unary(
                    f"/{SERVICE}/{step.method}",
                    request_serializer=type(step.request).SerializeToString,
                    response_deserializer=step.response.FromString,
                )
                return await method(step.request, timeout=step.seconds, metadata=await self._metadata())
            case Open():
                opened = self._channel.unary_stream(
                    f"/{SERVICE}/{step.method}",
                    request_serializer=type(step.request).SerializeToString,
                    response_deserializer=step.response.FromString,
                )
                return _OpenStream(opened(step.request, metadata=await self._metadata()))
            case Read():
                assert isinstance(step.stream, _OpenStream)
                return await step.stream.read(step.seconds)
            case Pause():
                await asyncio.sleep(step.seconds)
            case Blocking():
                return await asyncio.to_thread(step.action)
        return None

    async def _metadata(self) -> tuple[tuple[str, str], ...]:
        if callable(self.connection.token):
            return await asyncio.to_thread(self.connection.metadata)
        return self.connection.metadata()
