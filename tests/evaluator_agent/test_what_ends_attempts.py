"""The table of protocol.md §7, row by row, with real processes."""

from __future__ import annotations

import asyncio
import json
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from xnas_core.artifacts import keys
from xnas_core.tasks import EndReason, FailureClass, TaskFailure, TaskResult, classify
from xnas_core.testing.agent_site import Site, site, start_agent
from xnas_core.testing.evaluator_contract import assignment
from xnas_evaluator.agent.run import EXIT_INVALID


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="module")
def here(runner: asyncio.Runner) -> Iterator[Site]:
    with tempfile.TemporaryDirectory(prefix="xnas-", ignore_cleanup_errors=True) as name:
        context = site(Path(name))
        yield runner.run(context.__aenter__())
        runner.run(context.__aexit__(None, None, None))


@pytest.mark.parametrize(
    ("program", "reason", "said"),
    [
        ("raise", EndReason.EXCEPTION, "DeliberateError: on purpose"),
        ("raise nan", EndReason.NON_FINITE, "the loss is NaN in epoch 1"),
        ("raise invalid", EndReason.INVALID_TASK, "the network does not fit the data"),
        ("raise store", EndReason.STORE_UNAVAILABLE, "the bucket is gone"),
        ("raise full", EndReason.STORE_UNAVAILABLE, "/data/out is full"),
        ("raise memory", EndReason.OUT_OF_MEMORY, "no memory left"),
        ("wrong", EndReason.EXCEPTION, "another attempt"),
        ("print nearly there;segfault", EndReason.WORKER_CRASHED, "SIGSEGV; it said last:\nnearly there"),
        ("exit 3", EndReason.WORKER_CRASHED, "exit code 3; it said last:\nabout to exit"),
        ("exit 0", EndReason.WORKER_CRASHED, "exit code 0"),
        ("kill", EndReason.WORKER_CRASHED, "SIGKILL"),
    ],
)
def test_what_a_task_does_to_its_worker(
    runner: asyncio.Runner, here: Site, program: str, reason: EndReason, said: str
) -> None:
    failure = runner.run(here.fail(assignment(1, program)))
    assert failure.reason is reason
    assert said in failure.message
    # The slot lives on: the next attempt has a worker.
    runner.run(here.succeed(assignment(2)))


async def test_an_evaluator_that_is_unfit_hands_everything_back_and_leaves(folder: Path) -> None:
    async with site(folder, "--slots", "2") as here:
        await here.assign(assignment(1, "sleep 60"))
        await here.runs()
        failure = await here.fail(assignment(2, "raise unfit"))
        assert failure.reason is EndReason.UNFIT
        handed_back = await here.end()
        assert isinstance(handed_back, TaskFailure)
        assert (handed_back.task_id, handed_back.reason) == (assignment(1).task_id, EndReason.DRAINED)
        async with asyncio.timeout(20):
            assert await here.agent.wait() == EXIT_INVALID
        last = (folder / "agent.log").read_text().splitlines()[-1]
        assert last.startswith("error: the data set 'birds' is another one")


async def test_a_long_message_is_cut_to_the_bound_and_keeps_both_ends(folder: Path) -> None:
    async with site(folder) as here:
        failure = await here.fail(assignment(1, "large"))
        assert len(failure.message) <= 4000
        assert failure.message.startswith("DeliberateError: xxx")
        assert "raise DeliberateError" in failure.message


async def test_a_failure_is_also_left_in_the_folder(folder: Path) -> None:
    async with site(folder) as here:
        failure = await here.fail(assignment(1, "raise"))
        stored = json.loads((here.out / assignment(1).prefix / keys.FAILURE).read_bytes())
        assert TaskFailure.model_validate(stored) == failure


async def test_deadline_of_a_task_that_gives_signs_of_life(folder: Path) -> None:
    async with site(folder) as here:
        failure = await here.fail(assignment(1, "sleep 60", deadline_seconds=1))
        assert failure.reason is EndReason.DEADLINE_EXCEEDED
        worker = here.workers()[0].pid
        # It left by itself, so its worker serves on.
        result = await here.succeed(assignment(2))
        assert result.environment["pid"] == str(worker)


async def test_deadline_of_a_task_that_does_not_listen(folder: Path) -> None:
    async with site(folder) as here:
        failure = await here.fail(assignment(1, "block", deadline_seconds=1))
        assert failure.reason is EndReason.DEADLINE_EXCEEDED
        await here.succeed(assignment(2))


async def test_a_task_without_a_sign_of_life_is_hung(folder: Path) -> None:
    async with site(folder, "--hang-seconds", "1") as here:
        failure = await here.fail(assignment(1, "block"))
        assert failure.reason is EndReason.WORKER_HUNG
        result = await here.succeed(assignment(2, "sleep 1.5"))
        assert result.task_id == assignment(2).task_id, "a slow task with signs of life is not hung"


async def test_a_worker_over_its_memory_limit_is_ended(folder: Path) -> None:
    async with site(folder, "--memory-limit-mb", "200") as here:
        failure = await here.fail(assignment(1, "memory 300"))
        assert failure.reason is EndReason.OUT_OF_MEMORY
        assert "its limit is 200 MB" in failure.message
        await here.succeed(assignment(2))


