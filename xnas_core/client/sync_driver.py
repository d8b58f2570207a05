"""Carries out the steps of programs with grpc's blocking interface."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Generator, Iterator
from typing import Any, TypeVar

import grpc

from xnas_core.client.connection import Connection
from xnas_core.client.program import Blocking, Emit, Open, Pause, Program, Read, Step, Unary
from xnas_core.errors import XnasError
from xnas_core.service.errors import DeadlineError
from xnas_core.service.wire import SERVICE

T = TypeVar("T")


class _OpenStream:
    """A stream that is read with a limit to silence, which grpc's blocking interface lacks."""

    def __init__(self, responses: Any) -> None:
        self._responses = responses
        self._silent = False

    def cancel(self) -> None:
        """See Stream.cancel."""
        self._responses.cancel()

    def read(self, seconds: float) -> Any:
        watchdog = threading.Timer(seconds, self._give_up)
        watchdog.daemon = True
        watchdog.start()
        try:
            return next(self._responses, None)
        except grpc.RpcError:
            if self._silent:
                raise DeadlineError(f"the service said nothing for {seconds:g} s") from None
            raise
        finally:
            watchdog.cancel()

    def _give_up(self) -> None:
        self._silent = True
        self._responses.cancel()


class SyncDriver:
    """One channel. Safe to use from several threads; programs are not shared between them."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        credentials = connection.credentials
        self._channel = (
            grpc.insecure_channel(connection.address, connection.options)
            if credentials is None
            else grpc.secure_channel(connection.address, credentials, connection.options)
        )

    def close(self) -> None:
        """Break off what runs."""
        self._channel.close()

    def run(self, program: Program[T]) -> T:
        """Return a program's result."""
        steps = self._steps(program)
        while True:
            try:
                next(steps)
            except StopIteration as end:
                result: T = end.value
                return result

    def iterate(self, program: Program[None]) -> Iterator[Any]:
        """Yield what a program emits."""
        with contextlib.closing(self._steps(program)) as emitted:
            yield from emitted

    def _steps(self, program: Program[T]) -> Generator[Any, None, T]:
        """Carry the program out; yield what it emits, return its result."""
        with contextlib.closing(program):
            outcome: Any = None
            error: XnasError | None = None
            while True:
                try:
                    step = program.send(outcome) if error is None else program.throw(error)
                except StopIteration as end:
                    result: T = end.value
                    return result
                outcome = error = None
                if isinstance(step, Emit):
                    yield step.value
                    continue
                try:
                    outcome = self._carry_out(step)
                except grpc.RpcError as failure:
                    error = self.connection.explain(failure)
                except XnasError as failure:
                    error = failure

    def _carry_out(self, step: Step) -> Any:
        match step:
            case Unary():
                method = self._channel.unary_unary(
                    f"/{SERVICE}/{step.method}",
                    request_serializer=type(step.request).SerializeToString,
                    response_deserializer=step.response.FromString,
                )
                return method(step.request, timeout=step.seconds, metadata=self.connection.metadata())
            case Open():
                opened = self._channel.unary_stream(
                    f"/{SERVICE}/{step.method}",
                    request_serializer=type(step.request).SerializeToString,
                    response_deserializer=step.response.FromString,
                )
                return _OpenStream(opened(step.request, metadata=self.connection.metadata()))
            case Read():
                assert isinstance(step.stream, _OpenStream)
                return step.stream.read(step.seconds)
            case Pause():
                time.sleep(step.seconds)
            case Blocking():
                return step.action()
        return None
