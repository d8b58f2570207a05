"""The server over real gRPC with simulated evaluators (protocol.md §6)."""

from __future__ import annotations

import asyncio
import stat
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from xnas.v1alpha1 import evaluator_pb2 as pb
from xnas_core import wire
from xnas_core.artifacts.folder import FolderStore
from xnas_core.dispatch import messages as m
from xnas_core.dispatch.grants import FolderGrants
from xnas_core.dispatch.interface import AttemptCompleted, AttemptFailed, DispatchEvent
from xnas_core.dispatch.server import DispatchServer
from xnas_core.errors import InvalidInputError
from xnas_core.tasks import Assignment, EndReason, EvaluationConfig, TaskResult
from xnas_core.testing.assignments import assignment
from xnas_core.testing.fake_evaluator import OPTIONS, FakeEvaluator, Outcome, running
from xnas_core.testing.waiting import until

CONFIG = EvaluationConfig(search_id="s", spec={}, spec_digest="0" * 64)


def make(number: int = 0, attempt: int = 1, previous: tuple[int, ...] = (), deadline: int = 60) -> Assignment:
    return assignment(number, attempt, previous=previous, deadline_seconds=deadline)


@pytest.fixture
def short() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="xnas-") as folder:
        yield Path(folder)


@asynccontextmanager
async def serving(folder: Path, **settings: object) -> AsyncIterator[tuple[DispatchServer, grpc.aio.Channel]]:
    store = FolderStore(folder / "out")
    server = DispatchServer(
        store,
        CONFIG,
        grants=FolderGrants(folder / "out"),
        **{"addresses": [f"unix:{folder}/s"], "heartbeat_seconds": 0.2, "grace_seconds": 0.3, **settings},  # type: ignore[arg-type]
    )
    await server.start()
    server.hold([])
    channel = grpc.aio.insecure_channel(f"unix:{folder}/s", options=OPTIONS)
    try:
        yield server, channel
    finally:
        await channel.close()
        await server.stop(1)


async def next_event(server: DispatchServer, within: float = 10.0) -> DispatchEvent:
    async with asyncio.timeout(within):
        while True:
            events = server.take()
            if events:
                assert len(events) == 1, events
                return events[0]
            await server.wait(1.0)


async def status_of(
    channel: grpc.aio.Channel, *requests: bytes, token: str | None = None
) -> tuple[grpc.StatusCode, str]:
    metadata = grpc.aio.Metadata(("authorization", f"Bearer {token}")) if token else None
    for _ in range(5):
        call: grpc.aio.StreamStreamCall[bytes, bytes] = channel.stream_stream(wire.CONNECT)(
            metadata=metadata, timeout=20
        )
        try:
            for request in requests:
                await call.write(request)
            while isinstance(await call.read(), bytes):
                pass
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            pass
        # Where the answer arrives in the middle of a write, grpc.aio sometimes says INTERNAL of its own; no server of
        # ours does.
        if await call.code() is not grpc.StatusCode.INTERNAL:
            break
    return await call.code(), await call.details() or ""


REGISTER = wire.register(m.Register("e1", 1)).SerializeToString()


@pytest.mark.parametrize(
    ("deleted", "code"), [(False, grpc.StatusCode.UNAVAILABLE), (True, grpc.StatusCode.PERMISSION_DENIED)]
)
async def test_nobody_registers_at_a_desk_that_has_closed(short: Path, deleted: bool, code: grpc.StatusCode) -> None:
    # On a cluster the port stays open: an evaluator that came in just before must not serve a desk that nobody minds.
    async with serving(short) as (server, channel):
        await server.close(0.1, drain=False, deleted=deleted)
        assert (await status_of(channel, REGISTER))[0] is code
        assert not server.evaluators()


