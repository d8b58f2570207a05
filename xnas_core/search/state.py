"""The engine's state: plain, mutable, and exactly what a snapshot holds. Only `engine.py` and `ledger.py` change it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from xnas_core.search.events import AttemptStarted, Finished, Started
from xnas_core.search.view import CandidateState
from xnas_core.tasks import Artifact, TaskKind

SCHEMA = 1

TaskKey = tuple[TaskKind, int]
"""Kind and candidate number."""


@dataclass(slots=True)
class Attempt:
    """One attempt at a task; times in seconds since the epoch."""

    attempt: int
    evaluator: str
    task_id: str
    started: float
    ended: float | None = None
    outcome: str = "running"
    message: str = ""


@dataclass(slots=True)
class Task:
    """The ledger's line for one task (protocol.md §6-7)."""

    kind: TaskKind
    candidate: int
    attempts: list[Attempt] = field(default_factory=list)
    failed: int = 0
    preempted: int = 0
    done: str = ""
    """"" while open, "succeeded" or "failed"."""
    result_attempt: int = 0
    parameters: dict[str, Any] = field(default_factory=dict)

    @property
    def running(self) -> Attempt | None:
        """The attempt that runs, if any."""
        return self.attempts[-1] if self.attempts and self.attempts[-1].outcome == "running" else None


@dataclass(slots=True)
class Candidate:
    """A proposed architecture and what is known of it."""

    number: int
    id: str
    genes: tuple[int, ...]
    arch: str
    generation: int
    parents: tuple[str, ...]
    operators: tuple[str, ...]
    metrics: dict[str, float]
    proposed_at: float
    state: CandidateState = CandidateState.PROPOSED
    errors: dict[str, float] = field(default_factory=dict)
    timings: dict[str, float] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    artifacts: list[tuple[str, int, str]] = field(default_factory=list)
    objectives: tuple[float | None, ...] = ()
    violation: float = 0.0
    failure: str = ""
    finished_at: float | None = None


@dataclass(slots=True)
class State:
    """Everything that the events so far have decided."""

    started: Started
    spec: dict[str, Any]
    candidates: list[Candidate] = field(default_factory=list)
    tasks: dict[TaskKey, Task] = field(default_factory=dict)
    population: list[int] = field(default_factory=list)
    generation_closed: int = -1
    """Last generation whose members have been told to the population; -1: none."""
    arrivals: list[int] = field(default_factory=list)
    """Numbers of finished candidates, in the order in which they finished."""
    suspended: bool = False
    stop: str = ""
    """Reason of a stop that the clock caused; it stands until limits change."""
    finished: Finished | None = None
    active_before: float = 0.0
    active_since: float | None = None
    last_time: float = 0.0

    def to_document(self) -> dict[str, Any]:
        """Return a JSON document; `state_from_document` is its inverse."""
        return {
            "schema": SCHEMA,
            "started": self.started.model_dump(),
            "spec": self.spec,
            "candidates": [_candidate_row(c) for c in self.candidates],
            "tasks": [
                [t.kind, t.candidate, t.failed, t.preempted, t.done, t.result_attempt, t.parameters,
                 [[a.attempt, a.evaluator, a.task_id, a.started, a.ended, a.outcome, a.message] for a in t.attempts]]
                for t in self.tasks.values()
            ],
            "population": self.population,
            "generationClosed": self.generation_closed,
            "arrivals": self.arrivals,
            "suspended": self.suspended,
            "stop": self.stop,
            "finished": self.finished.model_dump() if self.finished else None,
            "active": [self.active_before, self.active_since, self.last_time],
        }  # fmt: skip


def _candidate_row(c: Candidate) -> list[Any]:
    return [
        c.number, c.id, c.genes, c.arch, c.generation, c.parents, c.operators, c.metrics, c.proposed_at, c.state,
        c.errors, c.timings, c.environment, c.artifacts, c.objectives, c.violation, c.failure, c.finished_at,
    ]  # fmt: skip


def _candidate(row: list[Any]) -> Candidate:
    (number, id_, genes, arch, generation, parents, operators, metrics, proposed_at, state,
     errors, timings, environment, artifacts, objectives, violation, failure, finished_at) = row  # fmt: skip
    return Candidate(
        number, id_, tuple(genes), arch, generation, tuple(parents), tuple(operators), metrics, proposed_at,
        CandidateState(state), errors, timings, environment, [(k, s, d) for k, s, d in artifacts],
        tuple(objectives), float("inf") if violation is None else violation, failure, finished_at,
    )  # fmt: skip


def state_from_document(document: dict[str, Any]) -> State:
    """Read what `State.to_document` wrote.

    Raises:
        ValueError, KeyError, TypeError: it is not such a document, or of another schema.
    """
    if document["schema"] != SCHEMA:
        raise ValueError(f"snapshot schema {document['schema']!r}, expected {SCHEMA}")
    tasks = {}
    for kind, number, failed, preempted, done, result_attempt, parameters, attempts in document["tasks"]:
        task = Task(TaskKind(kind), number, [], failed, preempted, done, result_attempt, parameters)
        task.attempts = [Attempt(*fields) for fields in attempts]
        tasks[(task.kind, number)] = task
    before, since, last = document["active"]
    return State(
        started=Started.model_validate(document["started"]),
        spec=document["spec"],
        candidates=[_candidate(row) for row in document["candidates"]],
        tasks=tasks,
        population=document["population"],
        generation_closed=document["generationClosed"],
        arrivals=document["arrivals"],
        suspended=document["suspended"],
        stop=document["stop"],
        finished=Finished.model_validate(document["finished"]) if document["finished"] else None,
        active_before=before,
        active_since=since,
        last_time=last,
    )


def artifact_rows(prefix: str, artifacts: tuple[Artifact, ...]) -> list[tuple[str, int, str]]:
    """Return (key, size, digest) of an attempt's artifacts."""
    return [(prefix + artifact.name, artifact.size, artifact.sha256) for artifact in artifacts]


def attempt_of(event: AttemptStarted) -> Attempt:
    """Return the ledger's line for an attempt that starts."""
    return Attempt(event.attempt, event.evaluator, event.task_id, event.time)


