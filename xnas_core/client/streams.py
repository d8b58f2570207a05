"""The two calls that are streams: a watch that outlives its connections, and a download that is checked."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from functools import partial
from typing import Protocol, TypeVar

from xnas.v1alpha1 import search_pb2 as pb
from xnas_core.client.connection import Connection
from xnas_core.client.program import Blocking, Emit, Open, Pause, Program, Read, Stream
from xnas_core.errors import IntegrityError
from xnas_core.service.errors import DeadlineError, UnauthenticatedError, UnavailableError
from xnas_core.service.wire_searches import read_event

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Sink(Protocol[T_co]):
    """Where a download goes."""

    def begin(self) -> None:
        """Start over with nothing."""

    def write(self, data: bytes) -> None:
        """Take the next bytes."""

    def finish(self) -> T_co:
        """Return what came of it."""

    def discard(self) -> None:
        """Leave nothing behind; harmless after `finish`."""


def watch(
    connection: Connection,
    namespace: str,
    name: str,
    *,
    resume_token: str,
    from_beginning: bool,
    until_finished: bool,
) -> Program[None]:
    """Emit `WatchEvent`s; see SearchClient.watch."""
    token, failures = resume_token, 0
    while True:
        request = pb.WatchSearchRequest(
            namespace=namespace, name=name, resume_token=token, from_beginning=from_beginning and not token
        )
        heard, opened = False, time.monotonic()
        stream: Stream | None = None
        try:
            stream = yield Open("WatchSearch", request, pb.WatchSearchResponse)
            while (message := (yield Read(stream, connection.retry.idle_seconds))) is not None:
                # A service that breaks off each time after a sign of life must not be asked for ever.
                if message.resume_token != token or time.monotonic() - opened > connection.retry.idle_seconds:
                    failures = 0
                heard, token = True, message.resume_token
                event = read_event(message)
                if event is not None:
                    yield Emit(event)
                if message.HasField("deleted") or (until_finished and message.search_finished):
                    return
            error: Exception = UnavailableError(f"the service at {connection.address} ended the watch")
        except (UnavailableError, DeadlineError) as failure:
            error = failure
        except UnauthenticatedError as failure:
            # A token that ran out while the watch went on: the next call carries a new one.
            if not heard:
                raise
            error = failure
        finally:
            if stream is not None:
                stream.cancel()
        failures += 1
        if failures > connection.retry.reconnects:
            raise error
        yield Pause(connection.retry.pause(failures))


def download(connection: Connection, namespace: str, name: str, key: str, sink: Sink[T]) -> Program[T]:
    """Read an object into a sink; return what the sink makes of it, once it fits its digest.

    A download that breaks off starts over, within the limits of the connection.

    Raises:
        IntegrityError: what came is not what was announced.
    """
    request = pb.GetArtifactRequest(namespace=namespace, name=name, key=key)
    failures = 0
    try:
        while True:
            try:
                yield Blocking(sink.begin)
                yield from _attempt(connection, request, sink.write)
                result: T = yield Blocking(sink.finish)
                return result
            except UnavailableError:
                failures += 1
                if failures >= connection.retry.attempts:
                    raise
            yield Pause(connection.retry.pause(failures))
    finally:
        sink.discard()


def _attempt(connection: Connection, request: pb.GetArtifactRequest, write: Callable[[bytes], object]) -> Program[None]:
    stream: Stream = yield Open("GetArtifact", request, pb.GetArtifactResponse)
    try:
        first = yield Read(stream, connection.timeout)
        if first is None or first.WhichOneof("part") != "header":
            raise IntegrityError(f"{request.key} came without a header; client and service may be of unlike versions")
        size, sha256 = first.header.size, first.header.sha256
        found, read = hashlib.sha256(), 0
        while (message := (yield Read(stream, connection.timeout))) is not None:
            read += len(message.data)
            if read > size:
                break
            found.update(message.data)
            yield Blocking(partial(write, message.data))
    finally:
        stream.cancel()
    if read != size or found.hexdigest() != sha256:
        raise IntegrityError(f"{request.key} came torn or altered: it does not fit its digest; try again")
