"""When a search stops, for every limit: exactly there, with its reason, and further when the limit is raised."""

from __future__ import annotations

import itertools
from typing import Any

import orjson
import pytest

from xnas_core.search.engine import Engine
from xnas_core.search.events import (
    AttemptEnded,
    AttemptStarted,
    LimitsChanged,
    Proposed,
    Resumed,
    Started,
    Succeeded,
    Suspended,
)
from xnas_core.search.view import SearchState
from xnas_core.tasks import PREEMPTION_LIMIT, EndReason, TaskKind

SIZE = 8


def _spec(limits: dict[str, Any], mode: str = "generational", **more: Any) -> dict[str, Any]:
    return {
        "searchSpace": {"name": "nas-bench-201"},
        "benchmark": {"table": "t.csv"},
        "objectives": [
            {"name": "error", "direction": "minimize", "reference": 1.0},
            {"name": "cost", "direction": "minimize", "reference": 1.0},
        ],
        "algorithm": {"mode": mode, "populationSize": SIZE},
        "limits": limits,
        **more,
    }


class _Run:
    """Drives an engine with one slot; `values` gives (error, cost) by number, or the reason of a failure."""

    def __init__(self, spec: dict[str, Any], values: Any = lambda number: (1 / (number + 2), 0.5)) -> None:
        self.engine = Engine(
            Started(time=0.0, search_id="s", spec=spec, spec_digest="", data_shape=(3, 32, 32, 10), versions={})
        )
        self.values = values
        self.now = 0.0

    def step(self, seconds: float = 1.0) -> bool:
        """Decide, run one attempt; return False when there is nothing to do."""
        self.now += seconds
        while decisions := self.engine.decide(1, self.now):
            for decision in decisions:
                self.engine.handle(decision)
        refs = self.engine.runnable(1)
        if not refs:
            return False
        candidate, attempt = refs[0].candidate, len(self.engine.ledger.tasks[refs[0]].attempts) + 1
        place: dict[str, Any] = {
            "time": self.now,
            "task": TaskKind.EVALUATE,
            "candidate": candidate,
            "attempt": attempt,
        }
        self.engine.handle(AttemptStarted(**place, evaluator="e", task_id=f"{candidate}{attempt}"))
        outcome = self.values(self.engine.by_id[candidate].number)
        if isinstance(outcome, EndReason):
            self.engine.handle(AttemptEnded(**place, reason=outcome, message="x"))
        else:
            metrics = {} if outcome is None else dict(zip(("error", "cost"), outcome, strict=True))
            self.engine.handle(Succeeded(**place, metrics=metrics))
        return True

    def run(self) -> Engine:
        for _ in itertools.takewhile(bool, (self.step() for _ in range(10_000))):
            pass
        return self.engine


def _reason(engine: Engine) -> tuple[str, int]:
    assert engine.finished is not None
    return engine.finished.reason, len(engine.arrivals)


@pytest.mark.parametrize("mode", ["generational", "steadyState"])
@pytest.mark.parametrize("limit", [1, 7, 8, 9, 30])
def test_max_evaluations_is_exact(mode: str, limit: int) -> None:
    engine = _Run(_spec({"maxEvaluations": limit}, mode)).run()
    assert _reason(engine) == ("MaxEvaluations", limit)
    assert len(engine.candidates) == limit


@pytest.mark.parametrize("mode", ["generational", "steadyState"])
def test_max_generations_counts_the_first_population(mode: str) -> None:
    assert _reason(_Run(_spec({"maxGenerations": 3}, mode)).run()) == ("MaxGenerations", 3 * SIZE)


@pytest.mark.parametrize("mode", ["generational", "steadyState"])
def test_a_front_that_does_not_grow_ends_the_search(mode: str) -> None:
    limits = {"maxEvaluations": 400, "stagnation": {"generations": 2, "tolerance": 0.001}}
    still = _Run(_spec(limits, mode), lambda _: (0.5, 0.5)).run()
    assert _reason(still) == ("Stagnated", 3 * SIZE)
    growing = _Run(_spec(limits, mode), lambda number: (0.9 - number / 1000, 0.5)).run()
    assert _reason(growing) == ("MaxEvaluations", 400)


