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

from xnas_core.artifacts.folder import FolderStore
from xnas_core.dispatch.grants import FolderGrants
from xnas_core.dispatch.interface import AttemptCompleted, AttemptFailed, DispatchEvent
from xnas_core.dispatch.server import DispatchServer
from xnas_core.tasks import Assignment, EndReason, EvaluationConfig, TaskKind, candidate_id, task_id
from xnas_core.testing.fake_evaluator import OPTIONS, FakeEvaluator, Outcome, running
from xnas_core.testing.waiting import until

CONFIG = EvaluationConfig(search_id="s", spec={}, spec_digest="0" * 64)


def make(number: int = 0, attempt: int = 1, previous: tuple[int, ...] = (), deadline: int = 60) -> Assignment:
    candidate = candidate_id(str(number))
    return Assignment(
        task_id=task_id("s", TaskKind.EVALUATE, candidate, 1, attempt),
        kind=TaskKind.EVALUATE,
        candidate_id=candidate,
        fidelity=1,
        attempt=attempt,
        encoding=str(number),
        graph=None,
        seed=1,
        previous_attempts=previous,
        deadline_seconds=deadline,
    )


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
        addresses=[f"unix:{folder}/s"],
        grants=FolderGrants(folder / "out"),
        **{"heartbeat_seconds": 0.2, "grace_seconds": 0.3, **settings},  # type: ignore[arg-type]
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
