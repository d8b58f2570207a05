"""The behavioural contract of evaluators (protocol.md §6). Subclass it and give a `started` fixture.

What an attempt does is written in its encoding, in words that every implementation under test understands:
"" succeeds at once, "sleep <seconds>" takes time, "raise" fails.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from xnas_core.api.spec import ArchitectureSearchSpec
from xnas_core.artifacts import keys
from xnas_core.dispatch import messages as m
from xnas_core.tasks import Assignment, EndReason, EvaluationConfig, Progress
from xnas_core.testing import assignments
from xnas_core.testing.scripted_server import ScriptedServer, ScriptedStream

Start = Callable[[str, int], AbstractAsyncContextManager[None]]
"""Starts an evaluator that connects to the address, with so many slots."""

HEARTBEAT_SECONDS = 0.1
SPEC = ArchitectureSearchSpec.model_validate(
    {
        "searchSpace": {"name": "nas-bench-201"},
        "dataset": {"name": "digits"},
        "objectives": [{"name": "accuracy", "direction": "maximize"}],
    },
    strict=False,
)
CONFIG = EvaluationConfig(search_id="contract", spec=SPEC.to_document(), spec_digest="0" * 64)
WELCOME = m.Welcome(HEARTBEAT_SECONDS, 5.0, CONFIG)


def assignment(number: int, program: str = "", attempt: int = 1, deadline_seconds: int = 60) -> Assignment:
    """Return an attempt at candidate `number` that does what the program says."""
    return assignments.assignment(
        number, attempt, search_id=CONFIG.search_id, encoding=program, deadline_seconds=deadline_seconds
    )


class EvaluatorContract:
    """Tests that run over the real agent and the fake."""

    @pytest.fixture
    def folder(self) -> Iterator[Path]:
        """A folder with a path short enough for a socket."""
        with tempfile.TemporaryDirectory(prefix="xnas-") as name:
            yield Path(name)

    @pytest.fixture
    async def server(self, folder: Path) -> AsyncIterator[ScriptedServer]:
        """A server that says only what the test tells it to."""
        server = ScriptedServer(f"unix:{folder}/s", folder / "out")
        await server.start()
        yield server
        await server.stop()

    async def welcomed(self, server: ScriptedServer) -> ScriptedStream:
        """Wait for a stream and welcome it."""
        stream = await server.next_stream()
        await stream.send(WELCOME)
        return stream

    async def test_registers_first_and_says_nothing_before_welcome(self, server: ScriptedServer, start: Start) -> None:
        """§6.2: Register names id, slots and nothing held; until Welcome there is silence."""
        async with start(server.address, 2):
            stream = await server.next_stream()
            assert stream.register.evaluator
            assert stream.register.slots == 2
            assert stream.register.running == ()
            assert stream.register.unacknowledged == ()
            await asyncio.sleep(3 * HEARTBEAT_SECONDS)
            assert stream.heard == []

    async def test_heartbeats_at_the_interval_of_the_lease(self, server: ScriptedServer, start: Start) -> None:
        """§6.3: heartbeats name what runs."""
        async with start(server.address, 1):
            stream = await self.welcomed(server)
            task = assignment(1, "sleep 30")
            await stream.send(m.Assign.of(0, task))
            await stream.expect(m.Heartbeat, lambda beat: beat.running == (task.task_id,))
            await stream.expect(m.Heartbeat)
            await stream.expect(m.Heartbeat)

    async def test_stores_the_result_before_it_says_completed(
        self, server: ScriptedServer, start: Start, folder: Path
    ) -> None:
        """§6.4: when Completed arrives, result.json is whole and the same."""
        async with start(server.address, 1):
            stream = await self.welcomed(server)
            task = assignment(1)
            await stream.send(m.Assign.of(0, task))
            completed = await stream.expect(m.Completed)
            stored = (folder / "out" / task.prefix / keys.RESULT).read_bytes()
            assert completed.result.task_id == task.task_id
            assert type(completed.result).model_validate_json(stored) == completed.result

    async def test_repeats_a_result_on_every_stream_until_it_is_acknowledged(
        self, server: ScriptedServer, start: Start
    ) -> None:
        """§6.4: Completed comes again after a break, names itself in Register, and stops with Ack."""
        async with start(server.address, 1):
            stream = await self.welcomed(server)
            task = assignment(1)
            await stream.send(m.Assign.of(0, task))
            first = await stream.expect(m.Completed)
            stream.tear()
            stream = await self.welcomed(server)
            assert stream.register.unacknowledged == (task.task_id,)
            assert (await stream.expect(m.Completed)).result == first.result
            await stream.send(m.Ack(task.task_id))
            await stream.expect(m.Heartbeat)
            stream.tear()
            stream = await self.welcomed(server)
            assert stream.register.unacknowledged == ()
            await stream.expect(m.Heartbeat)
            assert not [message for message in stream.heard if isinstance(message, m.Completed)]

    async def test_repeats_a_failure_too(self, server: ScriptedServer, start: Start) -> None:
        """§6.4 for Failed."""
        async with start(server.address, 1):
            stream = await self.welcomed(server)
            await stream.send(m.Assign.of(0, assignment(1, "raise")))
            failed = await stream.expect(m.Failed)
            assert failed.failure.reason is EndReason.EXCEPTION
            stream.tear()
            stream = await self.welcomed(server)
            assert (await stream.expect(m.Failed)).failure == failed.failure

    async def test_goes_on_through_a_broken_stream(self, server: ScriptedServer, start: Start) -> None:
        """§6.3: what runs is named with its slot in the next Register, and ends there."""
        async with start(server.address, 2):
            stream = await self.welcomed(server)
            task = assignment(1, "sleep 1")
            await stream.send(m.Assign.of(1, task))
            await stream.expect(m.Heartbeat, lambda beat: beat.running == (task.task_id,))
            stream.tear()
            stream = await self.welcomed(server)
            assert stream.register.running == ((task.task_id, 1),)
            assert (await stream.expect(m.Completed)).result.task_id == task.task_id

    async def test_an_assignment_sent_twice_runs_once(self, server: ScriptedServer, start: Start) -> None:
        """A server that does not know whether an assignment arrived sends it again."""
        async with start(server.address, 2):
            stream = await self.welcomed(server)
            task = assignment(1, "sleep 0.2")
            await stream.send(m.Assign.of(0, task), m.Assign.of(0, task))
            await stream.expect(m.Completed)
            await stream.send(m.Assign.of(0, task))
            await stream.expect(m.Heartbeat)
            await stream.expect(m.Heartbeat, lambda beat: beat.running == ())
            ends = [message for message in stream.heard if isinstance(message, (m.Completed, m.Failed))]
            assert len(ends) == 1

    async def test_cancel_ends_an_attempt_without_result(self, server: ScriptedServer, start: Start) -> None:
        """§6.8: the attempt ends as Cancelled, and its slot takes the next one."""
        async with start(server.address, 1):
            stream = await self.welcomed(server)
            await stream.send(m.Assign.of(0, assignment(1, "sleep 60")))
            await stream.expect(m.Heartbeat, lambda beat: len(beat.running) == 1)
            await stream.send(m.Cancel("0" * 24), m.Cancel(assignment(1).task_id))
            failed = await stream.expect(m.Failed)
            assert failed.failure.reason is EndReason.CANCELLED
            await stream.send(m.Ack(failed.failure.task_id), m.Assign.of(0, assignment(2)))
            assert (await stream.expect(m.Completed)).result.task_id == assignment(2).task_id

    async def test_slots_run_side_by_side(self, server: ScriptedServer, start: Start) -> None:
        """Two slots run two attempts at once."""
        async with start(server.address, 2):
            stream = await self.welcomed(server)
            await stream.send(m.Assign.of(0, assignment(1, "sleep 30")), m.Assign.of(1, assignment(2, "sleep 30")))
            await stream.expect(m.Heartbeat, lambda beat: len(beat.running) == 2)

    async def test_drain_hands_back_what_runs_and_leaves(self, server: ScriptedServer, start: Start) -> None:
        """§6.8: nothing new, the rest comes back as Drained, and the stream ends after the last Ack."""
        async with start(server.address, 2):
            stream = await self.welcomed(server)
            await stream.send(m.Assign.of(0, assignment(1, "sleep 60")))
            await stream.expect(m.Heartbeat, lambda beat: len(beat.running) == 1)
            await stream.send(m.Drain(0.0), m.Assign.of(1, assignment(2)))
            ends = [(await stream.expect(m.Failed)).failure for _ in range(2)]
            assert {end.reason for end in ends} == {EndReason.DRAINED}
            assert {end.task_id for end in ends} == {assignment(1).task_id, assignment(2).task_id}
            assert not stream.finished
            await stream.send(*(m.Ack(end.task_id) for end in ends))
            await stream.wait_finished()

    async def test_reports_draining_on_a_new_stream(self, server: ScriptedServer, start: Start) -> None:
        """An evaluator that drains says so again when it comes back, so that nothing is given to it."""
        async with start(server.address, 1):
            stream = await self.welcomed(server)
            await stream.send(m.Assign.of(0, assignment(1, "sleep 60")))
            await stream.expect(m.Heartbeat, lambda beat: len(beat.running) == 1)
            await stream.send(m.Drain(0.0))
            await stream.expect(m.Failed)
            stream.tear()
            stream = await self.welcomed(server)
            await stream.expect(m.Draining)

    async def test_signs_of_life_name_the_attempt(self, server: ScriptedServer, start: Start) -> None:
        """Progress, where it is sent, belongs to an attempt that runs."""
        async with start(server.address, 1):
            stream = await self.welcomed(server)
            task = assignment(1, "sleep 0.3")
            await stream.send(m.Assign.of(0, task))
            await stream.expect(m.Completed)
            said = [message for message in stream.heard if isinstance(message, Progress)]
            assert {message.task_id for message in said} <= {task.task_id}
