"""Lost servers, torn streams and refusals, with real processes (protocol.md §6.2-§6.4, §6.9)."""

from __future__ import annotations

import asyncio
from pathlib import Path

from xnas_core.artifacts.folder import FolderStore
from xnas_core.dispatch.grants import FolderGrants
from xnas_core.dispatch.interface import HeldAttempt
from xnas_core.dispatch.server import DispatchServer
from xnas_core.tasks import EndReason, TaskFailure, TaskResult
from xnas_core.testing.agent_site import Site, site, start_agent, start_server
from xnas_core.testing.evaluator_contract import CONFIG, assignment
from xnas_core.testing.waiting import until


async def restarted(here: Site, *held: HeldAttempt) -> None:
    """Stop the server without a word and start another on the same folder."""
    await here.server.stop(0, drain=False)
    here.server = await start_server(here.folder)
    here.server.hold(held)


async def test_training_goes_on_while_the_server_is_away_and_its_result_arrives(folder: Path) -> None:
    async with site(folder) as here:
        task = assignment(1, "epochs 40 0.05")
        await here.assign(task)
        await here.runs()
        await here.server.stop(0, drain=False)
        state = here.out / task.prefix / "state.safetensors"
        before = int(state.read_bytes())
        await until(lambda: int(state.read_bytes()) > before + 2)
        await restarted(here, HeldAttempt(task.task_id, "agent-1", task.prefix, 60))
        result = await here.end()
        assert isinstance(result, TaskResult)
        assert result.task_id == task.task_id


async def test_a_result_made_while_the_server_was_away_is_not_lost(folder: Path) -> None:
    async with site(folder) as here:
        task = assignment(1, "sleep 0.5")
        await here.assign(task)
        await here.runs()
        await here.server.stop(0, drain=False)
        # The grant for result.json waits for the server, as everything does that needs it.
        await asyncio.sleep(1.0)
        await restarted(here, HeldAttempt(task.task_id, "agent-1", task.prefix, 60))
        result = await here.end()
        assert isinstance(result, TaskResult)


async def test_a_restarted_server_that_does_not_hold_an_attempt_cancels_it(folder: Path) -> None:
    async with site(folder) as here:
        await here.assign(assignment(1, "sleep 60"))
        await here.runs()
        await restarted(here)
        # The slot comes back: what ran there was cancelled, not finished.
        result = await here.succeed(assignment(2))
        assert result.task_id == assignment(2).task_id
        assert not (here.out / assignment(1).prefix / "result.json").exists()


async def test_nothing_is_cancelled_before_the_restarted_server_knows_what_it_holds(folder: Path) -> None:
    async with site(folder) as here:
        task = assignment(1, "sleep 2")
        await here.assign(task)
        await here.runs()
        await here.server.stop(0, drain=False)
        here.server = await start_server(folder)
        await asyncio.sleep(1.0)
        assert here.server.evaluators() == (), "evaluators are not answered before hold"
        here.server.hold([HeldAttempt(task.task_id, "agent-1", task.prefix, 60)])
        assert isinstance(await here.end(), TaskResult)


async def test_a_drained_agent_ends_with_exit_code_0(folder: Path) -> None:
    async with site(folder) as here:
        await until(here.server.free_slots)
        await here.server.stop(10)
        assert await asyncio.wait_for(here.agent.wait(), 20) == 0


async def test_an_agent_gives_up_on_a_server_that_does_not_answer(folder: Path) -> None:
    agent = await start_agent(folder, "--give-up-seconds", "0.5")
    assert await asyncio.wait_for(agent.wait(), 20) == 4
    said = (folder / "agent.log").read_text()
    assert "no answer from unix:" in said
    assert "check that the search runs there" in said


async def test_an_agent_without_the_token_is_told_so_and_ends(folder: Path) -> None:
    server = DispatchServer(
        FolderStore(folder / "out"),
        CONFIG,
        addresses=["127.0.0.1:0"],
        grants=FolderGrants(folder / "out"),
        token="right",
    )
    await server.start()
    server.hold([])
    (folder / "token").write_text("wrong\n")
    try:
        command = ("--connect", server.bound[0])
        agent = await start_agent(folder, *command, "--token-file", str(folder / "token"))
        assert await asyncio.wait_for(agent.wait(), 20) == 5
        assert "the token is missing or wrong" in (folder / "agent.log").read_text()
        (folder / "token").write_text("right\n")
        agent = await start_agent(folder, *command, "--token-file", str(folder / "token"))
        await until(server.free_slots)
        agent.kill()
        await agent.wait()
    finally:
        await server.stop(0)


async def test_settings_that_are_not_possible_are_named(folder: Path) -> None:
    agent = await start_agent(folder, "--slots", "65")
    assert await asyncio.wait_for(agent.wait(), 20) == 2
    assert "65 slots are not possible" in (folder / "agent.log").read_text()


async def test_the_exclusive_moment_has_no_other_worker_computing(folder: Path) -> None:
    async with site(folder, "--slots", "3") as here:
        notes = folder / "notes"
        ids = []
        for number in (1, 2):
            task = assignment(number, f"compute {notes} 2")
            ids.append(task.task_id)
            await here.assign(task)
        await until(lambda: notes.exists() and all(id_ in notes.read_text() for id_ in ids))
        await here.assign(assignment(3, f"exclusive {notes} 0.4"))
        ends = {(await here.end()).task_id for _ in range(3)}
        assert len(ends) == 3
        lines = notes.read_text().splitlines()
        enter, leave = (lines.index(f"{word} {assignment(3).task_id}") for word in ("enter", "leave"))
        assert leave == enter + 1, "somebody computed in the exclusive moment"
        assert any(line.startswith("step") for line in lines[leave:]), "the others went on after it"


async def test_a_worker_that_dies_in_the_exclusive_moment_gives_it_back(folder: Path) -> None:
    async with site(folder, "--slots", "2") as here:
        notes = folder / "notes"
        await here.assign(assignment(1, f"compute {notes} 1.5"))
        await here.runs()
        await here.assign(assignment(2, "exclusiveDeath"))
        first = await here.end()
        assert isinstance(first, TaskFailure)
        assert first.reason is EndReason.WORKER_CRASHED
        assert isinstance(await here.end(), TaskResult)
