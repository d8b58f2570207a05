"""Seeded schedules of everything that can go wrong, through the real engine, loop, journal and pool of leases.

A schedule is a world of evaluators with faults, and several lives of the server, each killed between two steps or
stopped. Whatever happened, at the end: no result is lost, none is counted twice, nothing is done before it is durable,
and in generational mode candidates, values and front are those of a search that nothing ever disturbed. In two of
three schedules tasks are asked for at any moment; what was answered is done, and no decision differs.

XNAS_SIMULATIONS sets how many schedules run (200). The failing seed is in the name of the failing test.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import orjson
import pytest

from xnas_core import journal as journal_module
from xnas_core.artifacts import keys
from xnas_core.errors import InvalidInputError, LostOwnershipError
from xnas_core.journal import Journal, read_segments
from xnas_core.search.engine import Engine
from xnas_core.search.events import AttemptStarted, Started, Succeeded, TaskRequested
from xnas_core.search.inbox import RequestInbox
from xnas_core.search.ledger import TaskRef
from xnas_core.search.loop import SearchLoop
from xnas_core.search.recovery import recover
from xnas_core.search.requests import TaskRequest
from xnas_core.search.view import CandidateState, SearchState, TaskState
from xnas_core.search.viewing import view
from xnas_core.tasks import Assignment, EndReason, TaskKind, derived_seed
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


def _metrics(assignment: Assignment, mended: Collection[str] = ()) -> dict[str, float] | EndReason:
    """Return values that follow from the candidate alone; one in four can't be scored, most of these until mended."""
    chance = random.Random(derived_seed("simulation", assignment.candidate_id))
    fate = chance.random()
    broken = assignment.kind is TaskKind.EVALUATE and fate < 1 / 4
    if broken and (fate < 1 / 16 or assignment.candidate_id not in mended):
        return EndReason.NON_FINITE if fate < 1 / 16 else EndReason.INVALID_TASK
    values = {"accuracy": chance.random(), "introspectability": chance.random()}
    if assignment.kind is TaskKind.EVALUATE:
        return values
    # A refinement that would change the candidate's own scores is not let to.
    return {f"{assignment.kind}_value": 1.0, "refined_accuracy": 0.5} | (
        {"accuracy": 9.0} if assignment.kind is TaskKind.REFINE else {}
    )


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
        self.requested: set[tuple[str, str]] = set()
        self.mended: set[str] = set()
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
            elif event["kind"] == "taskRequested":
                self.requested.add(name[:2])
                if event["task"] == TaskKind.EVALUATE:
                    self.mended.add(event["candidate"])
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
class Asker:
    """Someone who asks for tasks on candidates, at any moment, so many times at most; most of it can't be done."""

    chance: random.Random
    witness: Witness
    left: int

    def __post_init__(self) -> None:
        self._asking: set[asyncio.Task[None]] = set()

    def perhaps(self, engine: Engine, inbox: RequestInbox) -> None:
        """Ask for something, or not."""
        if self.left and engine.candidates and self.chance.random() < 0.15:
            self.left -= 1
            failed = [c.id for c in engine.candidates if c.state is CandidateState.FAILED]
            kind = self.chance.choice([TaskKind.EXPLAIN, TaskKind.REFINE, TaskKind.EVALUATE])
            choice = failed if kind is TaskKind.EVALUATE and failed else [c.id for c in engine.candidates]
            self.ask(inbox, kind, self.chance.choice(choice))

    def ask(self, inbox: RequestInbox, kind: TaskKind, candidate: str) -> None:
        """Ask; note a problem if the answer comes before the request is durable."""
        pairs = {"pairs": [{"classes": [0, 1]}], "epochs": self.chance.randint(1, 2)}
        request = TaskRequest(kind, candidate, pairs if kind is TaskKind.REFINE else {})

        async def asking() -> None:
            with contextlib.suppress(InvalidInputError):
                await inbox.ask(request)
                if (kind.value, candidate) not in self.witness.requested:
                    self.witness.problems.append(f"{kind} of {candidate} was answered before it was durable")

        task = asyncio.get_running_loop().create_task(asking())
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)


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
        store = MemoryStore()
        witness = Witness(store)
        world = World(
            self.seed, lambda assignment: _metrics(assignment, witness.mended),
            evaluators=chance.randint(1, 4), slots=chance.randint(1, 3), faults=faults,
        )  # fmt: skip
        asker = Asker(random.Random(self.seed), witness, 8 if self.seed % 3 else 0)
        Journal(store).append([_started(self.mode)])
        before: frozenset[str] = frozenset()
        for life in range(chance.randint(1, LIVES) - 1):
            _plan_death(witness, chance)
            seconds = chance.uniform(1, 120)
            engine = asyncio.run(_live(world, store, witness, before, seconds, stop=life % 3 == 2, asker=asker))
            if engine is not None and engine.done:
                break
            if local:
                before |= frozenset(world.evaluators)
                for evaluator in list(world.evaluators.values()):
                    world.kill(evaluator)
            world.advance(chance.uniform(0, 60))
        witness.kill_write = witness.kill_action = None
        engine = asyncio.run(_live(world, store, witness, before, PATIENCE_SECONDS, stop=False, asker=asker))
        assert engine is not None, "the search did not end in its last life, which nothing disturbed"
        if self.seed % 3:
            # After the end: the search stays what it is while what is asked for is done.
            asker.left, ended = 4, engine.finished
            engine = asyncio.run(
                _live(world, store, witness, before, PATIENCE_SECONDS, stop=False, asker=asker, late=True)
            )
            assert engine is not None
            assert engine.finished == ended
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
    world: World,
    store: MemoryStore,
    witness: Witness,
    local: frozenset[str],
    seconds: float,
    *,
    stop: bool,
    asker: Asker | None = None,
    late: bool = False,
) -> Engine | None:
    """Run one life of the server; return its engine, or None if it was killed."""
    engine, journal = recover(store)
    assert engine is not None
    ends_at = world.now + seconds
    server = SimulatedServer(world, "sim", local=local, before=witness.before_action)
    inbox = RequestInbox()
    loop = SearchLoop(engine, journal, server, clock=lambda: world.now, inbox=inbox)
    if asker is not None and late:
        for candidate in view(engine, "x").front[:2]:
            asker.ask(inbox, asker.chance.choice([TaskKind.EXPLAIN, TaskKind.REFINE]), candidate)
        for failed in [c.id for c in engine.candidates if c.state is CandidateState.FAILED]:
            asker.ask(inbox, TaskKind.EVALUATE, failed)
        await asyncio.sleep(0)
    stopping = False

    def at_the_end(action: str, task: str) -> None:
        nonlocal stopping
        witness.before_action(action, task)
        if asker is not None and action == "wait":
            asker.perhaps(engine, inbox)
        if world.now > ends_at and not stopping:
            if not stop:
                raise Killed
            stopping = True
            loop.request_stop()
            world.drain()

    server.before = at_the_end
    try:
        outcome = await loop.run()
        assert outcome == ("stopped" if stopping and not engine.done else "finished")
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
    return [(c.number, c.id, c.parents, c.operators, c.state, c.values, _own(c.metrics)) for c in engine.candidates]


