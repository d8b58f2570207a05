"""However many searches end at once, the event loop's own threads stay free: API requests need them."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

from xnas_core.dispatch.grants import FolderGrants, NoDataGrants
from xnas_core.search.problem import parse_spec
from xnas_core.service.feed import EngineFeed
from xnas_core.testing.memory_store import MemoryStore
from xnas_core.testing.waiting import until
from xnas_operator import session as module
from xnas_operator.session import Identity, LeaseTimes, SearchSession

SEARCHES = 40
"""More than the 32 threads that an event loop has at most."""
SPEC: dict[str, Any] = {
    "searchSpace": {"name": "nas-bench-201", "parameters": {"cellsPerStage": 1, "channels": 4}},
    "objectives": [{"name": "parameters", "direction": "minimize"}],
    "algorithm": {"populationSize": 2},
    "limits": {"maxEvaluations": 2},
}


async def finished(number: int, folder: Path) -> SearchSession:
    uid = f"uid-{number}"
    session = SearchSession(
        Identity("team", f"search-{number}", uid), MemoryStore(), FolderGrants(folder), NoDataGrants(),
        LeaseTimes(5.0, 60.0), EngineFeed(f"search-{number}", uid), lambda _events: None,
    )  # fmt: skip
    spec = parse_spec({**SPEC, "seed": number})
    await session.open(spec)
    await session.accept(spec, None)
    assert await session.run() == "finished"
    return session


async def test_forty_reports_leave_the_threads_of_the_loop_free(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    may_end, running, most, done = threading.Event(), [0], [0], [0]
    counting = threading.Lock()

    def slow(*_: object) -> None:
        with counting:
            running[0] += 1
            most[0] = max(most[0], running[0])
        may_end.wait(60)
        with counting:
            running[0] -= 1
            done[0] += 1

    monkeypatch.setattr(module, "publish", slow)
    sessions = [await finished(number, tmp_path) for number in range(SEARCHES)]
    publishing = [asyncio.create_task(session.publish()) for session in sessions]
    try:
        await until(lambda: running[0] > 0)
        assert await asyncio.wait_for(asyncio.to_thread(lambda: "answer"), 20) == "answer"
    finally:
        may_end.set()
        await asyncio.gather(*publishing)
        for session in sessions:
            await session.close(deleted=False)
    assert (most[0], done[0]) == (1, SEARCHES)