async def test_an_assignment_is_carried_out_and_acknowledged(short: Path) -> None:
    async with serving(short) as (server, channel):
        evaluator = FakeEvaluator(channel, "e1", store=short / "out")
        async with running(evaluator):
            (slot,) = server.free_slots()
            server.assign(slot, make())
            assert server.free_slots() == ()
            event = await next_event(server)
            assert isinstance(event, AttemptCompleted)
            assert event.result.task_id == make().task_id
            assert server.free_slots() == (slot,)
            assert evaluator.acknowledged == []
            server.acknowledge(make().task_id)
            await until(lambda: evaluator.acknowledged == [make().task_id])


async def test_the_socket_is_private(short: Path) -> None:
    async with serving(short):
        assert stat.S_IMODE((short / "s").stat().st_mode) == 0o600


async def test_a_failure_is_reported_with_its_reason(short: Path) -> None:
    async with serving(short) as (server, channel):
        evaluator = FakeEvaluator(channel, "e1", outcome=lambda _: Outcome(fault=EndReason.NON_FINITE))
        async with running(evaluator):
            server.assign(server.free_slots()[0], make())
            event = await next_event(server)
            assert isinstance(event, AttemptFailed)
            assert event.failure.reason is EndReason.NON_FINITE


async def test_a_stored_result_counts_although_its_evaluator_died_before_saying_so(short: Path) -> None:
    async with serving(short, grace_seconds=0.1) as (server, channel):
        evaluator = FakeEvaluator(channel, "e1", reconnect_seconds=None, store=short / "out")
        evaluator._end = lambda *_: evaluator.break_stream()  # type: ignore[method-assign]
        async with running(evaluator):
            server.assign(server.free_slots()[0], make())
            event = await next_event(server)
            assert isinstance(event, AttemptCompleted)
            assert event.result.task_id == make().task_id


@pytest.mark.parametrize("content", [b"", b'{"task_id": "', b"\xff\xfe", b'{"task_id": 1}'])
async def test_a_torn_or_alien_stored_result_does_not_count(short: Path, content: bytes) -> None:
    async with serving(short) as (server, channel):
        FolderStore(short / "out").put(make().prefix + "result.json", content)
        async with running(FakeEvaluator(channel, "e1")):
            server.assign(server.free_slots()[0], make(0, attempt=2, previous=(1,)))
            event = await next_event(server)
            assert isinstance(event, AttemptCompleted)
            assert event.result.attempt == 2


async def test_an_earlier_attempts_result_in_the_store_is_taken(short: Path) -> None:
    async with serving(short) as (server, channel):
        earlier = make()
        result = TaskResult(
            task_id=earlier.task_id, kind=earlier.kind, candidate_id=earlier.candidate_id, attempt=1, metrics={"a": 1.0}
        )
        FolderStore(short / "out").put(earlier.prefix + "result.json", result.model_dump_json().encode())
        evaluator = FakeEvaluator(channel, "e1")
        async with running(evaluator):
            server.assign(server.free_slots()[0], make(0, attempt=2, previous=(1,)))
            await until(lambda: len(server.free_slots()) == 1)
            events = server.take()
            assert [type(event) for event in events] == [AttemptCompleted, AttemptFailed]
            assert isinstance(events[0], AttemptCompleted)
            assert events[0].result == result
            assert evaluator.assigned == []


async def test_a_torn_stream_is_made_anew_and_the_attempt_goes_on(short: Path) -> None:
    async with serving(short, grace_seconds=5.0) as (server, channel):
        evaluator = FakeEvaluator(channel, "e1", outcome=lambda _: Outcome(seconds=0.5), store=short / "out")
        async with running(evaluator):
            server.assign(server.free_slots()[0], make())
            await until(lambda: evaluator.assigned)
            evaluator.break_stream()
            await until(lambda: evaluator.welcomes == 2)
            event = await next_event(server)
            assert isinstance(event, AttemptCompleted)
            assert len(evaluator.assigned) == 1


async def test_duplicates_are_reported_once(short: Path) -> None:
    async with serving(short) as (server, channel):
        evaluator = FakeEvaluator(channel, "e1", duplicates=3)
        async with running(evaluator):
            server.assign(server.free_slots()[0], make())
            assert isinstance(await next_event(server), AttemptCompleted)
            await asyncio.sleep(0.1)
            assert not server.take()
            server.acknowledge(make().task_id)
            await until(lambda: evaluator.acknowledged)


