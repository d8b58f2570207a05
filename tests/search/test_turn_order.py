"""What a turn gave away is on its way before the next turn decides: evaluators do not wait for others' decisions."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from xnas_core.dispatch.interface import AttemptCompleted, DispatchEvent, FreeSlot, HeldAttempt
from xnas_core.journal import Journal
from xnas_core.search.engine import Engine
from xnas_core.search.events import Started
from xnas_core.search.loop import SearchLoop
from xnas_core.tasks import Assignment
from xnas_core.testing.memory_store import MemoryStore

SPEC: dict[str, Any] = {
    "searchSpace": {"name": "nas-bench-201", "parameters": {"cellsPerStage": 1, "channels": 4}},
    "benchmark": {"table": "t.csv.gz", "key": "arch"},
    "objectives": [{"name": "accuracy", "direction": "maximize"}, {"name": "loss", "direction": "minimize"}],
    "algorithm": {"mode": "steadyState", "populationSize": 4},
    "limits": {"maxEvaluations": 20},
}


class Streams:
    """A dispatcher of four slots. Like streams, it sends in the event loop's next round; each answer comes at once."""

    def __init__(self) -> None:
        self.unsent = 0
        self.unsent_at_take: list[int] = []
        self._free = [FreeSlot("e", slot) for slot in range(4)]
        self._events: list[DispatchEvent] = []

    async def wait(self, timeout_seconds: float) -> None:
        del timeout_seconds
        await asyncio.sleep(0)

    def take(self) -> Sequence[DispatchEvent]:
        self.unsent_at_take.append(self.unsent)
        events, self._events = self._events, []
        return events

    def free_slots(self) -> Sequence[FreeSlot]:
        return tuple(self._free)

    def hold(self, attempts: Sequence[HeldAttempt]) -> None:
        assert not attempts

    def assign(self, slot: FreeSlot, assignment: Assignment) -> None:
        self._free.remove(slot)
        self.unsent += 1
        asyncio.get_running_loop().call_soon(self._send, slot, assignment)

    def _send(self, slot: FreeSlot, assignment: Assignment) -> None:
        self.unsent -= 1
        self._events.append(AttemptCompleted(assignment.result({"accuracy": 0.5, "loss": 1.0})))
        self._free.append(slot)

    def acknowledge(self, task_id: str) -> None:
        pass

    def cancel(self, task_id: str) -> None:
        raise AssertionError(f"{task_id} was cancelled")


async def test_no_turn_begins_before_the_last_one_was_sent() -> None:
    started = Started(
        time=0.0, search_id="s", spec=SPEC, spec_digest="0" * 64, data_shape=(3, 32, 32, 10), versions={},
    )  # fmt: skip
    engine, journal, streams = Engine(started), Journal(MemoryStore()), Streams()
    journal.append([started])
    assert await SearchLoop(engine, journal, streams).run() == "finished"
    assert len(engine.arrivals) == 20
    assert len(streams.unsent_at_take) > 5
    assert set(streams.unsent_at_take) == {0}