def test_the_deadline_ends_the_search_and_counts_only_active_time() -> None:
    run = _Run(_spec({"maxEvaluations": 100, "activeDeadlineSeconds": 20}))
    for _ in range(10):
        run.step()
    run.engine.handle(Suspended(time=10.0))
    assert not run.engine.decide(1, 5_000.0)
    run.engine.handle(Resumed(time=10_000.0))
    run.now = 10_000.0
    assert run.step(5.0)
    assert run.engine.finished is None
    assert not run.step(6.0)
    assert _reason(run.engine) == ("DeadlineExceeded", 11)


@pytest.mark.parametrize("mode", ["generational", "steadyState"])
def test_too_many_failures_fail_the_search_with_a_sentence(mode: str) -> None:
    engine = _Run(_spec({"maxFailedEvaluations": 2}, mode), lambda _: EndReason.NON_FINITE).run()
    assert engine.state is SearchState.FAILED
    assert engine.finished is not None
    assert engine.finished.reason == "TooManyFailures"
    assert "limits.maxFailedEvaluations" in engine.finished.message


@pytest.mark.parametrize(
    ("reason", "attempts"),
    [
        (EndReason.NON_FINITE, 1),
        (EndReason.EXCEPTION, 3),
        (EndReason.LOST, 3),
        (EndReason.DRAINED, PREEMPTION_LIMIT + 3),
    ],
)
def test_attempts_until_a_candidate_fails_for_good(reason: EndReason, attempts: int) -> None:
    spec = _spec({"maxEvaluations": 1, "maxFailedEvaluations": 5}, backoffLimit=2)
    engine = _Run(spec, lambda _: reason).run()
    (task,) = engine.ledger.tasks.values()
    assert len(task.attempts) == attempts
    assert _reason(engine) == ("MaxEvaluations", 1)


@pytest.mark.parametrize("mode", ["generational", "steadyState"])
def test_a_generation_that_fails_entirely_does_not_end_the_search(mode: str) -> None:
    spec = _spec({"maxEvaluations": 3 * SIZE}, mode, backoffLimit=0)
    engine = _Run(spec, lambda number: EndReason.EXCEPTION if number < SIZE else (0.5, 0.5)).run()
    assert _reason(engine) == ("MaxEvaluations", 3 * SIZE)


def test_an_undefined_objective_keeps_a_candidate_off_the_front_and_from_breeding() -> None:
    engine = _Run(_spec({"maxEvaluations": 4 * SIZE}), lambda number: None if number % 2 else (0.5, 0.5)).run()
    undefined = {c.id for c in engine.candidates if c.number % 2}
    assert not undefined & {engine.candidates[number].id for number in engine.archive.keys}
    assert not undefined & {parent for c in engine.candidates for parent in c.parents}
    assert engine.progress().failed == 0


def test_a_measured_constraint_keeps_a_candidate_off_the_front_but_may_breed() -> None:
    spec = _spec({"maxEvaluations": 4 * SIZE}, constraints=[{"metric": "cost", "max": 0.2}])
    engine = _Run(spec, lambda number: (0.5, 0.3 + number / 100)).run()
    assert engine.archive.keys == []
    assert any(c.parents for c in engine.candidates)
    assert engine.candidates[0].violation == pytest.approx(0.5)


@pytest.mark.parametrize("mode", ["generational", "steadyState"])
def test_a_limit_that_is_lowered_stops_and_one_that_is_raised_goes_on(mode: str) -> None:
    run = _Run(_spec({"maxEvaluations": 60}, mode))
    for _ in range(20):
        run.step()
    run.engine.handle(LimitsChanged(time=run.now, spec=_spec({"maxEvaluations": 20}, mode)))
    assert _reason(run.run()) == ("MaxEvaluations", 20)
    run.engine.handle(LimitsChanged(time=run.now, spec=_spec({"maxEvaluations": 25}, mode)))
    assert _reason(run.run()) == ("MaxEvaluations", 25)
    run.engine.handle(LimitsChanged(time=run.now, spec=_spec({"maxEvaluations": 10}, mode)))
    assert _reason(run.run()) == ("MaxEvaluations", 25)


