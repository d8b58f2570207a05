"""An evaluator without processes: the real gRPC protocol, simulated work (protocol.md §6).

For tests of servers and search loops, for benchmarks and simulations. Durations, metrics and faults come from
functions, so a run is as repeatable as its event order.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import grpc

from xnas.v1alpha1 import evaluator_pb2 as pb
from xnas_core import wire
from xnas_core.artifacts import keys
from xnas_core.artifacts.folder import FolderStore
from xnas_core.artifacts.store import ObjectStore
from xnas_core.dispatch import messages as m
from xnas_core.tasks import (
    Artifact,
    Assignment,
    DataDescription,
    EndReason,
    Progress,
    derived_seed,
)

OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.max_receive_message_length", m.MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", m.MAX_MESSAGE_BYTES),
)


DIGITS = m.Described(DataDescription(shape=(1, 8, 8, 10), train=1294, validation=143, test=360, digest="0" * 64))
"""What a simulated evaluator says of its data, unless it is told otherwise."""


def seeded_metrics(assignment: Assignment) -> dict[str, float]:
    """Return values that follow from the candidate alone: the same for every attempt, evaluator and order."""
    rng = random.Random(derived_seed("fake", assignment.candidate_id))
    return {"accuracy": rng.random(), "introspectability": rng.random()}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a simulated attempt does.

    Attributes:
        seconds: how long it takes.
        fault: None to succeed; otherwise the reason it fails with.
        silent: end without a word, as an evaluator that hangs.
        message: the failure's message.
    """

    seconds: float = 0.0
    fault: EndReason | None = None
    silent: bool = False
    message: str = "simulated"


def succeed(assignment: Assignment) -> Outcome:
    """Return the outcome of an attempt that succeeds at once."""
    del assignment
    return Outcome()


def programmed(assignment: Assignment) -> Outcome:
    """Return the outcome that the encoding asks for: "sleep <seconds>", "raise" or "raise nan", anything else succeeds.

    The same words as those of the evaluator's tasks for tests, so that one contract runs over both.
    """
    word, *arguments = assignment.encoding.split() or [""]
    if word == "sleep":
        return Outcome(seconds=float(arguments[0]))
    if word == "raise":
        return Outcome(fault=EndReason.NON_FINITE if arguments == ["nan"] else EndReason.EXCEPTION)
    return Outcome()


