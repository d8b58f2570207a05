"""Seeded schedules of everything that can go wrong, through the real engine, loop, journal and pool of leases.

A schedule is a world of evaluators with faults, and several lives of the server, each killed between two steps or
stopped. Whatever happened, at the end: no result is lost, none is counted twice, nothing is done before it is durable,
and in generational mode candidates, values and front are those of a search that nothing ever disturbed.

XNAS_SIMULATIONS sets how many schedules run (200). The failing seed is in the name of the failing test.
"""

from __future__ import annotations

import asyncio
import os
import random
from dataclasses import dataclass
from functools import cache
from typing import Any

import orjson
import pytest

from xnas_core import journal as journal_module
from xnas_core.artifacts import keys
from xnas_core.errors import LostOwnershipError
from xnas_core.journal import Journal, read_segments
from xnas_core.search.engine import Engine
from xnas_core.search.events import AttemptStarted, Started, Succeeded
from xnas_core.search.ledger import TaskRef
from xnas_core.search.loop import SearchLoop
from xnas_core.search.recovery import recover
from xnas_core.search.view import CandidateState, SearchState
from xnas_core.search.viewing import view
from xnas_core.tasks import Assignment, TaskKind, derived_seed
from xnas_core.testing.memory_store import Fault, MemoryStore
from xnas_core.testing.simulation import Faults, SimulatedServer, World

SCHEDULES = int(os.environ.get("XNAS_SIMULATIONS", "200"))
EVALUATIONS = 24
LIVES = 5
PATIENCE_SECONDS = 20_000.0
"""Virtual time after which a search counts as stuck."""


class Killed(BaseException):
    """The server's process was killed here. Not an Exception, so that no handler takes it for an error."""