@pytest.mark.parametrize("mode", ["generational", "steadyState"])
@pytest.mark.parametrize(
    "change",
    [
        {"suspend": True},
        {"evaluators": {"replicas": 7}},
        {"ttlSecondsAfterFinished": 60},
        {"backoffLimit": 9},
        {"limits": {"maxEvaluations": 2 * SIZE - 1}},
        {"limits": {"maxEvaluations": 2 * SIZE, "maxGenerations": 9, "activeDeadlineSeconds": 1}},
    ],
)
def test_what_does_not_let_a_finished_search_go_on_leaves_its_end_alone(mode: str, change: dict[str, Any]) -> None:
    run = _Run(_spec({"maxEvaluations": 2 * SIZE}, mode))
    engine = run.run()
    end, active = engine.finished, engine.watch.active_at(run.now)
    changed = _spec({"maxEvaluations": 2 * SIZE}, mode) | change
    assert engine.stays_finished(changed)
    engine.handle(LimitsChanged(time=run.now + 1000, spec=changed))
    assert (engine.finished, engine.state) == (end, SearchState.COMPLETE)
    assert engine.spec_document == changed
    assert engine.watch.active_seconds <= active
    assert engine.decide(8, run.now + 1001) == ()


def test_time_since_the_end_is_no_reason_to_stay_finished() -> None:
    run = _Run(_spec({"maxEvaluations": SIZE, "activeDeadlineSeconds": 900}))
    engine = run.run()
    raised = _spec({"maxEvaluations": 2 * SIZE, "activeDeadlineSeconds": 900})
    assert not engine.stays_finished(raised)
    engine.handle(LimitsChanged(time=run.now + 5000, spec=raised))
    assert engine.finished is None


def test_a_failed_search_is_looked_at_anew_when_its_limit_is_raised() -> None:
    spec = _spec({"maxEvaluations": SIZE, "maxFailedEvaluations": 2}, backoffLimit=0)
    run = _Run(spec, lambda _: EndReason.EXCEPTION)
    assert run.run().state is SearchState.FAILED
    raised = spec | {"limits": {"maxEvaluations": SIZE, "maxFailedEvaluations": 50}}
    assert not run.engine.stays_finished(raised)
    run.engine.handle(LimitsChanged(time=run.now, spec=raised))
    assert run.run().state is SearchState.COMPLETE


def test_what_a_lowered_limit_leaves_out_is_cancelled() -> None:
    run = _Run(_spec({"maxEvaluations": 60}))
    while decisions := run.engine.decide(8, 0.0):
        for decision in decisions:
            run.engine.handle(decision)
    for ref in run.engine.runnable(8):
        place: dict[str, Any] = {"time": 0.0, "task": ref.kind, "candidate": ref.candidate, "attempt": 1}
        run.engine.handle(AttemptStarted(**place, evaluator="e", task_id=ref.candidate))
    assert run.engine.unwanted() == []
    run.engine.handle(LimitsChanged(time=0.0, spec=_spec({"maxEvaluations": 3})))
    assert run.engine.unwanted() == [c.id for c in run.engine.candidates[3:]]


def test_deciding_changes_nothing() -> None:
    run = _Run(_spec({"maxEvaluations": 60}))
    for _ in range(2 * SIZE):
        run.step()
    first, again = (run.engine.decide(1, run.now) for _ in range(2))
    assert first == again
    assert all(isinstance(event, Proposed) for event in first)
    fresh = Engine.from_document(orjson.loads(orjson.dumps(run.engine.to_document())))
    assert fresh.decide(1, run.now) == first
