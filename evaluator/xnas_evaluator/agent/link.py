"""The agent's connection to the server: one stream at a time, made anew when it breaks (protocol.md §6.2-4)."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

import grpc
import structlog
from google.protobuf.message import DecodeError

from xnas.v1alpha1 import evaluator_pb2 as pb
from xnas_core import wire
from xnas_core.dispatch import messages as m
from xnas_core.errors import XnasError
from xnas_evaluator.agent.backoff import Backoff
from xnas_evaluator.agent.settings import AgentSettings, read_text
from xnas_evaluator.pipe import Granted

_log = structlog.get_logger(__name__)

OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.max_receive_message_length", m.MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", m.MAX_MESSAGE_BYTES),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.max_pings_without_data", 0),
    # The pauses between tries are ours; the channel itself must not wait longer than they do.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    ("grpc.enable_http_proxy", 0),
)
_CONNECT_SECONDS = 10.0
_GRANT_CALL_SECONDS = 10.0
_REFUSED = (
    grpc.StatusCode.UNAUTHENTICATED,
    grpc.StatusCode.PERMISSION_DENIED,
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.UNIMPLEMENTED,
)
_GRANT_AGAIN = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.CANCELLED,
)


class ServerGoneError(XnasError):
    """The server did not answer for the whole time that the agent waits."""

    reason = "ServerGone"


class RefusedError(XnasError):
    """The server refused this agent; trying again would not help."""

    reason = "Refused"


@dataclass(frozen=True, slots=True)
class Denied:
    """No access, and why. `final`: asking again would not help."""

    sentence: str
    final: bool


_Answer = TypeVar("_Answer", pb.GrantResponse, pb.GrantDataResponse)


class Client(Protocol):
    """What the link asks its agent."""

    def registration(self) -> m.Register:
        """Return who we are and what we hold, at this moment."""

    def unacknowledged(self) -> list[pb.ConnectRequest]:
        """Return the ends that are to be sent again on a new stream."""

    def handle(self, message: m.HeardMessage) -> None:
        """Carry out what the server says."""

    def running(self) -> list[str]:
        """Return the attempts that run now."""


class Link:
    """Keeps a stream open until `leave`. All methods belong to one event loop."""

    def __init__(self, settings: AgentSettings, client: Client) -> None:
        self._settings = settings
        self._client = client
        self._channel = _channel(settings)
        self._connect: grpc.aio.StreamStreamMultiCallable[bytes, bytes] = self._channel.stream_stream(wire.CONNECT)
        self._grant: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = self._channel.unary_unary(wire.GRANT)
        self._grant_data: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = self._channel.unary_unary(wire.GRANT_DATA)
        self._outbox: deque[pb.ConnectRequest] = deque()
        self._wake = asyncio.Event()
        self._leaving = False
        self._heartbeat_seconds = 5.0
        self._answered_at = 0.0
        self.connected = False

    async def serve(self) -> None:
        """Keep connected until `leave`.

        Raises:
            ServerGoneError: no answer for `give_up_seconds`.
            RefusedError: the server does not want this agent; the message is its sentence.
        """
        loop = asyncio.get_running_loop()
        self._answered_at = loop.time()
        backoff = Backoff()
        while not self._leaving:
            welcomed = self._answered_at
            said = await self._one_stream()
            if self._leaving:
                return
            if self._answered_at != welcomed:
                backoff.reset()
            silent = loop.time() - self._answered_at
            if silent >= self._settings.give_up_seconds:
                raise ServerGoneError(
                    f"no answer from {self._settings.connect} for {silent:.0f} s ({said}); "
                    "check that the search runs there, or raise --give-up-seconds"
                )
            pause = min(backoff.next(), self._settings.give_up_seconds / 2)
            _log.info("not connected; trying again", pause_seconds=round(pause, 2), said=said)
            await self._pause(pause)

    def send(self, request: pb.ConnectRequest) -> None:
        """Send on the present stream; without one, nothing is sent (what matters is repeated after Welcome)."""
        if self.connected:
            self._outbox.append(request)
            self._wake.set()

    def leave(self) -> None:
        """End the stream in order, once everything was sent, and do not connect again."""
        self._leaving = True
        self._wake.set()

    async def close(self) -> None:
        """Close the channel."""
        await self._channel.close()

    async def ask_grant(self, number: int, task_id: str, key: str, *, write: bool) -> Granted:
        """Ask for access to one object, again while the server cannot be reached; an error is part of the answer."""
        verb = pb.GRANT_VERB_PUT if write else pb.GRANT_VERB_GET
        request = pb.GrantRequest(evaluator_id=self._settings.id, task_id=task_id, verb=verb, key=key)
        answer = await self._ask(self._grant, request.SerializeToString(), pb.GrantResponse.FromString)
        if isinstance(answer, Denied):
            return Granted(number=number, error=f"no access to {key}: {answer.sentence}")
        if answer.WhichOneof("grant") == "path":
            return Granted(number=number, path=answer.path)
        return Granted(number=number, url=answer.url)

    async def ask_data(self, uri: str) -> str | Denied:
        """Ask for a URL to read the search's data set with, again while the server cannot be reached."""
        request = pb.GrantDataRequest(evaluator_id=self._settings.id, uri=uri)
        answer = await self._ask(self._grant_data, request.SerializeToString(), pb.GrantDataResponse.FromString)
        if isinstance(answer, Denied):
            return Denied(f"no access to {uri}: {answer.sentence}", final=answer.final)
        return answer.url

    async def _ask(
        self, call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes], request: bytes, read: Callable[[bytes], _Answer]
    ) -> _Answer | Denied:
        loop = asyncio.get_running_loop()
        until = loop.time() + self._settings.grant_seconds
        backoff = Backoff()
        while True:
            try:
                return read(await call(request, timeout=_GRANT_CALL_SECONDS, metadata=self._metadata()))
            except grpc.aio.AioRpcError as error:
                pause = backoff.next()
                if error.code() not in _GRANT_AGAIN or loop.time() + pause > until:
                    return Denied(error.details() or error.code().name, final=error.code() in _REFUSED)
            except DecodeError as error:
                return Denied(f"the server's answer cannot be read: {error}", final=False)
            await asyncio.sleep(pause)

    def _metadata(self) -> grpc.aio.Metadata:
        """Return who we are, for one call."""
        token, search = self._settings.bearer(), self._settings.search
        pairs = [("authorization", f"Bearer {token}")] if token else []
        return grpc.aio.Metadata(*pairs, *([("xnas-search", search)] if search else []))

    # --- one stream -----------------------------------------------------------------------------------------------

    async def _one_stream(self) -> str:
        """Serve one stream to its end; return what ended it. Raises RefusedError."""
        call = self._connect(metadata=self._metadata())
        helpers: list[asyncio.Task[None]] = []
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                await call.write(wire.register(self._client.registration()).SerializeToString())
                # The search may be busy; but one that does not answer at all is tried anew.
                await self._read_one(call)
            self._outbox.clear()
            self.connected = True
            # Every end that is not acknowledged goes out again on every new stream (protocol.md §6.4).
            self._outbox.extend(self._client.unacknowledged())
            helpers = [asyncio.ensure_future(self._write(call)), asyncio.ensure_future(self._beat())]
            while await self._read_one(call):
                pass
            return await self._status(call)
        except TimeoutError:
            return f"no Welcome within {_CONNECT_SECONDS:g} s"
        except asyncio.InvalidStateError:
            return await self._status(call)
        except grpc.aio.AioRpcError:
            return await self._status(call)
        except (wire.MalformedMessageError, DecodeError) as error:
            return str(error)
        finally:
            self.connected = False
            for helper in helpers:
                helper.cancel()
            await asyncio.gather(*helpers, return_exceptions=True)
            call.cancel()

    async def _status(self, call: grpc.aio.StreamStreamCall[bytes, bytes]) -> str:
        code, details = await call.code(), await call.details()
        if code in _REFUSED:
            raise RefusedError(f"{self._settings.connect} refused this evaluator: {details}")
        return f"{code.name.lower().replace('_', ' ')}: {details}" if details else code.name.lower()

    async def _read_one(self, call: grpc.aio.StreamStreamCall[bytes, bytes]) -> bool:
        data = await call.read()
        if not isinstance(data, bytes):
            if not self.connected:
                raise asyncio.InvalidStateError("the stream ended before Welcome")
            return False
        for message in wire.read_response(pb.ConnectResponse.FromString(data)):
            if isinstance(message, m.Welcome):
                self._heartbeat_seconds = max(message.heartbeat_seconds, 0.01)
            self._client.handle(message)
        self._answered_at = asyncio.get_running_loop().time()
        return True

    async def _write(self, call: grpc.aio.StreamStreamCall[bytes, bytes]) -> None:
        # A broken stream is the reader's to notice; here it only ends the writing.
        with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
            while True:
                while self._outbox:
                    await call.write(self._outbox.popleft().SerializeToString())
                if self._leaving:
                    await call.done_writing()
                    return
                self._wake.clear()
                await self._wake.wait()

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self._heartbeat_seconds)
            self.send(wire.heartbeat(self._client.running()))

    async def _pause(self, seconds: float) -> None:
        """Wait, but not while leaving."""
        self._wake.clear()
        if self._leaving:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wake.wait()


def _channel(settings: AgentSettings) -> grpc.aio.Channel:
    # Without this, connections to the same address in one process share a transport, and its faults.
    options: list[tuple[str, int | str]] = [*OPTIONS, ("grpc.use_local_subchannel_pool", 1)]
    if settings.ca_file is None:
        return grpc.aio.insecure_channel(settings.connect, options=options)
    if settings.server_name is not None:
        options.append(("grpc.ssl_target_name_override", settings.server_name))
    credentials = grpc.ssl_channel_credentials(read_text(settings.ca_file).encode())
    return grpc.aio.secure_channel(settings.connect, credentials, options=options)
