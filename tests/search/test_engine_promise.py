"""The promise of protocol.md §1 at the level of the engine: order, interruption and snapshots change nothing."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import orjson
import pytest

from xnas_core.search.candidates import Candidate
from xnas_core.search.engine import Engine
from xnas_core.search.events import AttemptEnded, AttemptStarted, Event, LimitsChanged, Started, Succeeded
from xnas_core.search.ledger import Ledger, Task, TaskRef
from xnas_core.search.view import CandidateState, SearchState
from xnas_core.search.viewing import view
from xnas_core.tasks import EndReason, TaskKind


def _spec(mode: str = "generational", algorithm: str = "nsga2", evaluations: int = 60, **more: Any) -> dict[str, Any]:
    return {
        "seed": 11,
        "searchSpace": {"name": "nas-bench-201", "parameters": {"cellsPerStage": 1, "channels": 4}},
        "dataset": {"name": "digits"},
        "objectives": [
            {"name": "accuracy", "direction": "maximize"},
            {"name": "introspectability", "direction": "maximize"},
        ],
        "algorithm": {"name": algorithm, "mode": mode, "populationSize": 8},
        "limits": {"maxEvaluations": evaluations},
        **more,
    }


def _start(spec: dict[str, Any]) -> Engine:
    return Engine(Started(time=0, search_id="s", spec=spec, spec_digest="", data_shape=(1, 8, 8, 10), versions={}))


def _metrics(candidate: str) -> dict[str, float]:
    generator = random.Random(candidate)
    return {"accuracy": generator.uniform(0.2, 1.0), "introspectability": generator.random()}


class _World:
    """Runs an engine with evaluators whose results come in an order that a seed decides."""

    def __init__(self, engine: Engine, seed: int, slots: int = 4, failing: int = 0) -> None:
        self.engine, self.slots, self.failing = engine, slots, failing
        self.random = random.Random(seed)
        self.running: list[AttemptStarted] = []
        self.events: list[Event] = []
        self.time = 0.0

    def note(self, event: Event) -> None:
        self.engine.handle(event)
        self.events.append(event)

    def step(self) -> bool:
        self.time += 1
        while decisions := self.engine.decide(self.slots - len(self.running), self.time):
            for decision in decisions:
                self.note(decision)
        for ref in self.engine.runnable(self.slots - len(self.running)):
            self._begin(ref)
        if self.engine.finished or not self.running:
            return False
        self._end(self.running.pop(self.random.randrange(len(self.running))))
        return True

    def _begin(self, ref: TaskRef) -> None:
        a = self.engine.assignment(ref)
        started = AttemptStarted(
            time=self.time, task=ref.kind, candidate=ref.candidate, attempt=a.attempt, evaluator="e", task_id=a.task_id
        )
        self.note(started)
        self.running.append(started)

    def _end(self, a: AttemptStarted) -> None:
        fails = self.failing and int(a.candidate[1:], 16) % self.failing == 0 and a.task is TaskKind.EVALUATE
        common: dict[str, Any] = {"time": self.time, "task": a.task, "candidate": a.candidate, "attempt": a.attempt}
        if fails:
            self.note(AttemptEnded(**common, reason=EndReason.EXCEPTION, message="boom"))
        else:
            self.note(Succeeded(**common, metrics=_metrics(a.candidate) if a.task is TaskKind.EVALUATE else {}))

    def run(self) -> Engine:
        while self.step():
            pass
        return self.engine


def _facts(engine: Engine) -> list[tuple[Any, ...]]:
    return [(c.id, c.number, c.parents, c.operators, c.state, c.metrics) for c in engine.candidates]


@pytest.mark.parametrize("algorithm", ["nsga2", "random", "regularizedEvolution"])
@pytest.mark.parametrize("failing", [0, 5])
def test_generational_mode_does_not_depend_on_the_order_of_results(algorithm: str, failing: int) -> None:
    runs = [
        _World(_start(_spec(algorithm=algorithm)), seed, slots, failing).run()
        for seed, slots in ((1, 1), (2, 3), (3, 8))
    ]
    assert _facts(runs[0]) == _facts(runs[1]) == _facts(runs[2])
    assert {view(engine, "x").front for engine in runs} == {view(runs[0], "x").front}
    assert runs[0].state is SearchState.COMPLETE
    assert len(runs[0].arrivals) == 60


@pytest.mark.parametrize("mode", ["generational", "steadyState"])
@pytest.mark.parametrize("algorithm", ["nsga2", "random", "regularizedEvolution"])
def test_replay_and_snapshots_give_the_same_state_at_every_event(mode: str, algorithm: str) -> None:
    spec = _spec(mode, algorithm, evaluations=30)
    world = _World(_start(spec), 5, 4, failing=7)
    world.run()
    replay = _start(spec)
    for event in world.events:
        replay.handle(event)
        document = orjson.dumps(replay.to_document())
        replay = Engine.from_document(orjson.loads(document))
        assert orjson.dumps(replay.to_document()) == document
    assert orjson.dumps(replay.to_document()) == orjson.dumps(world.engine.to_document())


def _unsealed(ledger: Ledger) -> list[Task]:
    return [replace(task, sealed=None) for task in ledger.tasks.values()]


@pytest.mark.parametrize("mode", ["generational", "steadyState"])
def test_a_captured_state_is_that_of_its_moment_whatever_follows(mode: str) -> None:
    spec = _spec(mode, evaluations=30)
    world = _World(_start(spec), 5, 4, failing=7)
    world.run()
    replay, moments = _start(spec), []
    for event in world.events:
        replay.handle(event)
        moments.append((replay.capture(), orjson.dumps(replay.to_document())))
        # What was written down beforehand is never older than what it stands for.
        for candidate in replay.candidates:
            assert Candidate.from_document(orjson.loads(candidate.to_json())) == candidate
        again = Ledger.from_document([orjson.loads(row) for row in replay.ledger.to_json()], 0)
        assert _unsealed(again) == _unsealed(replay.ledger)
    for captured, then in moments:
        assert orjson.dumps(captured()) == then


@pytest.mark.parametrize("cut", [1, 10, 55, 100, 130])
def test_an_interrupted_search_decides_as_one_never_interrupted(cut: int) -> None:
    whole = _World(_start(_spec()), 1).run()
    first = _World(_start(_spec()), 2)
    for _ in range(cut):
        if not first.step():
            break
    engine = Engine.from_document(orjson.loads(orjson.dumps(first.engine.to_document())))
    second = _World(engine, 3)
    second.running = first.running
    assert _facts(second.run()) == _facts(whole)


@pytest.mark.parametrize("limit", [5, 8, 13, 31])
def test_a_raised_limit_leads_where_the_higher_limit_would_have_led(limit: int) -> None:
    whole = _World(_start(_spec(evaluations=60)), 1).run()
    engine = _World(_start(_spec(evaluations=limit)), 2).run()
    assert len(engine.arrivals) == limit
    world = _World(engine, 4)
    world.note(LimitsChanged(time=1e3, spec=_spec(evaluations=60)))
    assert _facts(world.run()) == _facts(whole)


def test_no_network_is_proposed_twice_and_an_exhausted_space_ends_the_search() -> None:
    spec = _spec("steadyState", evaluations=6000, constraints=[{"metric": "parameters", "max": 4600}])
    engine = _World(_start(spec), 1, 64).run()
    assert engine.finished is not None
    assert engine.finished.reason == "SpaceExhausted"
    identities = [engine.space.identity(c.genes) for c in engine.candidates]
    assert len(set(identities)) == len(identities)
    assert all(c.parameters is not None and c.parameters <= 4600 for c in engine.candidates)


def test_a_constraint_that_nothing_meets_fails_with_a_sentence() -> None:
    engine = _World(_start(_spec(constraints=[{"metric": "parameters", "max": 1}])), 1).run()
    assert engine.finished is not None
    assert engine.finished.state == "Failed"
    assert "loosen spec.constraints" in engine.finished.message


def test_both_parents_are_candidates_of_earlier_generations() -> None:
    engine = _World(_start(_spec()), 1).run()
    bred = [c for c in engine.candidates if c.parents]
    assert len(bred) > 30
    for candidate in bred:
        assert len(candidate.parents) == 2
        assert all(engine.by_id[parent].generation < candidate.generation for parent in candidate.parents)


def test_failed_candidates_are_never_parents_and_never_on_the_front() -> None:
    engine = _World(_start(_spec()), 1, failing=4).run()
    failed = {c.id for c in engine.candidates if c.state is CandidateState.FAILED}
    assert failed
    assert not failed & {parent for c in engine.candidates for parent in c.parents}
    assert not failed & set(view(engine, "x").front)
    assert all(len(engine.ledger.tasks[TaskRef(TaskKind.EVALUATE, c)].attempts) == 4 for c in failed)


def test_the_search_fails_beyond_the_limit_of_failures() -> None:
    spec = _spec()
    spec["limits"]["maxFailedEvaluations"] = 3
    engine = _World(_start(spec), 1, failing=1).run()
    assert engine.state is SearchState.FAILED


def test_a_second_result_is_ignored() -> None:
    world = _World(_start(_spec()), 1)
    world.step()
    done = next(event for event in world.events if isinstance(event, Succeeded))
    before = orjson.dumps(world.engine.to_document())
    world.engine.handle(done.model_copy(update={"metrics": {"accuracy": 0.0}, "attempt": 9}))
    world.engine.handle(done.model_copy(update={"metrics": {"accuracy": 0.0}}))
    after = orjson.loads(orjson.dumps(world.engine.to_document()))
    assert after["candidates"] == orjson.loads(before)["candidates"]


def test_a_suspended_search_starts_nothing() -> None:
    world = _World(_start(_spec()), 1)
    world.step()
    world.note(LimitsChanged(time=2, spec=_spec(suspend=True)))
    assert world.engine.state is SearchState.SUSPENDED
    assert not world.engine.runnable(10)
    assert not world.engine.decide(10, 3.0)
    world.note(LimitsChanged(time=4, spec=_spec()))
    assert world.engine.runnable(10)
