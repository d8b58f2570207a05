"""A search's server with a real agent process and real workers, and what tests ask of them."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from xnas_core.artifacts.folder import FolderStore
from xnas_core.dispatch.grants import FolderGrants
from xnas_core.dispatch.interface import AttemptCompleted, FreeSlot, ProgressMade
from xnas_core.dispatch.server import DispatchServer
from xnas_core.tasks import Assignment, TaskFailure, TaskResult
from xnas_core.testing.evaluator_contract import CONFIG
from xnas_core.testing.waiting import until

WITHIN = 30.0


@dataclass
class Site:
    """One server, one agent, one output folder."""

    folder: Path
    server: DispatchServer
    agent: asyncio.subprocess.Process
    progress: list[ProgressMade] = field(default_factory=list)

    @property
    def out(self) -> Path:
        """The output folder."""
        return self.folder / "out"

    async def assign(self, assignment: Assignment) -> FreeSlot:
        """Give an assignment to the slot that is free longest."""
        await until(self.server.free_slots)
        slot = self.server.free_slots()[0]
        self.server.assign(slot, assignment)
        return slot

    async def end(self, task_id: str | None = None) -> TaskResult | TaskFailure:
        """Wait for the next end, and acknowledge it."""
        async with asyncio.timeout(WITHIN):
            while True:
                for event in self.server.take():
                    if isinstance(event, ProgressMade):
                        self.progress.append(event)
                        continue
                    end = event.result if isinstance(event, AttemptCompleted) else event.failure
                    self.server.acknowledge(end.task_id)
                    if task_id in (None, end.task_id):
                        return end
                await self.server.wait(1.0)

    async def fail(self, assignment: Assignment) -> TaskFailure:
        """Assign, and wait for the failure."""
        await self.assign(assignment)
        end = await self.end()
        assert isinstance(end, TaskFailure), end
        return end

    async def succeed(self, assignment: Assignment) -> TaskResult:
        """Assign, and wait for the result."""
        await self.assign(assignment)
        end = await self.end()
        assert isinstance(end, TaskResult), end
        return end

    async def runs(self) -> None:
        """Wait for a sign of life of an attempt; nothing may end meanwhile."""
        async with asyncio.timeout(WITHIN):
            while not self.progress:
                for event in self.server.take():
                    assert isinstance(event, ProgressMade), event
                    self.progress.append(event)
                await self.server.wait(1.0)

    def workers(self) -> list[psutil.Process]:
        """Return the worker processes."""
        return [p for p in psutil.Process(self.agent.pid).children() if "xnas_evaluator.worker" in p.cmdline()]


async def start_server(folder: Path, **settings: object) -> DispatchServer:
    """Start a server on the folder's socket, with the folder as store; the caller calls `hold` and `stop`."""
    given: dict[str, object] = {
        "config": CONFIG,
        "store": FolderStore(folder / "out"),
        "grants": FolderGrants(folder / "out"),
        "heartbeat_seconds": 0.5,
        "grace_seconds": 10.0,
        **settings,
    }
    server = DispatchServer(addresses=[f"unix:{folder}/s"], **given)  # type: ignore[arg-type]
    await server.start()
    return server


async def start_agent(folder: Path, *options: str) -> asyncio.subprocess.Process:
    """Start an agent process whose tasks misbehave as asked; what it prints is kept in agent.log."""
    log = (folder / "agent.log").open("ab")
    try:
        return await asyncio.create_subprocess_exec(
            sys.executable, "-m", "xnas_evaluator.agent", "--connect", f"unix:{folder}/s", "--device", "cpu",
            "--cache", str(folder / "cache"), "--tasks", "xnas_evaluator.testing_tasks:run", "--id", "agent-1",
            *options, stderr=log, stdout=log, start_new_session=True,
        )  # fmt: skip
    finally:
        log.close()


@asynccontextmanager
async def site(folder: Path, *options: str, **settings: object) -> AsyncIterator[Site]:
    """Serve, with an agent that ends with this process."""
    server = await start_server(folder, **settings)
    server.hold([])
    agent = await start_agent(folder, "--parent-pid", str(os.getpid()), "--stop-seconds", "0.3", *options)
    here = Site(folder, server, agent)
    try:
        yield here
    finally:
        await here.server.stop(0, drain=False)
        if agent.returncode is None:
            agent.kill()
        await agent.wait()