async def test_a_silent_evaluator_is_cut_off_and_its_attempt_lost(short: Path) -> None:
    async with serving(short, heartbeat_seconds=0.05, grace_seconds=0.2) as (server, channel):
        mute = asyncio.ensure_future(status_of(channel, REGISTER))
        await until(server.free_slots)
        server.assign(server.free_slots()[0], make())
        event = await next_event(server)
        assert isinstance(event, AttemptFailed)
        assert event.failure.reason is EndReason.LOST
        code, details = await mute
        assert code is grpc.StatusCode.ABORTED
        assert "nothing was heard" in details


@pytest.mark.parametrize(
    ("requests", "code", "said"),
    [
        ([wire.heartbeat([]).SerializeToString()], grpc.StatusCode.FAILED_PRECONDITION, "must be Register"),
        ([b"\xff\xff"], grpc.StatusCode.INVALID_ARGUMENT, "not a ConnectRequest"),
        ([wire.register(m.Register("e 1", 1)).SerializeToString()], grpc.StatusCode.INVALID_ARGUMENT, "evaluator id"),
        ([REGISTER, REGISTER], grpc.StatusCode.INVALID_ARGUMENT, "first message only"),
        ([REGISTER, b""], grpc.StatusCode.INVALID_ARGUMENT, "without content"),
        ([REGISTER, bytes(5 * 1024 * 1024)], grpc.StatusCode.RESOURCE_EXHAUSTED, "larger than max"),
    ],
)
async def test_what_breaks_the_protocol_is_refused_with_a_sentence(
    short: Path, requests: list[bytes], code: grpc.StatusCode, said: str
) -> None:
    # A channel without bounds of its own, so that the message reaches the server.
    unbounded = grpc.aio.insecure_channel(f"unix:{short}/s")
    async with serving(short) as (server, _), unbounded as channel:
        found, details = await status_of(channel, *requests)
        assert found is code, details
        assert said in details
        await until(lambda: server.evaluators() == ())


async def test_tcp_needs_the_token_and_the_socket_does_not(short: Path) -> None:
    addresses = [f"unix:{short}/s", "127.0.0.1:0"]
    async with serving(short, addresses=addresses, token="secret") as (server, channel):
        local = FakeEvaluator(channel, "local")
        async with running(local), grpc.aio.insecure_channel(server.bound[1]) as remote:
            for token in (None, "wrong", "secre", "secret "):
                code, details = await status_of(remote, REGISTER, token=token)
                assert code is grpc.StatusCode.UNAUTHENTICATED
                assert "token" in details
            evaluator = FakeEvaluator(remote, "remote", token="secret")
            async with running(evaluator):
                assert {view.id for view in server.evaluators()} == {"local", "remote"}
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await FakeEvaluator(remote, "local").grant(make().task_id, make().prefix + "x", write=True)
            assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED


@pytest.mark.parametrize(
    ("addresses", "said"),
    [
        ([], "at least one address"),
        (["127.0.0.1:0"], "needs a token"),
        (["unix:relative"], "absolute path"),
        ([f"unix:/{'x' * 120}"], "longer than 100 bytes"),
        (["localhost"], "not an address"),
        (["localhost:99999"], "not an address"),
        ([":50051"], "not an address"),
    ],
)
async def test_impossible_addresses_are_named(short: Path, addresses: list[str], said: str) -> None:
    with pytest.raises(InvalidInputError, match=said):
        async with serving(short, addresses=addresses):
            pass


async def test_an_address_in_use_is_named(short: Path) -> None:
    async with serving(short, addresses=["127.0.0.1:0"], token="x") as (server, _):
        with pytest.raises(InvalidInputError, match="cannot listen on"):
            async with serving(short, addresses=[server.bound[0]], token="x"):
                pass


