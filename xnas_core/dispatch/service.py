"""The gRPC calls of one search's evaluators: what was said, what goes back (protocol.md §6).

Who may call is the door's matter. Nothing is decided here: each message goes to the pool, and what the pool answers is
carried out by the desk.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import NoReturn

import grpc
import structlog
from google.protobuf.message import DecodeError

from xnas.v1alpha1 import evaluator_pb2 as pb
from xnas_core import wire
from xnas_core.artifacts.keys import check_key
from xnas_core.dispatch import messages as m
from xnas_core.dispatch.grants import DataGrantSource, GrantSource
from xnas_core.dispatch.leases import Instruction
from xnas_core.dispatch.pool import Pool
from xnas_core.dispatch.streams import EvaluatorStream
from xnas_core.errors import InvalidInputError
from xnas_core.tasks import EvaluationConfig, Progress

_log = structlog.get_logger(__name__)
Context = grpc.aio.ServicerContext[bytes, bytes]
_REGISTER_SECONDS = 30.0
"""Time between the opening of a stream and its Register."""


class EvaluatorService:
    """Serves the calls of one search's evaluators.

    Args:
        act: carries out the pool's instructions.
        described: hears an evaluator's answer to Describe.
        data_grants: makes access to the data set, where it lies in a store.
    """

    def __init__(
        self,
        pool: Pool,
        act: Callable[[Iterable[Instruction]], None],
        grants: GrantSource,
        described: Callable[[str, m.Described], None],
        data_grants: DataGrantSource,
    ) -> None:
        self._pool = pool
        self._act = act
        self._grants = grants
        self._described = described
        self._data_grants = data_grants
        self._stream_count = 0
        self._by_number: dict[int, EvaluatorStream] = {}
        self._by_evaluator: dict[str, EvaluatorStream] = {}
        self.open = asyncio.Event()
        """Set once evaluators may be answered."""
        self.empty = asyncio.Event()
        """Set when the last stream has ended."""
        self._ended: tuple[grpc.StatusCode, str] | None = None

    def streams(self) -> tuple[EvaluatorStream, ...]:
        """Return the streams that are open."""
        return tuple(self._by_number.values())

    def end(self, code: grpc.StatusCode, sentence: str) -> None:
        """Let nobody in any more, those included who wait to be answered or have not registered yet."""
        self._ended = (code, sentence)
        self.open.set()

    def stream_number(self, evaluator: str) -> int | None:
        """Return the number of the evaluator's stream; None if it has none."""
        stream = self._by_evaluator.get(evaluator)
        return None if stream is None else stream.number

    def send(self, evaluator: str, message: m.ServerMessage) -> None:
        """Queue a message on the evaluator's stream, if it has one."""
        stream = self._by_evaluator.get(evaluator)
        if stream is not None:
            stream.send(message)

    def close(self, number: int, reason: str) -> None:
        """End a stream with an explanation; its evaluator may connect again."""
        stream = self._by_number.get(number)
        if stream is not None:
            stream.close(grpc.StatusCode.ABORTED, reason)

    async def connect(self, context: Context, only: str | None = None) -> None:
        """Serve one stream to its end; `only` is the one evaluator id that the caller may use."""
        await self.open.wait()
        register = await self._read_register(context)
        if self._ended is not None:
            await abort(context, *self._ended)
        if only is not None and register.evaluator != only:
            sentence = f"the caller is evaluator {only} and may not call itself {register.evaluator}"
            await abort(context, grpc.StatusCode.PERMISSION_DENIED, sentence)
        self._stream_count += 1
        number, evaluator = self._stream_count, register.evaluator
        stream = EvaluatorStream(number, evaluator, self._refuse_assignment)
        instructions = self._pool.register(register, number, _now())
        self._by_number[number] = stream
        replaced = self._by_evaluator.get(evaluator)
        self._by_evaluator[evaluator] = stream
        _log.debug("evaluator connected", evaluator=evaluator, replaces=replaced is not None)
        self._act(instructions)
        reader = asyncio.ensure_future(self._read(stream, context))
        try:
            await stream.write_until_closed(context)
            if stream.status is not None:
                await context.abort(*stream.status)
        finally:
            stream.close()
            reader.cancel()
            del self._by_number[number]
            if not self._by_number:
                self.empty.set()
            if self._by_evaluator.get(evaluator) is stream:
                del self._by_evaluator[evaluator]
            self._act(self._pool.disconnected(evaluator, number, _now()))

    async def _read_register(self, context: Context) -> m.Register:
        try:
            async with asyncio.timeout(_REGISTER_SECONDS):
                data = await context.read()
            if isinstance(data, bytes):
                message = wire.read_request(data)
                if isinstance(message, m.Register):
                    return message
        except TimeoutError:
            return await abort(context, grpc.StatusCode.DEADLINE_EXCEEDED, "no Register came in time")
        except wire.MalformedMessageError as error:
            return await abort(context, grpc.StatusCode.INVALID_ARGUMENT, str(error))
        sentence = "the first message of a stream must be Register, and nothing is answered before it"
        return await abort(context, grpc.StatusCode.FAILED_PRECONDITION, sentence)

    async def _read(self, stream: EvaluatorStream, context: Context) -> None:
        """Read until the evaluator says no more or the stream breaks."""
        try:
            while True:
                data = await context.read()
                if not isinstance(data, bytes):
                    break
                if stream.closed:
                    return
                self._hear(stream, wire.read_request(data))
        except wire.MalformedMessageError as error:
            stream.close(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        except (grpc.aio.BaseError, asyncio.InvalidStateError) as error:
            _log.debug("stream broke", evaluator=stream.evaluator, error=str(error))
        finally:
            stream.close()

    def _hear(self, stream: EvaluatorStream, message: m.EvaluatorMessage) -> None:
        evaluator, now = stream.evaluator, _now()
        match message:
            case m.Completed(result):
                self._act(self._pool.completed(evaluator, result, now))
            case m.Heartbeat(running):
                self._act(self._pool.heartbeat(evaluator, running, now))
            case Progress():
                self._act(self._pool.progress(evaluator, message, now))
            case m.Failed(failure):
                self._act(self._pool.failed(evaluator, failure, now))
            case m.Rejected(task_id, text):
                self._act(self._pool.rejected(evaluator, task_id, text, now))
            case m.Draining():
                self._act(self._pool.draining(evaluator, now))
            case m.Described():
                self._described(evaluator, message)
            case m.Register():
                stream.close(grpc.StatusCode.INVALID_ARGUMENT, "Register is the first message only")

    def _refuse_assignment(self, task_id: str, sentence: str) -> None:
        self._act(self._pool.refuse_assignment(task_id, sentence))

    async def grant(self, data: bytes, context: Context, only: str | None = None) -> bytes:
        """Answer a GrantRequest; `only` is the one evaluator id that the caller may use.

        On a cluster each pod has one; so who has none is outside.
        """
        try:
            request = pb.GrantRequest.FromString(data)
            if only is not None and request.evaluator_id != only:
                raise PermissionError(f"the caller is evaluator {only} and may not ask for {request.evaluator_id!r}")
            if request.verb not in (pb.GRANT_VERB_GET, pb.GRANT_VERB_PUT):
                return await abort(context, grpc.StatusCode.INVALID_ARGUMENT, "a grant needs the verb get or put")
            key, write = check_key(request.key), request.verb == pb.GRANT_VERB_PUT
            self._pool.check_grant(request.evaluator_id, request.task_id, key, write=write)
        except (DecodeError, InvalidInputError) as error:
            return await abort(context, grpc.StatusCode.INVALID_ARGUMENT, str(error))
        except PermissionError as error:
            return await abort(context, grpc.StatusCode.PERMISSION_DENIED, str(error))
        except LookupError as error:
            return await abort(context, grpc.StatusCode.FAILED_PRECONDITION, str(error.args[0]))
        grant = self._grants.grant(key, write=write, outside=only is None)
        response = pb.GrantResponse(path=grant.path or "") if grant.url is None else pb.GrantResponse(url=grant.url)
        return response.SerializeToString()

    async def grant_data(self, data: bytes, context: Context, only: str | None = None) -> bytes:
        """Answer a GrantDataRequest; `only` is the one evaluator id that the caller may use."""
        try:
            request = pb.GrantDataRequest.FromString(data)
        except DecodeError as error:
            return await abort(context, grpc.StatusCode.INVALID_ARGUMENT, str(error))
        if only is not None and request.evaluator_id != only:
            sentence = f"the caller is evaluator {only} and may not ask for {request.evaluator_id[:200]!r}"
            return await abort(context, grpc.StatusCode.PERMISSION_DENIED, sentence)
        if request.evaluator_id not in self._by_evaluator:
            # As for an attempt that nobody knows: after a restart of the server, the stream may be on its way.
            sentence = "this evaluator is not connected; ask again when it is"
            return await abort(context, grpc.StatusCode.FAILED_PRECONDITION, sentence)
        if request.uri != _data_uri(self._pool.config):
            sentence = "this is not the address of the search's data set; evaluators read that one only"
            return await abort(context, grpc.StatusCode.PERMISSION_DENIED, sentence)
        try:
            url = self._data_grants.grant(request.uri, outside=only is None)
            return pb.GrantDataResponse(url=url).SerializeToString()
        except PermissionError as error:
            return await abort(context, grpc.StatusCode.PERMISSION_DENIED, str(error))


def _data_uri(config: EvaluationConfig) -> str | None:
    """Return what a spec names as its data set, if it is a file or an object."""
    dataset = config.spec.get("dataset")
    source = dataset.get("source") if isinstance(dataset, dict) else None
    uri = source.get("npz") if isinstance(source, dict) else None
    return uri if isinstance(uri, str) else None


def _now() -> float:
    return asyncio.get_running_loop().time()


async def abort(context: Context, code: grpc.StatusCode, sentence: str) -> NoReturn:
    """End the call with an error. `context.abort` raises; this says so to the type checker."""
    await context.abort(code, sentence)
    raise AssertionError("abort returned")
