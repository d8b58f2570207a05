"""Protobuf <-> values for SearchService, for service and SDK: candidates. `wire_searches` has the rest."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import orjson
from google.protobuf.message import DecodeError, Message

from xnas.v1alpha1 import search_pb2 as pb
from xnas_core.api.spec import ArchitectureSearchSpec
from xnas_core.errors import InvalidInputError
from xnas_core.search.view import (
    AttemptRecord,
    CandidateRecord,
    CandidateState,
    HypervolumePoint,
    StoredArtifact,
    TaskState,
)
from xnas_core.service import values as v
from xnas_core.tasks import TaskKind

SERVICE = "xnas.v1alpha1.SearchService"
M = TypeVar("M", bound=Message)
T = TypeVar("T")

_CANDIDATE_STATES = {state: pb.CandidateState.Value(f"CANDIDATE_STATE_{state.name}") for state in CandidateState}
_TASK_KINDS = {kind: pb.TaskKind.Value(f"TASK_KIND_{kind.name}") for kind in TaskKind}
_CANDIDATE_STATE_OF: dict[int, CandidateState] = {number: state for state, number in _CANDIDATE_STATES.items()}
_KIND_OF: dict[int, TaskKind] = {number: kind for kind, number in _TASK_KINDS.items()}
_TASK_STATES = {state: pb.TaskState.Value(f"TASK_STATE_{state.name}") for state in TaskState}
_TASK_STATE_OF: dict[int, TaskState] = {number: state for state, number in _TASK_STATES.items()}


class UnreadableMessageError(InvalidInputError):
    """A message that can't be read; client and server may be of unlike versions."""

    reason = "UnreadableMessage"


def parse(kind: Callable[[], M], data: bytes) -> M:
    """Return the message; raise UnreadableMessageError."""
    message = kind()
    try:
        message.ParseFromString(data)
    except DecodeError as error:
        raise UnreadableMessageError(f"not a {message.DESCRIPTOR.name}: {error}") from error
    return message


def to_json(document: Mapping[str, Any]) -> bytes:
    """Return a JSON document as bytes."""
    return orjson.dumps(document)


