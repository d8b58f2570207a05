"""Tasks on demand in the engine: what is possible, what a request changes, and what never changes (protocol.md §3)."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from xnas_core.errors import InvalidInputError, UnknownNameError
from xnas_core.search import events as ev
from xnas_core.search.engine import Engine
from xnas_core.search.ledger import Task, TaskRef
from xnas_core.search.requests import TaskRequest, accept
from xnas_core.search.view import CandidateState, SearchState, TaskState
from xnas_core.search.viewing import record
from xnas_core.tasks import EndReason, TaskKind, derived_seed
from xnas_core.testing.growing_search import GrowingSearch, spec_document

PAIRS: dict[str, Any] = {"pairs": [{"classes": ["3", 8]}]}
SHORT: dict[str, Any] = {"limits": {"maxEvaluations": 18}, "backoffLimit": 0}


def _search(**spec: Any) -> GrowingSearch:
    return GrowingSearch("search", spec_document(**{**SHORT, **spec}))


def _fail(search: GrowingSearch, reason: EndReason = EndReason.WORKER_CRASHED) -> str:
    """Let the next evaluation fail for good; return its candidate."""
    (candidate,) = search.start(1)
    task = search.engine.ledger.tasks[TaskRef(TaskKind.EVALUATE, candidate)]
    _handle(
        search, ev.AttemptEnded, TaskRef(TaskKind.EVALUATE, candidate), len(task.attempts), reason=reason, message="no"
    )
    return candidate


def _handle(search: GrowingSearch, kind: Any, ref: TaskRef, attempt: int, **fields: Any) -> None:
    event = kind(time=search.events[-1].time + 1, task=ref.kind, candidate=ref.candidate, attempt=attempt, **fields)
    search.events.append(event)
    search.engine.handle(event)


def _task(search: GrowingSearch, kind: TaskKind, candidate: str) -> Task:
    return search.engine.ledger.tasks[TaskRef(kind, candidate)]


def _proposals(engine: Engine) -> list[Any]:
    return [(c.number, c.id, c.parents, c.operators) for c in engine.candidates]


def _given(explainer: str, **parameters: Any) -> dict[str, Any]:
    return {"explainers": [{"name": explainer, "parameters": parameters}]}


def _off_front(engine: Engine) -> str:
    return next(c.id for c in engine.candidates if c.number not in engine.archive.keys and c.artifacts)


# --- what is possible ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "parameters", "said"),
    [
        (TaskKind.EXPLAIN, {"methods": ["gradcam"]}, 'no explainer "gradcam"; did you mean "gradCam"'),
        (TaskKind.EXPLAIN, {"methods": []}, "methods is wrong"),
        (TaskKind.EXPLAIN, {"samplesPerClass": 0}, "samplesPerClass is wrong"),
        (TaskKind.EXPLAIN, {"samples": 1}, "no parameter 'samples' (known: methods, explainers, samplesPerClass)"),
        (TaskKind.EXPLAIN, _given("gradCam", preferedSide=8), "did you mean 'preferredSide'"),
        (TaskKind.EXPLAIN, _given("gradCam", preferredSide=1), "preferredSide is 1, but must be a whole number 2 to"),
        (TaskKind.EXPLAIN, _given("gradcam"), 'no explainer "gradcam"; did you mean "gradCam"'),
        (TaskKind.EXPLAIN, _given("saliency", budgetMiB=8), "parameters of saliency, which is not asked for"),
        (TaskKind.EXPLAIN, {"explainers": [{"name": "gradCam"}, {"name": "gradCam"}]}, "in explainers twice"),
        (TaskKind.EXPLAIN, {"explainers": [{"parameters": {}}]}, "explainers[0].name is wrong"),
        (TaskKind.REFINE, {}, "pairs is wrong"),
        (TaskKind.REFINE, {"pairs": [{"classes": [1.5, 2]}]}, "pairs[0].classes[0] is wrong"),
        (TaskKind.REFINE, {"pairs": [{"classes": ["cat", "three"]}]}, 'no class "cat"'),
        (TaskKind.REFINE, {**PAIRS, "epochs": 0}, "epochs is wrong"),
        (TaskKind.REFINE, {**PAIRS, "learningRate": float("nan")}, "learningRate is wrong"),
        (TaskKind.REFINE, {"pairs": [object()]}, "no JSON"),
        (TaskKind.EVALUATE, {}, "was scored; a retry is for candidates that failed"),
        (TaskKind.EVALUATE, {"seed": 3}, "no parameter 'seed' (known: none)"),
        (TaskKind.FINALISE, {}, "the search itself does it"),
        (TaskKind.CONFIRM, {}, "the search itself does it"),
    ],
)
def test_what_cannot_be_done_is_refused_with_a_sentence(kind: TaskKind, parameters: Any, said: str) -> None:
    search = _search()
    names = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
    search.engine.started = search.engine.started.model_copy(update={"class_names": names})
    (candidate,) = search.finish(1)
    before = orjson.dumps(search.engine.to_document())
    request = TaskRequest(kind, candidate, parameters)
    with pytest.raises(InvalidInputError) as error:
        accept(search.engine, request, 0.0, explainers={"gradCam", "saliency"})
    assert said in str(error.value)
    assert "\n" not in str(error.value)
    assert orjson.dumps(search.engine.to_document()) == before


def test_only_trained_candidates_that_have_their_checkpoint_can_be_looked_at() -> None:
    search = _search(artifacts={"checkpoints": "front"})
    with pytest.raises(UnknownNameError, match="c000000000000"):
        search.request(TaskKind.EXPLAIN, "c000000000000", {})
    failed = _fail(search)
    with pytest.raises(InvalidInputError, match=r"failed .*retry it first"):
        search.request(TaskKind.EXPLAIN, failed, {})
    (running,) = search.start(1)
    with pytest.raises(InvalidInputError, match="not trained yet"):
        search.request(TaskKind.REFINE, running, PAIRS)
    with pytest.raises(InvalidInputError, match="has not failed for good"):
        search.request(TaskKind.EVALUATE, running, {})
    _handle(search, ev.Succeeded, TaskRef(TaskKind.EVALUATE, running), 1, metrics={"accuracy": 0.5})
    with pytest.raises(InvalidInputError, match="was not kept"):
        search.request(TaskKind.EXPLAIN, running, {})
    search.finish(6)
    other = _off_front(search.engine)
    assert accept(search.engine, TaskRequest(TaskKind.EXPLAIN, other), 0.0) is not None
    search.complete()
    with pytest.raises(InvalidInputError, match=r"artifacts\.checkpoints: all"):
        search.request(TaskKind.EXPLAIN, _off_front(search.engine), {})
    member = search.engine.candidates[search.engine.archive.keys[0]].id
    assert accept(search.engine, TaskRequest(TaskKind.EXPLAIN, member), 0.0) is not None


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"dataset": None, "benchmark": {"table": "t.csv"}}, "a table answers in this search"),
        ({"dataset": None, "objectives": [{"name": "macs", "direction": "minimize"}]}, "trains nothing"),
    ],
)
def test_where_nothing_is_trained_there_is_nothing_to_explain(spec: dict[str, Any], said: str) -> None:
    document = {name: value for name, value in spec_document(**spec).items() if value is not None}
    search = GrowingSearch("search", document)
    search.propose()
    search.finish(1)
    for kind, parameters in ((TaskKind.EXPLAIN, {}), (TaskKind.REFINE, PAIRS)):
        with pytest.raises(InvalidInputError, match=said):
            search.request(kind, search.engine.candidates[0].id, parameters)


def test_a_value_that_was_not_finite_would_come_again() -> None:
    search = _search()
    candidate = _fail(search, EndReason.NON_FINITE)
    with pytest.raises(InvalidInputError, match="the same seed"):
        search.request(TaskKind.EVALUATE, candidate, {})


# --- one task, attempt by attempt ------------------------------------------------------------------------------------


def test_an_open_task_is_one_task_and_an_ended_one_runs_again_with_other_parameters() -> None:
    search = _search()
    (candidate,) = search.finish(1)
    search.request(TaskKind.REFINE, candidate, {**PAIRS, "epochs": 2})
    events = len(search.events)
    search.request(TaskKind.REFINE, candidate, {**PAIRS, "epochs": 2})
    assert len(search.events) == events
    with pytest.raises(InvalidInputError, match="under way with other parameters"):
        search.request(TaskKind.REFINE, candidate, {**PAIRS, "epochs": 3})
    assert search.finish(1) == [candidate], "evaluations went first"
    search.request(TaskKind.REFINE, candidate, {**PAIRS, "epochs": 3})
    assignment = search.engine.assignment(TaskRef(TaskKind.REFINE, candidate))
    assert (assignment.attempt, assignment.previous_attempts, assignment.fidelity) == (2, (), 3)
    assert assignment.parameters["epochs"] == 3
    assert (assignment.source_attempt, assignment.seed) == (1, derived_seed(11, "refine", candidate))


def test_what_an_earlier_request_still_runs_is_cancelled_and_its_result_ignored() -> None:
    search = _search(backoffLimit=3)
    (candidate,) = search.finish(1)
    ref = TaskRef(TaskKind.EXPLAIN, candidate)
    search.request(TaskKind.EXPLAIN, candidate, {"samplesPerClass": 1})
    search.start(1)
    _handle(search, ev.AttemptEnded, ref, 1, reason=EndReason.LOST, message="gone")
    search.start(1)
    _handle(search, ev.Succeeded, ref, 1, metrics={"completeness_delta": 1.0})
    assert _task(search, *ref).state is TaskState.SUCCEEDED
    stale = _task(search, *ref).attempts[1].task_id
    assert search.engine.unwanted() == [stale]
    search.request(TaskKind.EXPLAIN, candidate, {"samplesPerClass": 2})
    assert search.engine.unwanted() == [stale]
    assert not [r for r in search.engine.runnable(99) if r == ref], "it waits until the other one is gone"
    assert search.replayed().unwanted() == [stale]
    _handle(search, ev.Succeeded, ref, 2, metrics={"completeness_delta": 2.0})
    task = _task(search, *ref)
    assert (task.state, task.attempts[1].outcome) == (TaskState.OPEN, "ignored")
    assert search.engine.by_id[candidate].metrics["completeness_delta"] == 1.0
    assert search.engine.runnable(1) == [ref]
    assignment = search.engine.assignment(ref)
    assert (assignment.attempt, assignment.previous_attempts) == (3, ())
    assert assignment.parameters == {"samplesPerClass": 2}


def test_a_late_result_of_a_running_attempt_ends_it() -> None:
    """Otherwise a run that is to stop would wait for it for ever."""
    search = _search(backoffLimit=3)
    (candidate,) = search.start(1)
    ref = TaskRef(TaskKind.EVALUATE, candidate)
    _handle(search, ev.AttemptEnded, ref, 1, reason=EndReason.LOST, message="gone")
    search.start(1)
    for attempt in (1, 2):
        _handle(search, ev.Succeeded, ref, attempt, metrics={"accuracy": 0.5})
    assert not list(search.engine.ledger.running())
    assert search.engine.by_id[candidate].metrics["accuracy"] == 0.5


def test_failures_are_forgiven_and_told_and_forgotten_after_a_success() -> None:
    search = _search()
    (candidate,) = search.finish(1)
    search.request(TaskKind.EXPLAIN, candidate, {})
    search.start(1)
    ref = TaskRef(TaskKind.EXPLAIN, candidate)
    _handle(search, ev.AttemptEnded, ref, 1, reason=EndReason.EXCEPTION, message="boom")
    kept = search.engine.by_id[candidate]
    assert kept.environment["explain.failed"] == "Exception: boom"
    assert record(search.engine, kept.number).tasks[TaskKind.EXPLAIN] is TaskState.FAILED
    assert kept.state is CandidateState.SUCCEEDED
    search.request(TaskKind.EXPLAIN, candidate, {})
    search.finish(1)
    assert "explain.failed" not in kept.environment
    assert record(search.engine, kept.number).tasks[TaskKind.EXPLAIN] is TaskState.SUCCEEDED


def test_a_refinement_changes_no_score() -> None:
    search = _search()
    (candidate,) = search.finish(1)
    kept = search.engine.by_id[candidate]
    values, accuracy = kept.values, kept.metrics["accuracy"]
    search.request(TaskKind.REFINE, candidate, PAIRS)
    search.start(1)
    metrics = {"accuracy": 1.0, "test_accuracy": 1.0, "refined_accuracy": 0.9}
    environment = {"device": "cuda"}
    ref = TaskRef(TaskKind.REFINE, candidate)
    _handle(search, ev.Succeeded, ref, 1, metrics=metrics, errors={"accuracy": 0.5}, environment=environment)
    assert (kept.values, kept.metrics["accuracy"], kept.metrics["refined_accuracy"]) == (values, accuracy, 0.9)
    assert "test_accuracy" not in kept.metrics
    assert kept.errors["accuracy"] == 0.01
    assert (kept.environment["device"], kept.environment["refine.device"]) == ("cpu", "cuda")


# --- after the end ---------------------------------------------------------------------------------------------------


def test_a_search_that_has_ended_stays_so_and_is_not_done_while_a_task_is_open() -> None:
    search = _search()
    search.complete()
    engine, finished = search.engine, search.engine.finished
    assert engine.done
    member = engine.candidates[engine.archive.keys[0]].id
    search.request(TaskKind.REFINE, member, PAIRS)
    assert (engine.state, engine.finished, engine.done) == (SearchState.COMPLETE, finished, False)
    assert (engine.progress().requested, engine.asked_for) == (1, True)
    search.complete()
    assert (engine.state, engine.finished, engine.done) == (SearchState.COMPLETE, finished, True)
    assert engine.progress().requested == 0
    assert sum(isinstance(event, ev.Finished) for event in search.events) == 1


def test_a_search_that_failed_can_be_looked_at() -> None:
    search = _search(limits={"maxEvaluations": 18, "maxFailedEvaluations": 0})
    (candidate,) = search.finish(1)
    failed = _fail(search)
    search.complete()
    engine = search.engine
    assert engine.state is SearchState.FAILED
    search.request(TaskKind.EXPLAIN, candidate, {})
    search.request(TaskKind.EVALUATE, failed, {})
    search.complete()
    assert (engine.state, engine.done) == (SearchState.FAILED, True)
    assert _task(search, TaskKind.EXPLAIN, candidate).state is TaskState.SUCCEEDED
    assert engine.by_id[failed].state is CandidateState.SUCCEEDED


@pytest.mark.parametrize("kind", [TaskKind.FINALISE, TaskKind.CONFIRM])
def test_what_the_search_does_itself_is_repeated_where_it_failed(kind: TaskKind) -> None:
    search = _search(confirmation={"seeds": 2})
    while search.engine.stopped is None:
        search.finish(1)
    ref = next(t.ref for t in search.engine.ledger.open_tasks(kind))
    while search.engine.runnable(1) != [ref]:
        search.finish(1)
    search.start(1)
    _handle(search, ev.AttemptEnded, ref, 1, reason=EndReason.INVALID_TASK, message="no")
    search.complete()
    assert search.engine.state is SearchState.COMPLETE
    parameters = _task(search, *ref).parameters
    search.request(kind, ref.candidate, {})
    assert search.engine.assignment(ref).previous_attempts == (1,), "what it has found before is of use"
    assert search.engine.assignment(ref).parameters == parameters
    search.complete()
    assert _task(search, *ref).state is TaskState.SUCCEEDED
    with pytest.raises(InvalidInputError, match="has succeeded"):
        search.request(kind, ref.candidate, {})


# --- confirmation ----------------------------------------------------------------------------------------------------


def test_the_final_front_is_confirmed_with_seeds_of_their_own_and_time_for_each() -> None:
    search = _search(confirmation={"seeds": 3})
    search.complete()
    engine = search.engine
    confirmed = {ref.candidate for ref in engine.ledger.tasks if ref.kind is TaskKind.CONFIRM}
    assert confirmed == {engine.candidates[number].id for number in engine.archive.keys}
    for candidate in confirmed:
        ref = TaskRef(TaskKind.CONFIRM, candidate)
        seeds = _task(search, *ref).parameters["seeds"]
        assert seeds == [derived_seed(11, "confirm", candidate, k) for k in (1, 2, 3)]
        assert derived_seed(11, "train", candidate) not in seeds
        assignment = engine.assignment(ref)
        assert assignment.deadline_seconds == 3 * engine.spec.limits.evaluation_deadline_seconds
        assert "confirmed_accuracy_mean" in engine.by_id[candidate].metrics
    progress = engine.progress()
    assert (progress.confirming, progress.confirmed) == (len(confirmed), len(confirmed))


def test_a_long_refinement_has_time_in_proportion() -> None:
    search = _search()
    (candidate,) = search.finish(1)
    search.request(TaskKind.REFINE, candidate, {**PAIRS, "epochs": 5})
    assignment = search.engine.assignment(TaskRef(TaskKind.REFINE, candidate))
    assert assignment.deadline_seconds == 2.5 * search.engine.spec.limits.evaluation_deadline_seconds


# --- retries ---------------------------------------------------------------------------------------------------------


def _with_failures(limit: int = 18) -> tuple[GrowingSearch, list[str]]:
    search = _search(limits={"maxEvaluations": limit})
    failed = []
    for _ in range(3):
        search.finish(2)
        failed.append(_fail(search))
    return search, failed


def test_a_retry_waits_for_the_last_evaluation_and_changes_no_decision() -> None:
    plain, _ = _with_failures()
    plain.complete()
    asked, failed = _with_failures()
    asked.request(TaskKind.EVALUATE, failed[0], {})
    retry = TaskRef(TaskKind.EVALUATE, failed[0])
    while asked.engine.stopped is None:
        assert retry not in asked.engine.runnable(99)
        asked.finish(1)
    assert len(asked.engine.candidates) == 18
    assert asked.engine.runnable(99) == [retry], "the front is not final before"
    asked.complete()
    later, _ = _with_failures()
    later.complete()
    later.request(TaskKind.EVALUATE, failed[0], {})
    later.complete()
    assert _proposals(plain.engine) == _proposals(asked.engine) == _proposals(later.engine)
    for search in (asked, later):
        engine = search.engine
        assert engine.by_id[failed[0]].state is CandidateState.SUCCEEDED
        assert engine.by_id[failed[0]].failure == ""
        assert (engine.progress().failed, engine.progress().succeeded) == (2, 16)
        assert sorted(engine.arrivals) == list(range(18))
        assert engine.hypervolumes[-1] == engine.archive.hypervolume
        assert len(engine.hypervolumes) == 18
        for number in engine.archive.keys:
            assert _task(search, TaskKind.FINALISE, engine.candidates[number].id).state is TaskState.SUCCEEDED
    assert asked.engine.archive.keys == later.engine.archive.keys


def test_a_retried_candidate_is_never_a_parent_also_when_limits_are_raised() -> None:
    plain, failed = _with_failures(limit=10)
    asked, _ = _with_failures(limit=10)
    for search in (plain, asked):
        search.complete()
    for candidate in failed:
        asked.request(TaskKind.EVALUATE, candidate, {})
    asked.complete()
    assert all(asked.engine.by_id[candidate].eligible for candidate in failed)
    for search in (plain, asked):
        search.change(spec_document(**{**SHORT, "limits": {"maxEvaluations": 60}}))
        search.complete()
    assert len(asked.engine.candidates) == 60
    assert _proposals(plain.engine) == _proposals(asked.engine)
    assert not set(failed) & {parent for c in asked.engine.candidates for parent in c.parents}


def test_a_retry_that_fails_again_leaves_everything_as_it_was() -> None:
    search, failed = _with_failures()
    search.complete()
    before = (search.engine.archive.keys, search.engine.hypervolumes[:], search.engine.progress())
    search.request(TaskKind.EVALUATE, failed[1], {})
    search.finish(1, fail=True)
    assert search.engine.done
    assert (search.engine.archive.keys, search.engine.hypervolumes, search.engine.progress()) == before
    assert search.engine.by_id[failed[1]].failure.startswith("NonFinite")


def test_raised_limits_make_a_retry_wait_again() -> None:
    search, failed = _with_failures(limit=10)
    search.complete()
    search.request(TaskKind.EVALUATE, failed[0], {})
    search.start(1)
    retry = _task(search, TaskKind.EVALUATE, failed[0])
    search.change(spec_document(**{**SHORT, "limits": {"maxEvaluations": 30}}))
    search.propose()
    running = retry.running()
    assert running is not None
    assert search.engine.unwanted() == [running.task_id]


def test_replay_and_snapshots_come_to_the_same_state_at_every_event() -> None:
    search, failed = _with_failures()
    member = search.engine.candidates[search.engine.archive.keys[0]].id
    search.request(TaskKind.REFINE, member, PAIRS)
    search.request(TaskKind.EVALUATE, failed[2], {})
    search.complete()
    member = search.engine.candidates[search.engine.archive.keys[0]].id
    search.request(TaskKind.EXPLAIN, member, {})
    search.request(TaskKind.EVALUATE, failed[0], {})
    search.complete()
    first = search.events[0]
    assert isinstance(first, ev.Started)
    engine = Engine(first)
    for event in search.events[1:]:
        again = Engine.from_document(orjson.loads(orjson.dumps(engine.to_document())))
        engine.handle(event)
        again.handle(event)
        assert orjson.dumps(again.to_document()) == orjson.dumps(engine.to_document())
        assert again.unwanted() == engine.unwanted()
        assert again.runnable(99) == engine.runnable(99)
    assert orjson.dumps(engine.to_document()) == orjson.dumps(search.engine.to_document())
