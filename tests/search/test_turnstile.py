"""Searches that wait for nobody leave the event loop to everything else between two of their turns."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from xnas_core.journal import Journal
from xnas_core.search.engine import Engine
from xnas_core.search.events import Event, Started
from xnas_core.search.loop import SearchLoop
from xnas_core.testing.memory_store import MemoryStore

SEARCHES = 4
SPEC: dict[str, Any] = {
    "searchSpace": {"name": "nas-bench-201", "parameters": {"cellsPerStage": 1, "channels": 4}},
    "objectives": [{"name": "parameters", "direction": "minimize"}, {"name": "macs", "direction": "minimize"}],
    "algorithm": {"populationSize": 4},
    "limits": {"maxEvaluations": 20},
}


class Noted(Engine):
    """Notes in which look of the event loop it decided something, and how many looks there were."""

    look = 0
    decided: list[tuple[int, int]]

    def decide(self, free_slots: int, now: float) -> Sequence[Event]:
        found = super().decide(free_slots, now)
        if found:
            self.decided.append((Noted.look, self.spec.seed))
        return found


async def decided_at(turnstile: asyncio.Lock | None) -> list[tuple[int, int]]:
    """Run searches side by side; return look and search of each decision."""
    notes: list[tuple[int, int]] = []

    async def count() -> None:
        while True:
            Noted.look += 1
            await asyncio.sleep(0)

    async def run(seed: int) -> None:
        started = Started(
            time=0.0, search_id=f"s{seed}", spec={**SPEC, "seed": seed}, spec_digest="0" * 64,
            data_shape=(3, 32, 32, 10), versions={},
        )  # fmt: skip
        engine, journal = Noted(started), Journal(MemoryStore())
        engine.decided = notes
        journal.append([started])
        assert await SearchLoop(engine, journal, None, turnstile=turnstile).run() == "finished"
        assert len(engine.arrivals) == 20

    counting = asyncio.create_task(count())
    try:
        await asyncio.gather(*(run(seed) for seed in range(SEARCHES)))
    finally:
        counting.cancel()
    return notes


@pytest.mark.parametrize("shared", [True, False])
async def test_between_two_looks_at_the_network_one_search_decides(shared: bool) -> None:
    decided = await decided_at(asyncio.Lock() if shared else None)
    assert {seed for _, seed in decided} == set(range(SEARCHES))
    searches_of_a_look = [{seed for look, seed in decided if look == number} for number, _ in decided]
    assert all(len(searches) == 1 for searches in searches_of_a_look) == shared