def read_json(data: bytes, what: str, limit: int) -> dict[str, Any]:
    """Return a JSON object; `what` names it in the sentence of the InvalidInputError."""
    if len(data) > limit:
        raise InvalidInputError(f"{what} has {len(data)} bytes; at most {limit} are taken")
    try:
        # Not orjson: it takes whole numbers only up to 64 bits, and a manifest is to be refused for what is wrong.
        document = json.loads(data, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise InvalidInputError(f"{what} is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise InvalidInputError(f"{what} has to be a JSON object, not {type(document).__name__}")
    return document


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no number in JSON")


# --- candidates ----------------------------------------------------------------------------------------------------


def candidate(record: CandidateRecord, objectives: Iterable[str]) -> pb.Candidate:
    """Return a candidate; `objectives` are the objectives' names in the spec's order."""
    message = pb.Candidate(
        id=record.id,
        number=record.number,
        genes=record.genes,
        arch=record.arch,
        generation=record.generation,
        parents=record.parents,
        operators=record.operators,
        state=_CANDIDATE_STATES[record.state],
        attempts=record.attempts,
        metrics=record.metrics,
        errors=record.errors,
        violation=record.violation,
        on_front=record.on_front,
        timings=record.timings,
        environment=record.environment,
        failure=record.failure,
        proposed_seconds=record.proposed_at,
        finished_seconds=record.finished_at,
    )
    for name, value in zip(objectives, record.objectives, strict=True):
        message.objectives.add(name=name, value=value)
    for artifact in record.artifacts:
        message.artifacts.add(key=artifact.key, size=artifact.size, sha256=artifact.sha256)
    for kind, state in record.tasks.items():
        message.tasks.add(kind=_TASK_KINDS[kind], state=_TASK_STATES[state])
    for attempt in record.history:
        message.history.add(
            task=_TASK_KINDS[attempt.task],
            attempt=attempt.attempt,
            evaluator=attempt.evaluator,
            started_seconds=attempt.started,
            ended_seconds=attempt.ended,
            outcome=attempt.outcome,
            message=attempt.message,
        )
    return message


def read_candidate(message: pb.Candidate) -> CandidateRecord:
    """Inverse of `candidate`."""
    return CandidateRecord(
        id=message.id,
        number=message.number,
        genes=tuple(message.genes),
        arch=message.arch,
        generation=message.generation,
        parents=tuple(message.parents),
        operators=tuple(message.operators),
        state=known(_CANDIDATE_STATE_OF, message.state, "state of a candidate"),
        attempts=message.attempts,
        metrics=dict(message.metrics),
        errors=dict(message.errors),
        objectives=tuple(o.value if o.HasField("value") else None for o in message.objectives),
        violation=message.violation,
        on_front=message.on_front,
        timings=dict(message.timings),
        artifacts=tuple(StoredArtifact(a.key, a.size, a.sha256) for a in message.artifacts),
        environment=dict(message.environment),
        history=tuple(
            AttemptRecord(
                known(_KIND_OF, a.task, "task kind"),
                a.attempt,
                a.evaluator,
                a.started_seconds,
                a.ended_seconds if a.HasField("ended_seconds") else None,
                a.outcome,
                a.message,
            )
            for a in message.history
        ),
        failure=message.failure,
        proposed_at=message.proposed_seconds,
        finished_at=message.finished_seconds if message.HasField("finished_seconds") else None,
        tasks={
            known(_KIND_OF, t.kind, "task kind"): known(_TASK_STATE_OF, t.state, "state of a task")
            for t in message.tasks
        },
    )


def known(table: Mapping[int, T], number: int, what: str) -> T:
    """Return what a number of an enum stands for; raise UnreadableMessageError where it is new here."""
    if number not in table:
        raise UnreadableMessageError(f"{number} is an unknown {what}; update the package xnas")
    return table[number]


def query(value: v.CandidateQuery) -> tuple[pb.CandidateFilter, pb.CandidateOrder]:
    """Return filter and order of a query."""
    chosen = pb.CandidateFilter(
        states=[_CANDIDATE_STATES[state] for state in value.states],
        on_front=value.on_front,
        min_generation=value.min_generation,
        max_generation=value.max_generation,
        metrics=[pb.MetricRange(metric=r.metric, min=r.min, max=r.max) for r in value.metrics],
        ids=value.ids,
    )
    return chosen, pb.CandidateOrder(metric=value.order_by, descending=value.descending)


def read_query(chosen: pb.CandidateFilter, order: pb.CandidateOrder) -> v.CandidateQuery:
    """Inverse of `query`. Values are checked where the query is used."""
    return v.CandidateQuery(
        states=tuple(known(_CANDIDATE_STATE_OF, state, "state of a candidate") for state in chosen.states),
        on_front=chosen.on_front if chosen.HasField("on_front") else None,
        min_generation=chosen.min_generation if chosen.HasField("min_generation") else None,
        max_generation=chosen.max_generation if chosen.HasField("max_generation") else None,
        metrics=tuple(
            v.MetricRange(r.metric, r.min if r.HasField("min") else None, r.max if r.HasField("max") else None)
            for r in chosen.metrics
        ),
        ids=tuple(chosen.ids) or None,
        order_by=order.metric,
        descending=order.descending,
    )


def read_candidates(message: pb.ListCandidatesResponse) -> v.CandidatePage:
    """Return a page of candidates."""
    return v.CandidatePage(tuple(map(read_candidate, message.candidates)), message.next_page_token, message.total_size)


def read_lineage(message: pb.GetLineageResponse) -> v.Lineage:
    """Return a lineage."""
    members = tuple(v.LineageMember(read_candidate(m.candidate), m.distance) for m in message.members)
    return v.Lineage(members, message.truncated)


def history_point(point: HypervolumePoint) -> pb.HypervolumePoint:
    """Return a point of the hypervolume's history."""
    return pb.HypervolumePoint(
        evaluations=point.evaluations, hypervolume=point.hypervolume, front_size=point.front_size
    )


def read_front(message: pb.GetFrontResponse) -> v.FrontPage:
    """Return a page of the front."""
    return v.FrontPage(
        members=tuple(map(read_candidate, message.members)),
        next_page_token=message.next_page_token,
        size=message.size,
        hypervolume=message.hypervolume,
        reference_point=tuple(message.reference_point) or None,
        evaluations=message.evaluations,
        history=tuple(HypervolumePoint(p.evaluations, p.hypervolume, p.front_size) for p in message.history),
    )


def task_kind(kind: TaskKind) -> pb.TaskKind.ValueType:
    """Return the number of a kind of task."""
    return _TASK_KINDS[kind]


def read_task_kind(number: int) -> TaskKind:
    """Inverse of `task_kind`; raises UnreadableMessageError."""
    return known(_KIND_OF, number, "task kind")


def objective_names(spec: ArchitectureSearchSpec) -> tuple[str, ...]:
    """Return the objectives' names in their order: what `candidate` needs."""
    return tuple(objective.name for objective in spec.objectives)
