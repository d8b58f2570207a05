"""Protobuf and values: there and back, and what is refused (protocol.md §6.10)."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xnas.v1alpha1 import evaluator_pb2 as pb
from xnas_core import wire
from xnas_core.dispatch import messages as m
from xnas_core.errors import InvalidInputError
from xnas_core.tasks import (
    Assignment,
    EndReason,
    EvaluationConfig,
    Progress,
    TaskFailure,
    TaskKind,
    TaskResult,
    candidate_id,
    task_id,
)

TASK = task_id("s", TaskKind.EVALUATE, candidate_id("x"), 1, 1)
RESULT = TaskResult(
    task_id=TASK, kind=TaskKind.EVALUATE, candidate_id=candidate_id("x"), attempt=1, metrics={"accuracy": 0.5}
)
FAILURE = TaskFailure(
    task_id=TASK,
    kind=TaskKind.EVALUATE,
    candidate_id=candidate_id("x"),
    attempt=1,
    reason=EndReason.LOST,
    message="gone",
)
finite = st.floats(allow_nan=False, allow_infinity=False)


def heard(request: pb.ConnectRequest) -> m.EvaluatorMessage:
    return wire.read_request(request.SerializeToString())


@given(
    st.integers(1, 64).flatmap(
        lambda n: st.tuples(st.just(n), st.lists(st.integers(0, n - 1), max_size=n, unique=True))
    ),
    st.lists(st.text("0123456789abcdef", min_size=24, max_size=24), max_size=5),
)
def test_register_there_and_back(slots: tuple[int, list[int]], ends: list[str]) -> None:
    count, taken = slots
    message = m.Register(
        "host-1",
        count,
        "NVIDIA H100",
        "0.1.0",
        ("dataset/digits",),
        tuple((f"{n:024x}", n) for n in taken),
        tuple(ends),
    )
    assert heard(wire.register(message)) == message


@given(st.dictionaries(st.text(max_size=20), finite, max_size=5), st.integers(0, 1000))
def test_progress_and_results_there_and_back(metrics: dict[str, float], epoch: int) -> None:
    progress = Progress(task_id=TASK, epoch=epoch, epochs=1000, step="training", metrics=metrics)
    assert heard(wire.progress(progress)) == progress
    result = RESULT.model_copy(update={"metrics": metrics})
    assert heard(wire.completed(TASK, wire.to_json(result))) == m.Completed(result)


def test_failures_heartbeats_and_draining_there_and_back() -> None:
    assert heard(wire.failed(FAILURE)) == m.Failed(FAILURE)
    assert heard(wire.heartbeat([TASK])) == m.Heartbeat((TASK,))
    assert heard(wire.draining()) == m.Draining()


ASSIGNMENT = Assignment(
    task_id=TASK,
    kind=TaskKind.FINALISE,
    candidate_id=candidate_id("x"),
    fidelity=3,
    attempt=4,
    encoding="|a~0|",
    graph={"inputShape": [3, 8, 8], "nodes": [["in", "input", [], {}]]},
    seed=2**63 - 1,
    previous_attempts=(3, 2, 1),
    source_attempt=2,
    deadline_seconds=60,
    parameters={"methods": ["saliency"]},
)
WELCOME = m.Welcome(1.5, 60.0, EvaluationConfig(search_id="s", spec={"seed": 1}, spec_digest="0"))


def test_the_servers_messages_there_and_back() -> None:
    said: list[m.ServerMessage] = [
        WELCOME,
        m.Assign.of(1, ASSIGNMENT),
        m.Cancel(TASK),
        m.Drain(0.0),
        m.Drain(2.5),
        m.Ack(TASK),
    ]
    understood = [WELCOME, m.Assigned(1, ASSIGNMENT), m.Cancel(TASK), m.Drain(0.0), m.Drain(2.5), m.Ack(TASK)]
    for one, expected in zip(said, understood, strict=True):
        assert list(wire.read_response(pb.ConnectResponse.FromString(wire.responses([one])))) == [expected]
    assert list(wire.read_response(pb.ConnectResponse.FromString(wire.responses(said)))) == understood


def test_an_assignments_document_is_the_models_own() -> None:
    assert json.loads(m.document(ASSIGNMENT)) == json.loads(ASSIGNMENT.model_dump_json())


def test_sizes_are_bounds_from_above() -> None:
    messages: list[m.ServerMessage] = [WELCOME, m.Assign.of(63, ASSIGNMENT), m.Cancel(TASK), m.Drain(1e9), m.Ack(TASK)]
    for message in messages:
        assert wire.size(message) >= len(wire.responses([message]))


@pytest.mark.parametrize(
    ("slots", "name", "running", "said"),
    [
        (0, "e", [], "0 slots"),
        (65, "e", [], "65 slots"),
        (1, "", [], "evaluator id"),
        (1, "a b", [], "evaluator id"),
        (1, "x" * 129, [], "evaluator id"),
        (1, "e", [TASK, "0" * 24], "2 attempts cannot run in 1 slots"),
    ],
)
def test_an_impossible_register_is_refused_with_a_sentence(
    slots: int, name: str, running: list[str], said: str
) -> None:
    request = pb.ConnectRequest(register=pb.Register(evaluator_id=name, slots=slots, running=running))
    with pytest.raises(wire.MalformedMessageError, match=said):
        heard(request)


def test_too_many_unacknowledged_attempts_are_refused() -> None:
    request = pb.ConnectRequest(register=pb.Register(evaluator_id="e", slots=1, unacknowledged=[TASK] * 5000))
    with pytest.raises(wire.MalformedMessageError, match="too many"):
        heard(request)


def test_an_evaluator_that_does_not_name_slots_is_understood() -> None:
    message = heard(pb.ConnectRequest(register=pb.Register(evaluator_id="e", slots=2, running=[TASK])))
    assert isinstance(message, m.Register)
    assert message.running == ((TASK, None),)


def test_what_is_no_message_is_refused() -> None:
    for data in (b"\xff\xff\xff", b""):
        with pytest.raises(wire.MalformedMessageError):
            wire.read_request(data)
    with pytest.raises(wire.MalformedMessageError, match="not a task id"):
        heard(pb.ConnectRequest(completed=pb.Completed(task_id="../x", result_json=b"{}")))
    with pytest.raises(wire.MalformedMessageError, match="progress"):
        heard(pb.ConnectRequest(progress=pb.Progress(task_id=TASK, metrics={"x": float("nan")})))


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (b"", "not valid"),
        (b"[]", "not valid"),
        (b"{" * 100_000, "not valid"),
        (b" " * (m.MAX_RESULT_BYTES + 1), "over the bound"),
        (RESULT.model_dump_json().replace("0.5", "NaN").encode(), "not valid"),
        (RESULT.model_dump_json().replace('"metrics"', '"metrix"').encode(), "metrix"),
        (RESULT.model_dump_json().replace(TASK, "0" * 24).encode(), "belongs to the attempt"),
        (
            RESULT.model_copy(update={"metrics": {str(n): 0.0 for n in range(300)}}).model_dump_json().encode(),
            "metrics",
        ),
    ],
)
def test_a_result_that_cannot_be_stored_is_rejected_not_fatal(document: bytes, said: str) -> None:
    message = heard(wire.completed(TASK, document))
    assert isinstance(message, m.Rejected)
    assert message.task_id == TASK
    assert said in message.message


OTHER = wire.to_json(FAILURE.model_copy(update={"task_id": "0" * 24}))


@pytest.mark.parametrize("document", [b"", b"{}", b" " * (m.MAX_RESULT_BYTES + 1), OTHER])
def test_a_failure_that_cannot_be_read_is_rejected(document: bytes) -> None:
    message = heard(pb.ConnectRequest(failed=pb.Failed(task_id=TASK, failure_json=document)))
    assert isinstance(message, m.Rejected)


@given(st.binary(max_size=300))
@settings(max_examples=300)
def test_no_bytes_do_more_than_be_refused(data: bytes) -> None:
    with contextlib.suppress(wire.MalformedMessageError):
        wire.read_request(data)
    with contextlib.suppress(InvalidInputError):
        wire.read_result(data)


def test_unreadable_words_of_the_server_are_named() -> None:
    response = pb.ConnectResponse(assign=pb.Assign(slot=0, assignment_json=b"{}"))
    with pytest.raises(wire.MalformedMessageError, match="server's assign"):
        list(wire.read_response(response))
    nested = pb.ConnectResponse(batch=pb.Batch(responses=[pb.ConnectResponse(batch=pb.Batch())]))
    with pytest.raises(wire.MalformedMessageError, match="batch"):
        list(wire.read_response(nested))
    assert list(wire.read_response(pb.ConnectResponse())) == []


def test_long_texts_keep_both_ends() -> None:
    assert m.bounded("short") == "short"
    cut = m.bounded("a" * 5000 + "z" * 5000)
    assert len(cut) == m.MAX_TEXT
    assert cut[0] == "a"
    assert cut[-1] == "z"