def _own(metrics: Mapping[str, float]) -> dict[str, float]:
    """Return the values that do not depend on what was asked for."""
    return {name: value for name, value in metrics.items() if name in ("accuracy", "introspectability")}


def _pareto(engine: Engine) -> set[str]:
    """Return the front by comparing each with each. Values are minimised."""
    known = {c.id: c.values for c in engine.candidates if c.state is CandidateState.SUCCEEDED and c.values}
    return {
        identity for identity, mine in known.items()
        if not any(all(a <= b for a, b in zip(other, mine, strict=True)) and other != mine for other in known.values())
    }  # fmt: skip


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
    for (task, candidate), attempt in _first_results(store).items():
        taken = engine.ledger.tasks[TaskRef(TaskKind(task), candidate)]
        assert taken.succeeded_attempt() == attempt, "not the first result was taken"
    assert engine.done
    assert all(task.state is not TaskState.OPEN for task in engine.ledger.all_open() if engine.wanted(task))
    assert {(kind, c) for kind, c in witness.requested if (kind, c) not in witness.succeeded} == set()
    assert set(view(engine, "x").front) == _pareto(engine)
    if mode == "generational":
        facts, front = _undisturbed(mode)
        assert [fact for fact in _facts(engine) if fact[1] not in witness.mended] == [
            fact for fact in facts if fact[1] not in witness.mended
        ]
        assert [fact[:4] for fact in _facts(engine)] == [fact[:4] for fact in facts], "a request changed a decision"
        assert witness.mended or view(engine, "x").front == front

    live = orjson.dumps(engine.to_document())
    for snapshots in (True, False):
        again, _ = recover(store, snapshots=snapshots)
        assert again is not None
        assert orjson.dumps(again.to_document()) == live, f"replay (snapshots: {snapshots}) differs from the live state"


def _first_results(store: MemoryStore) -> dict[tuple[str, str], int]:
    """Return the attempt whose result came first since the task was asked for last, by kind and candidate."""
    effective: dict[tuple[str, str], int] = {}
    started: dict[tuple[str, str], int] = {}
    earlier: dict[tuple[str, str], int] = {}
    for event in (event for segment in read_segments(store) for event in segment.events):
        if isinstance(event, AttemptStarted | Succeeded | TaskRequested):
            name = (event.task.value, event.candidate)
            if isinstance(event, TaskRequested):
                earlier[name] = started.get(name, 0)
                effective.pop(name, None)
            elif isinstance(event, AttemptStarted):
                started[name] = event.attempt
            elif event.attempt > earlier.get(name, 0):
                effective.setdefault(name, event.attempt)
    return effective


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
