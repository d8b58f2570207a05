"""The gRPC server of dispatch: streams, timers and look-ups around the pure `Pool` (protocol.md §6, §8).

It decides nothing: each message goes to the pool, each instruction of the pool is carried out.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Container, Coroutine, Iterable, Sequence
from typing import Any

import grpc
import structlog
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health_aio
from grpc_reflection.v1alpha import reflection

from xnas_core import wire
from xnas_core.artifacts import keys
from xnas_core.artifacts.store import ObjectStore
from xnas_core.dispatch import addresses as addr
from xnas_core.dispatch import messages as m
from xnas_core.dispatch.grants import GrantSource
from xnas_core.dispatch.interface import DispatchEvent, FreeSlot, HeldAttempt
from xnas_core.dispatch.leases import Close, EvaluatorView, Instruction, LookUp, Report, Send
from xnas_core.dispatch.pool import Pool
from xnas_core.dispatch.service import EvaluatorService
from xnas_core.errors import InvalidInputError, StoreError
from xnas_core.tasks import Assignment, EndReason, EvaluationConfig, TaskResult

_log = structlog.get_logger(__name__)

TURN_SIZE = 256
"""Events and free slots that one turn of the loop gets at most.

A bound keeps server and evaluators busy at the same time: in larger turns, each waits for the other's batch.
"""

OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.max_receive_message_length", m.MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", m.MAX_MESSAGE_BYTES),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 5_000),
    ("grpc.so_reuseport", 0),
)


class DispatchServer:
    """Serves evaluators, and is the search loop's `Dispatcher`.

    Evaluators are answered only after the search loop called `hold` or `take` for the first time, so that none of
    the attempts that a restarted server still has to learn of is cancelled.

    Args:
        store: where result.json of attempts is looked for.
        addresses: `unix:PATH` (made with mode 0600) and `HOST:PORT`; port 0 takes a free one.
        token: bearer token that evaluators on TCP must send; needed if there is such an address.
        heartbeat_seconds: how often evaluators report.
        grace_seconds: how long a lost evaluator may come back.
        local_evaluators: ids of evaluators that ended with an earlier run that owned them.
        grants: makes access to single objects.

    Raises:
        InvalidInputError: an address is not valid, or a TCP address without token.
    """

    def __init__(
        self,
        store: ObjectStore,
        config: EvaluationConfig,
        *,
        addresses: Sequence[str],
        grants: GrantSource,
        token: str | None = None,
        heartbeat_seconds: float = 5.0,
        grace_seconds: float = 60.0,
        local_evaluators: Container[str] = frozenset(),
    ) -> None:
        if not addresses:
            raise InvalidInputError("a dispatch server needs at least one address")
        for address in addresses:
            if not addr.is_unix(addr.check(address)) and not token:
                raise InvalidInputError(f"listening on {address} needs a token, since others can reach that port")
        self._store = store
        self._wanted = tuple(addresses)
        self._pool = Pool(
            config, heartbeat_seconds=heartbeat_seconds, grace_seconds=grace_seconds, local=local_evaluators
        )
        self._service = EvaluatorService(self._pool, self._act, grants, token)
        self._tick_seconds = min(max(min(heartbeat_seconds, grace_seconds) / 4, 0.01), 1.0)
        self._events: deque[DispatchEvent] = deque()
        self._news = asyncio.Event()
        self._slots_freed_seen = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: grpc.aio.Server | None = None
        self._health = health_aio.HealthServicer()
        self.bound: tuple[str, ...] = ()
        """Addresses that are served, with the port that was taken for port 0."""

    # --- life -----------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Bind and serve.

        Raises:
            InvalidInputError: an address cannot be bound.
        """
        server = grpc.aio.server(options=OPTIONS, maximum_concurrent_rpcs=20_000)
        server.add_generic_rpc_handlers((self._service.handlers(),))
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        reflection.enable_server_reflection(
            (wire.SERVICE, health_pb2.DESCRIPTOR.services_by_name["Health"].full_name, reflection.SERVICE_NAME), server
        )
        self.bound = tuple(self._bind(server, address) for address in self._wanted)
        await server.start()
        self._server = server
        await self._health.set(wire.SERVICE, health_pb2.HealthCheckResponse.SERVING)
        await self._health.set("", health_pb2.HealthCheckResponse.SERVING)
        self._spawn(self._keep_time())

    async def stop(self, grace: float, *, drain: bool = True) -> None:
        """Stop serving.

        Args:
            grace: seconds that evaluators get to end their streams.
            drain: the search is over, so evaluators end too; otherwise they look for the server again.
        """
        if self._server is None:
            return
        server, self._server = self._server, None
        await self._health.enter_graceful_shutdown()
        for stream in self._service.streams():
            if drain:
                stream.send(m.Drain(0.0))
            else:
                stream.close(grpc.StatusCode.UNAVAILABLE, "the server is stopping; connect again later")
        if drain and self._service.streams():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(grace):
                    self._service.empty.clear()
                    await self._service.empty.wait()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await server.stop(0.0 if drain else grace)
        for address in self.bound:
            if addr.is_unix(address):
                addr.socket_path(address).unlink(missing_ok=True)

    def _bind(self, server: grpc.aio.Server, address: str) -> str:
        try:
            if addr.is_unix(address):
                with addr.private_files():
                    server.add_insecure_port(address)
                addr.check_private(address)
                return address
            port = server.add_insecure_port(address)
        except (RuntimeError, OSError) as error:
            raise InvalidInputError(f"cannot listen on {address}: {error}; is another run using it?") from error
        return f"{address.rpartition(':')[0]}:{port}"

    # --- Dispatcher -----------------------------------------------------------------------------------------------

    async def wait(self, timeout_seconds: float) -> None:
        """See Dispatcher.wait."""
        self._service.open.set()
        if not self._events and not self._news.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout_seconds):
                    await self._news.wait()
        self._news.clear()

    def take(self) -> Sequence[DispatchEvent]:
        """See Dispatcher.take; at most TURN_SIZE of them, the rest with the next call."""
        self._service.open.set()
        return [self._events.popleft() for _ in range(min(len(self._events), TURN_SIZE))]

    def free_slots(self) -> Sequence[FreeSlot]:
        """See Dispatcher.free_slots; at most TURN_SIZE of them. Slots are alike, so these are as good as all."""
        return self._pool.free_slots(TURN_SIZE)

    def hold(self, attempts: Sequence[HeldAttempt]) -> None:
        """See Dispatcher.hold."""
        self._act(self._pool.hold(attempts, self._now()))
        self._service.open.set()

    def assign(self, slot: FreeSlot, assignment: Assignment) -> None:
        """See Dispatcher.assign."""
        self._act(self._pool.assign(slot, assignment, self._now()))

    def acknowledge(self, task_id: str) -> None:
        """See Dispatcher.acknowledge."""
        self._act(self._pool.acknowledge(task_id))

    def cancel(self, task_id: str) -> None:
        """See Dispatcher.cancel."""
        self._act(self._pool.cancel(task_id))

    # --- for whoever runs the evaluators --------------------------------------------------------------------------

    def evaluators(self) -> Sequence[EvaluatorView]:
        """Return what is known of each evaluator."""
        return self._pool.evaluators()

    def drain(self, evaluator: str, seconds: float) -> None:
        """Ask an evaluator to take nothing new and to end within so many seconds."""
        self._act(self._pool.drain(evaluator, seconds))

    def report_end(self, evaluator: str, reason: EndReason, message: str, *, gone: bool = True) -> None:
        """See Pool.report_end: evidence from outside about an evaluator (protocol.md §7)."""
        self._act(self._pool.report_end(evaluator, reason, message, gone=gone))

    def update_config(self, config: EvaluationConfig) -> None:
        """Give evaluators that connect from now on this configuration."""
        self._pool.config = config

    # --- carrying out ---------------------------------------------------------------------------------------------

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()

    def _act(self, instructions: Iterable[Instruction]) -> None:
        for instruction in instructions:
            match instruction:
                case Send(evaluator, message):
                    self._service.send(evaluator, message)
                case Report(event):
                    self._events.append(event)
                    self._news.set()
                case LookUp(asked_for, attempts):
                    self._spawn(self._look_up(asked_for, attempts))
                case Close(number, reason):
                    self._service.close(number, reason)
        if self._pool.slots_freed != self._slots_freed_seen:
            self._slots_freed_seen = self._pool.slots_freed
            self._news.set()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            _log.error("a part of the dispatch server failed", exc_info=task.exception())

    async def _keep_time(self) -> None:
        while True:
            await asyncio.sleep(self._tick_seconds)
            self._act(self._pool.tick(self._now()))

    async def _look_up(self, asked_for: str, attempts: Sequence[tuple[str | None, str]]) -> None:
        result = None
        for task_id, prefix in attempts:
            result = await asyncio.to_thread(stored_result, self._store, task_id, prefix)
            if result is not None:
                break
        self._act(self._pool.looked_up(asked_for, result))


def stored_result(store: ObjectStore, task_id: str | None, prefix: str) -> TaskResult | None:
    """Return the whole result.json below the prefix; None if there is none, or it is torn or another attempt's."""
    try:
        result = wire.read_result(store.get(prefix + keys.RESULT))
    except KeyError:
        return None
    except (InvalidInputError, StoreError) as error:
        _log.warning("stored result not usable", prefix=prefix, error=str(error))
        return None
    return result if task_id in (None, result.task_id) else None