@dataclass
class FakeEvaluator:
    """One simulated evaluator. `await run()` until it is drained or cancelled.

    Attributes:
        channel: to the server; many evaluators may share one.
        outcome: duration and fault of each attempt.
        metrics: values of a success.
        gate: awaited before each attempt does anything; it lets a test say when.
        artifacts: objects of a success, which whoever makes them has stored.
        store: where result.json is written before Completed is sent; None to leave it out (benchmarks).
        search: NAMESPACE/NAME of the search to serve, on a cluster.
        capabilities: what Register declares.
        description: the answer to Describe.
        duplicates: how many times each end is sent.
        reconnect_seconds: pause before the next stream after one broke; None to end instead.
        remember: keep what was assigned and acknowledged; False where a run is long.
        assigned: every assignment received, in order.
        acknowledged: task ids acknowledged, in order.
        waits: seconds from the end of each attempt to the next assignment.
    """

    channel: grpc.aio.Channel
    id: str
    slots: int = 1
    outcome: Callable[[Assignment], Outcome] = succeed
    metrics: Callable[[Assignment], Mapping[str, float]] = seeded_metrics
    gate: Callable[[Assignment], Awaitable[object]] | None = None
    artifacts: Callable[[Assignment], Sequence[Artifact]] = lambda _: ()
    store: Path | ObjectStore | None = None
    token: str | None = None
    search: str | None = None
    capabilities: tuple[str, ...] = ()
    description: m.Described = DIGITS
    duplicates: int = 1
    reconnect_seconds: float | None = 0.05
    remember: bool = True
    assigned: list[Assignment] = field(default_factory=list)
    acknowledged: list[str] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    welcomes: int = 0

    def __post_init__(self) -> None:
        self._running: dict[str, tuple[int, Assignment, asyncio.Task[None]]] = {}
        self._ended_at: float | None = None
        self._ends: dict[str, pb.ConnectRequest] = {}
        self._outbox: deque[pb.ConnectRequest] = deque()
        self._wake = asyncio.Event()
        self._draining = False
        self._breaking = False
        self._heartbeat_seconds = 5.0
        self._welcomed = asyncio.Event()
        self._call: grpc.aio.StreamStreamCall[bytes, bytes] | None = None
        metadata = [("authorization", f"Bearer {self.token}")] if self.token else []
        metadata += [("xnas-search", self.search)] if self.search else []
        self._metadata = grpc.aio.Metadata(*metadata)
        self._connect: grpc.aio.StreamStreamMultiCallable[bytes, bytes] = self.channel.stream_stream(wire.CONNECT)

    # --- life -----------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Serve until drained.

        Raises:
            grpc.aio.AioRpcError: the server refused, or the stream broke and `reconnect_seconds` is None.
        """
        try:
            while True:
                try:
                    await self._one_stream()
                except grpc.aio.AioRpcError as error:
                    again = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.ABORTED)
                    if self.reconnect_seconds is None or error.code() not in again:
                        raise
                if self.reconnect_seconds is None or (self._draining and not self._running and not self._ends):
                    return
                await asyncio.sleep(self.reconnect_seconds)
        finally:
            for _, _, task in self._running.values():
                task.cancel()

    async def welcome(self) -> None:
        """Wait until the server has answered Register."""
        await self._welcomed.wait()

    def break_stream(self) -> None:
        """Tear the stream, as a network would. Work goes on."""
        if self._call is not None and not self._call.done():
            self._breaking = True
            self._call.cancel()

    def drain(self) -> None:
        """Take nothing new and hand back what runs."""
        self._draining = True
        self._send(wire.draining())
        for task_id in tuple(self._running):
            self._stop(task_id, EndReason.DRAINED)
        self._wake.set()

    async def _one_stream(self) -> None:
        call = self._call = self._connect(metadata=self._metadata)
        try:
            await call.write(wire.register(self._registration()).SerializeToString())
            self._outbox.clear()
            await self._read_one(call)
            # Everything not acknowledged goes out again on every new stream (protocol.md §6.4).
            self._outbox.extend(self._ends.values())
            if self._draining:
                self._outbox.append(wire.draining())
            writer = asyncio.ensure_future(self._write(call))
            beat = asyncio.ensure_future(self._beat())
            try:
                while await self._read_one(call):
                    pass
            finally:
                for task in (writer, beat):
                    task.cancel()
                await asyncio.gather(writer, beat, return_exceptions=True)
            code, details = await call.code(), await call.details()
            if code is not grpc.StatusCode.OK:
                raise grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(), details)
        except (asyncio.CancelledError, asyncio.InvalidStateError):
            # `break_stream` cancels the call, which looks like a cancellation of whoever reads from it.
            if not self._breaking:
                raise
            self._breaking = False
        finally:
            self._welcomed.clear()
            call.cancel()

    def _registration(self) -> m.Register:
        return m.Register(
            evaluator=self.id,
            slots=self.slots,
            capabilities=self.capabilities,
            running=tuple((task_id, slot) for task_id, (slot, _, _) in self._running.items()),
            unacknowledged=tuple(self._ends),
        )

    async def _read_one(self, call: grpc.aio.StreamStreamCall[bytes, bytes]) -> bool:
        data = await call.read()
        if not isinstance(data, bytes):
            return False
        for message in wire.read_response(pb.ConnectResponse.FromString(data)):
            self._handle(message)
        return True

    async def _write(self, call: grpc.aio.StreamStreamCall[bytes, bytes]) -> None:
        while True:
            while self._outbox:
                await call.write(self._outbox.popleft().SerializeToString())
            if self._draining and not self._running and not self._ends:
                await call.done_writing()
                return
            self._wake.clear()
            await self._wake.wait()

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self._heartbeat_seconds)
            self._send(wire.heartbeat(self._running))

    # --- messages -------------------------------------------------------------------------------------------------

    def _send(self, request: pb.ConnectRequest) -> None:
        self._outbox.append(request)
        self._wake.set()

    def _handle(self, message: m.HeardMessage) -> None:
        match message:
            case m.Welcome(heartbeat_seconds, _, _):
                self._heartbeat_seconds = heartbeat_seconds
                self.welcomes += 1
                self._welcomed.set()
            case m.Assigned(slot, assignment):
                self._start(slot, assignment)
            case m.Cancel(task_id):
                self._stop(task_id, EndReason.CANCELLED)
            case m.Drain():
                self.drain()
            case m.Describe():
                self._send(wire.described(self.description))
            case m.Ack(task_id):
                self._ends.pop(task_id, None)
                if self.remember:
                    self.acknowledged.append(task_id)
                self._wake.set()

    def _start(self, slot: int, assignment: Assignment) -> None:
        if assignment.task_id in self._running or assignment.task_id in self._ends:
            return
        if self._ended_at is not None:
            self.waits.append(asyncio.get_running_loop().time() - self._ended_at)
        if self.remember:
            self.assigned.append(assignment)
        outcome = self.outcome(assignment)
        task = asyncio.ensure_future(self._work(assignment, outcome))
        self._running[assignment.task_id] = (slot, assignment, task)
        if self._draining:
            self._stop(assignment.task_id, EndReason.DRAINED)

    async def _work(self, assignment: Assignment, outcome: Outcome) -> None:
        if self.gate is not None:
            await self.gate(assignment)
        if outcome.seconds:
            await asyncio.sleep(outcome.seconds)
        if outcome.silent:
            await asyncio.Event().wait()
        if outcome.fault is not None:
            self._end(assignment.task_id, self._failure(assignment, outcome.fault, outcome.message))
            return
        result = assignment.result(
            self.metrics(assignment),
            artifacts=tuple(self.artifacts(assignment)),
            environment={"device": "simulated"},
        )
        document = wire.to_json(result)
        if self.store is not None:
            # In a thread, as with a real disk; nothing else of the attempt happens meanwhile.
            store = FolderStore(self.store) if isinstance(self.store, Path) else self.store
            await asyncio.to_thread(store.put, assignment.prefix + keys.RESULT, document)
        self._end(assignment.task_id, wire.completed(assignment.task_id, document))

    def _failure(self, assignment: Assignment, reason: EndReason, message: str) -> pb.ConnectRequest:
        return wire.failed(assignment.failure(reason, message))

    def _end(self, task_id: str, request: pb.ConnectRequest) -> None:
        self._running.pop(task_id, None)
        self._ends[task_id] = request
        self._ended_at = asyncio.get_running_loop().time()
        for _ in range(self.duplicates):
            self._send(request)

    def _stop(self, task_id: str, reason: EndReason) -> None:
        if task_id not in self._running:
            return
        _, assignment, task = self._running[task_id]
        task.cancel()
        self._end(task_id, self._failure(assignment, reason, "asked to end"))

    def progress(self, task_id: str, epoch: int, epochs: int) -> None:
        """Report a sign of life of a running attempt."""
        self._send(wire.progress(Progress(task_id=task_id, epoch=epoch, epochs=epochs)))

    async def grant(self, task_id: str, key: str, *, write: bool, timeout_seconds: float = 5.0) -> pb.GrantResponse:
        """Ask for access to an object; raises AioRpcError when it is refused."""
        request = pb.GrantRequest(
            evaluator_id=self.id,
            task_id=task_id,
            verb=pb.GRANT_VERB_PUT if write else pb.GRANT_VERB_GET,
            key=key,
        )
        call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = self.channel.unary_unary(wire.GRANT)
        data = await call(request.SerializeToString(), timeout=timeout_seconds, metadata=self._metadata)
        return pb.GrantResponse.FromString(data)


@contextlib.asynccontextmanager
async def running(*evaluators: FakeEvaluator) -> AsyncIterator[None]:
    """Run evaluators in the background; inside, all are welcomed."""
    tasks = [asyncio.ensure_future(evaluator.run()) for evaluator in evaluators]
    try:
        await asyncio.wait_for(asyncio.gather(*(evaluator.welcome() for evaluator in evaluators)), 30)
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