async def test_grants_over_the_wire(short: Path) -> None:
    async with serving(short) as (server, channel):
        evaluator = FakeEvaluator(channel, "e1", outcome=lambda _: Outcome(seconds=30))
        with pytest.raises(grpc.aio.AioRpcError) as early:
            await evaluator.grant(make().task_id, make().prefix + "x", write=True)
        assert early.value.code() is grpc.StatusCode.FAILED_PRECONDITION
        async with running(evaluator):
            server.assign(server.free_slots()[0], make())
            answer = await evaluator.grant(make().task_id, make().prefix + "state.safetensors", write=True)
            assert answer.path == str((short / "out").resolve() / make().prefix / "state.safetensors")
            for key in ("../x", "/etc/passwd", make().prefix + "../x", make().prefix + "a b", "", "x" * 2000):
                with pytest.raises(grpc.aio.AioRpcError) as refused:
                    await evaluator.grant(make().task_id, key, write=True)
                assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
            for task, key in ((make().task_id, "journal/00000001.json"), ("0" * 24, make().prefix + "x")):
                with pytest.raises(grpc.aio.AioRpcError) as refused:
                    await evaluator.grant(task, key, write=False)
                assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED
            ask: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(wire.GRANT)
            for data in (b"\xff", pb.GrantRequest(evaluator_id="e1", key=make().prefix + "x").SerializeToString()):
                with pytest.raises(grpc.aio.AioRpcError) as refused:
                    await ask(data, timeout=5)
                assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_health_and_reflection(short: Path) -> None:
    async with serving(short) as (_, channel):
        health = health_pb2_grpc.HealthStub(channel)
        for service in ("", wire.SERVICE):
            answer = await health.Check(health_pb2.HealthCheckRequest(service=service), timeout=5)
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        call = stub.ServerReflectionInfo(iter([reflection_pb2.ServerReflectionRequest(list_services="")]), timeout=5)
        names = {service.name async for answer in call for service in answer.list_services_response.service}
        assert wire.SERVICE in names


async def test_an_assignment_over_the_bound_fails_its_attempt_alone(short: Path) -> None:
    async with serving(short) as (server, channel), running(FakeEvaluator(channel, "e1")):
        huge = make().model_copy(update={"graph": {"nodes": ["x" * 1000] * 5000}})
        server.assign(server.free_slots()[0], huge)
        event = await next_event(server)
        assert isinstance(event, AttemptFailed)
        assert event.failure.reason is EndReason.INVALID_TASK
        assert "can be sent" in event.failure.message
        server.assign(server.free_slots()[0], make(1))
        assert isinstance(await next_event(server), AttemptCompleted)


async def test_many_large_assignments_leave_in_messages_within_the_bound(short: Path) -> None:
    async with serving(short) as (server, channel), running(FakeEvaluator(channel, "e1", slots=16)):
        for number, slot in enumerate(server.free_slots()):
            graph = {"nodes": ["x" * 1000] * 600}
            server.assign(slot, make(number).model_copy(update={"graph": graph}))
        done = 0
        async with asyncio.timeout(20):
            while done < 16:
                done += sum(isinstance(event, AttemptCompleted) for event in server.take())
                await server.wait(0.5)


async def test_stopping_with_drain_sends_evaluators_home(short: Path) -> None:
    async with serving(short) as (server, channel):
        evaluator = FakeEvaluator(channel, "e1")
        task = asyncio.ensure_future(evaluator.run())
        await evaluator.welcome()
        await server.stop(10)
        await asyncio.wait_for(task, 10)
        assert not (short / "s").exists()


async def test_wait_returns_for_events_for_free_slots_and_in_time(short: Path) -> None:
    async with serving(short) as (server, channel):
        await server.wait(0.01)
        waiting = asyncio.ensure_future(server.wait(30))
        async with running(FakeEvaluator(channel, "e1")):
            await asyncio.wait_for(waiting, 10)
            assert server.free_slots()
            waiting = asyncio.ensure_future(server.wait(30))
            server.assign(server.free_slots()[0], make())
            await asyncio.wait_for(waiting, 10)
            assert server.take()