@pytest.fixture(autouse=True)
def _small_snapshots(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let even these short searches write snapshots."""
    monkeypatch.setattr(journal_module, "_MIN_SNAPSHOT_BYTES", 6_000)


def _metrics(assignment: Assignment) -> dict[str, float] | None:
    """Return values that follow from the candidate alone; one candidate in nine cannot be scored."""
    chance = random.Random(derived_seed("simulation", assignment.candidate_id))
    if chance.random() < 1 / 9:
        return None
    if assignment.kind is not TaskKind.EVALUATE:
        return {"test_accuracy": chance.random()}
    return {"accuracy": chance.random(), "introspectability": chance.random()}


def _started(mode: str) -> Started:
    spec = {
        "seed": 5,
        "searchSpace": {"name": "nas-bench-201", "parameters": {"cellsPerStage": 1, "channels": 4}},
        "dataset": {"name": "digits"},
        "objectives": [
            {"name": "accuracy", "direction": "maximize"},
            {"name": "introspectability", "direction": "maximize"},
        ],
        "algorithm": {"mode": mode, "populationSize": 8},
        "limits": {"maxEvaluations": EVALUATIONS},
        # Nothing that is only lost may make a candidate fail: the undisturbed search knows no losses.
        "backoffLimit": 100,
    }
    return Started(time=0.0, search_id="sim", spec=spec, spec_digest="", data_shape=(1, 8, 8, 10), versions={})


@dataclass
class Witness:
    """Watches that nothing is done before it is durable (protocol.md §5.3, §6.4)."""

    store: MemoryStore
    kill_write: tuple[str, int] | None = None
    kill_action: tuple[str, int] | None = None

    def __post_init__(self) -> None:
        self.started: set[str] = set()
        self.ended: set[tuple[str, str, int]] = set()
        self.succeeded: set[tuple[str, str]] = set()
        self.names: dict[str, tuple[str, str, int]] = {}
        self.problems: list[str] = []
        self.writes = self.actions = 0
        self.store.fault = self._before_write
        self.store.written = self._after_write

    def _before_write(self, key: str) -> Fault:
        if key.startswith(keys.JOURNAL):
            self.writes += 1
            if self.kill_write == ("before", self.writes):
                raise Killed
        return Fault.NONE

    def _after_write(self, key: str) -> None:
        if not key.startswith(keys.JOURNAL):
            return
        for event in orjson.loads(self.store.get(key))["body"]["events"]:
            name = (event.get("task"), event.get("candidate"), event.get("attempt"))
            if event["kind"] == "attemptStarted":
                self.started.add(event["task_id"])
                self.names[event["task_id"]] = name
            elif event["kind"] in ("succeeded", "attemptEnded"):
                self.ended.add(name)
                if event["kind"] == "succeeded":
                    self.succeeded.add(name[:2])
        if self.kill_write == ("after", self.writes):
            raise Killed

    def before_action(self, action: str, task: str) -> None:
        """See SimulatedServer."""
        self.actions += action != "wait"
        if self.kill_action == (action, self.actions) or (action == "wait" and self.kill_action == ("wait", 0)):
            raise Killed
        name = self.names.get(task)
        if action == "assign" and task not in self.started:
            self.problems.append(f"{task} was assigned before it was durable")
        if action == "acknowledge" and name not in self.ended and (name is None or name[:2] not in self.succeeded):
            self.problems.append(f"the end of {task} ({name}) was acknowledged before it was durable")


@dataclass
class Schedule:
    """What a seed stands for."""

    seed: int
    mode: str

    def run(self) -> tuple[Engine, MemoryStore, World, Witness]:
        """Live through all lives; the last one is left in peace."""
        chance = random.Random(self.seed)
        faults = Faults(
            stream=chance.choice([0.0, 0.02, 0.1]),
            death=chance.choice([0.0, 0.005, 0.03]),
            slow=chance.choice([0.0, 0.1]),
            crash=chance.choice([0.0, 0.1]),
            repeat=chance.choice([0.0, 0.5]),
            silent_end=chance.choice([0.0, 0.05]),
        )
        local = chance.random() < 0.3
        world = World(self.seed, _metrics, evaluators=chance.randint(1, 4), slots=chance.randint(1, 3), faults=faults)
        store = MemoryStore()
        witness = Witness(store)
        Journal(store).append([_started(self.mode)])
        before: frozenset[str] = frozenset()
        for life in range(chance.randint(1, LIVES) - 1):
            _plan_death(witness, chance)
            engine = asyncio.run(_live(world, store, witness, before, chance.uniform(1, 120), stop=life % 3 == 2))
            if engine is not None and engine.finished:
                break
            if local:
                before |= frozenset(world.evaluators)
                for evaluator in list(world.evaluators.values()):
                    world.kill(evaluator)
            world.advance(chance.uniform(0, 60))
        witness.kill_write = witness.kill_action = None
        engine = asyncio.run(_live(world, store, witness, before, PATIENCE_SECONDS, stop=False))
        assert engine is not None, "the search did not end in its last life, which nothing disturbed"
        return engine, store, world, witness


def _plan_death(witness: Witness, chance: random.Random) -> None:
    witness.kill_write = witness.kill_action = None
    witness.writes = witness.actions = 0
    how = chance.choice(["before", "after", "assign", "acknowledge", "cancel", "time"])
    number = chance.randint(1, 25)
    if how in ("before", "after"):
        witness.kill_write = (how, number)
    elif how != "time":
        witness.kill_action = (how, number)


async def _live(
    world: World, store: MemoryStore, witness: Witness, local: frozenset[str], seconds: float, *, stop: bool
) -> Engine | None:
    """Run one life of the server; return its engine, or None if it was killed."""
    engine, journal = recover(store)
    assert engine is not None
    ends_at = world.now + seconds
    server = SimulatedServer(world, "sim", local=local, before=witness.before_action)
    loop = SearchLoop(engine, journal, server, clock=lambda: world.now)
    stopping = False

    def at_the_end(action: str, task: str) -> None:
        nonlocal stopping
        witness.before_action(action, task)
        if world.now > ends_at and not stopping:
            if not stop:
                raise Killed
            stopping = True
            loop.request_stop()
            world.drain()

    server.before = at_the_end
    try:
        outcome = await loop.run()
        assert outcome == ("stopped" if stopping and not engine.finished else "finished")
        return engine
    except Killed:
        return None
    finally:
        server.end()


@cache
def _undisturbed(mode: str) -> tuple[list[Any], tuple[str, ...]]:
    world, store = World(0, _metrics, evaluators=1, slots=1), MemoryStore()
    Journal(store).append([_started(mode)])
    engine = asyncio.run(_live(world, store, Witness(store), frozenset(), PATIENCE_SECONDS, stop=False))
    assert engine is not None
    return _facts(engine), view(engine, "x").front


def _facts(engine: Engine) -> list[Any]:
    return [(c.number, c.id, c.parents, c.operators, c.state, c.metrics, c.values) for c in engine.candidates]


@pytest.mark.parametrize("seed", range(SCHEDULES))
def test_whatever_happens(seed: int) -> None:
    mode = "steadyState" if seed % 4 == 3 else "generational"
    engine, store, world, witness = Schedule(seed, mode).run()

    assert witness.problems == []
    assert world.retrained == [], "an evaluation was repeated although its result was stored"
    assert engine.state is SearchState.COMPLETE
    assert len(engine.candidates) == EVALUATIONS
    assert sorted(engine.arrivals) == list(range(EVALUATIONS)), "a candidate was lost or counted twice"
    assert all(c.state in (CandidateState.SUCCEEDED, CandidateState.FAILED) for c in engine.candidates)
    effective: dict[tuple[str, str], int] = {}
    for segment in read_segments(store):
        for event in segment.events:
            if isinstance(event, Succeeded):
                effective.setdefault((event.task.value, event.candidate), event.attempt)
    for (task, candidate), attempt in effective.items():
        taken = engine.ledger.tasks[TaskRef(TaskKind(task), candidate)]
        assert taken.succeeded_attempt() == attempt, "not the first result was taken"
    if mode == "generational":
        assert (_facts(engine), view(engine, "x").front) == _undisturbed(mode)

    live = orjson.dumps(engine.to_document())
    for snapshots in (True, False):
        again, _ = recover(store, snapshots=snapshots)
        assert again is not None
        assert orjson.dumps(again.to_document()) == live, f"replay (snapshots: {snapshots}) differs from the live state"


def _lone_search(mode: str = "generational") -> tuple[World, MemoryStore]:
    store = MemoryStore()
    Journal(store).append([_started(mode)])
    return World(1, _metrics), store


@pytest.mark.parametrize("mode", ["generational", "steadyState"])
def test_of_two_engines_for_one_search_one_stops_and_assigns_nothing(mode: str) -> None:
    world, store = _lone_search(mode)
    asyncio.run(_live(world, store, Witness(store), frozenset(), 20.0, stop=False))
    late, late_journal = recover(store)
    assert late is not None
    asyncio.run(_live(world, store, Witness(store), frozenset(), 20.0, stop=False))

    other_world = World(2, _metrics)
    actions: list[str] = []

    def note(action: str, _task: str) -> None:
        if action != "wait":
            actions.append(action)

    server = SimulatedServer(other_world, "sim", before=note)
    other_world.advance(2.0)
    before = dict(store.objects)
    with pytest.raises(LostOwnershipError):
        asyncio.run(SearchLoop(late, late_journal, server, clock=lambda: other_world.now).run())
    assert actions == []
    assert store.objects == before


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_kill_around_each_write_loses_and_repeats_nothing(when: str) -> None:
    """Every write of a search in turn, exhaustively, where the schedules above only sample."""
    number = 0
    while True:
        number += 1
        world, store = _lone_search()
        witness = Witness(store)
        witness.kill_write = (when, number)
        first = asyncio.run(_live(world, store, witness, frozenset(), PATIENCE_SECONDS, stop=False))
        if first is not None:
            break
        witness.kill_write = None
        engine = asyncio.run(_live(world, store, witness, frozenset(), PATIENCE_SECONDS, stop=False))
        assert engine is not None
        assert (_facts(engine), view(engine, "x").front) == _undisturbed("generational"), f"write {number}"
        assert world.retrained == []
        assert witness.problems == []
    assert number > 20


def test_time_without_a_process_does_not_count_against_the_deadline() -> None:
    world, store = _lone_search()
    asyncio.run(_live(world, store, Witness(store), frozenset(), 30.0, stop=True))
    world.advance(1e6)
    engine = asyncio.run(_live(world, store, Witness(store), frozenset(), PATIENCE_SECONDS, stop=False))
    assert engine is not None
    assert engine.watch.active_seconds < 1e5


def test_the_first_events_of_attempts_are_durable_before_anything_runs() -> None:
    world, store = _lone_search()
    engine = asyncio.run(_live(world, store, Witness(store), frozenset(), PATIENCE_SECONDS, stop=False))
    assert engine is not None
    started = {e.task_id for s in read_segments(store) for e in s.events if isinstance(e, AttemptStarted)}
    assert {assignment.task_id for _, assignment in world.begun} <= started