async def test_kill_minus_nine_of_a_worker_in_mid_task(folder: Path) -> None:
    async with site(folder) as here:
        await here.assign(assignment(1, "epochs 500"))
        await here.runs()
        here.workers()[0].send_signal(signal.SIGKILL)
        failure = await here.end()
        assert isinstance(failure, TaskFailure)
        assert failure.reason is EndReason.WORKER_CRASHED
        # The next attempt goes on from the last epoch that was stored.
        stored = int((here.out / assignment(1).prefix / keys.STATE).read_bytes())
        here.progress.clear()
        await here.succeed(assignment(1, f"epochs {stored + 2}", attempt=2))
        assert [made.progress.epoch for made in here.progress] == [stored + 1, stored + 2]


async def test_kill_minus_nine_of_the_agent_ends_its_workers_and_loses_the_attempt(folder: Path) -> None:
    async with site(folder, grace_seconds=0.5) as here:
        await here.assign(assignment(1, "block"))
        workers = here.workers()
        here.agent.kill()
        failure = await here.end()
        assert isinstance(failure, TaskFailure)
        assert failure.reason is EndReason.LOST
        for worker in workers:
            worker.wait(10)


async def test_evidence_from_outside_ends_the_attempts_of_an_agent_at_once(folder: Path) -> None:
    async with site(folder, grace_seconds=60.0) as here:
        await here.assign(assignment(1, "block"))
        here.agent.kill()
        await here.agent.wait()
        here.server.report_end("agent-1", EndReason.EVICTED, "its pod is gone")
        failure = await here.end()
        assert isinstance(failure, TaskFailure)
        assert failure.reason is EndReason.EVICTED


async def test_a_signal_hands_back_what_runs(folder: Path) -> None:
    async with site(folder) as here:
        await here.assign(assignment(1, "sleep 60"))
        await here.runs()
        here.agent.send_signal(signal.SIGTERM)
        failure = await here.end()
        assert isinstance(failure, TaskFailure)
        assert failure.reason is EndReason.DRAINED
        assert await asyncio.wait_for(here.agent.wait(), 20) == 128 + signal.SIGTERM


async def test_a_signal_lets_what_runs_finish_within_the_time_given(folder: Path) -> None:
    async with site(folder, "--drain-seconds", "20") as here:
        await here.assign(assignment(1, "sleep 1"))
        await here.runs()
        here.agent.send_signal(signal.SIGINT)
        assert isinstance(await here.end(), TaskResult)
        assert await asyncio.wait_for(here.agent.wait(), 20) == 128 + signal.SIGINT


async def test_a_second_signal_ends_at_once(folder: Path) -> None:
    async with site(folder, "--drain-seconds", "60") as here:
        await here.assign(assignment(1, "sleep 60"))
        await here.runs()
        workers = here.workers()
        here.agent.send_signal(signal.SIGTERM)
        await asyncio.sleep(0.2)
        here.agent.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(here.agent.wait(), 5) == 128 + signal.SIGTERM
        for worker in workers:
            worker.wait(10)


async def test_cancel_of_a_task_that_does_not_listen(folder: Path) -> None:
    async with site(folder) as here:
        await here.assign(assignment(1, "block"))
        await asyncio.sleep(0.5)
        here.server.cancel(assignment(1).task_id)
        failure = await here.end()
        assert isinstance(failure, TaskFailure)
        assert failure.reason is EndReason.CANCELLED
        await here.succeed(assignment(2))


async def test_an_agent_ends_with_the_process_that_started_it(folder: Path) -> None:
    async with site(folder) as here:
        # A parent that is not ours: the agent must notice that it is an orphan, and end.
        orphan = await start_agent(folder, "--parent-pid", "1", "--id", "orphan")
        assert await asyncio.wait_for(orphan.wait(), 20) == 0
        assert [view.id for view in here.server.evaluators()] in ([], ["agent-1"])


async def test_workers_inherit_no_open_file_of_their_agent(folder: Path) -> None:
    async with site(folder) as here:
        await here.succeed(assignment(1))
        # The agent's log is open in the agent: a lock would be, too, and must not live on in a worker.
        assert [Path(file.path).name for worker in here.workers() for file in worker.open_files()] == []


CLASSES = {
    EndReason.EXCEPTION: FailureClass.FAILED,
    EndReason.NON_FINITE: FailureClass.FINAL,
    EndReason.INVALID_TASK: FailureClass.FINAL,
    EndReason.DEADLINE_EXCEEDED: FailureClass.FAILED,
    EndReason.WORKER_CRASHED: FailureClass.FAILED,
    EndReason.OUT_OF_MEMORY: FailureClass.FAILED,
    EndReason.WORKER_HUNG: FailureClass.FAILED,
    EndReason.DEVICE_ERROR: FailureClass.FAILED,
    EndReason.LOST: FailureClass.FAILED,
    EndReason.EVICTED: FailureClass.PREEMPTED,
    EndReason.NODE_LOST: FailureClass.PREEMPTED,
    EndReason.SCALED_DOWN: FailureClass.PREEMPTED,
    EndReason.DRAINED: FailureClass.PREEMPTED,
    EndReason.RUN_STOPPED: FailureClass.PREEMPTED,
    EndReason.CANCELLED: FailureClass.PREEMPTED,
    EndReason.STORE_UNAVAILABLE: FailureClass.PREEMPTED,
    EndReason.UNFIT: FailureClass.PREEMPTED,
    EndReason.BAD_RESULT: FailureClass.FAILED,
}


def test_every_reason_has_the_class_of_the_table() -> None:
    assert {reason: classify(reason) for reason in EndReason} == CLASSES
