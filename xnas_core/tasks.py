"""Tasks, ids, seeds and results: the words that engine, dispatch and evaluator share (protocol.md §2-4, §6-7)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, StringConstraints


class TaskKind(StrEnum):
    """Kinds of task (protocol.md §3)."""

    EVALUATE = "evaluate"
    FINALISE = "finalise"
    EXPLAIN = "explain"
    REFINE = "refine"
    CONFIRM = "confirm"


class FailureClass(StrEnum):
    """What an attempt's end means for the task (protocol.md §7)."""

    FAILED = "failed"
    FINAL = "final"
    PREEMPTED = "preempted"


class EndReason(StrEnum):
    """Evidence for the end of an attempt (protocol.md §7)."""

    EXCEPTION = "Exception"
    NON_FINITE = "NonFinite"
    INVALID_TASK = "InvalidTask"
    DEADLINE_EXCEEDED = "DeadlineExceeded"
    WORKER_CRASHED = "WorkerCrashed"
    OUT_OF_MEMORY = "OutOfMemory"
    WORKER_HUNG = "WorkerHung"
    DEVICE_ERROR = "DeviceError"
    LOST = "Lost"
    EVICTED = "Evicted"
    NODE_LOST = "NodeLost"
    SCALED_DOWN = "ScaledDown"
    DRAINED = "Drained"
    RUN_STOPPED = "RunStopped"
    CANCELLED = "Cancelled"
    STORE_UNAVAILABLE = "StoreUnavailable"
    UNFIT = "EvaluatorUnfit"
    BAD_RESULT = "BadResult"


_FINAL = frozenset({EndReason.NON_FINITE, EndReason.INVALID_TASK})
_PREEMPTED = frozenset(
    {
        EndReason.EVICTED,
        EndReason.NODE_LOST,
        EndReason.SCALED_DOWN,
        EndReason.DRAINED,
        EndReason.RUN_STOPPED,
        EndReason.CANCELLED,
        EndReason.STORE_UNAVAILABLE,
        EndReason.UNFIT,
    }
)
PREEMPTION_LIMIT = 20
"""Preempted attempts of one task beyond which they count as failed (protocol.md §7)."""


def classify(reason: EndReason) -> FailureClass:
    """Return the class of an attempt's end: the table of protocol.md §7."""
    if reason in _FINAL:
        return FailureClass.FINAL
    return FailureClass.PREEMPTED if reason in _PREEMPTED else FailureClass.FAILED


def candidate_id(identity: str) -> str:
    """Return the id that follows from a candidate's identity (protocol.md §2)."""
    return "c" + hashlib.sha256(identity.encode()).hexdigest()[:12]


def task_id(search_id: str, kind: TaskKind, candidate: str, fidelity: int, attempt: int) -> str:
    """Return the id of one attempt at a task (protocol.md §2)."""
    text = "\n".join((search_id, kind.value, candidate, str(fidelity), str(attempt)))
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def _digest(*path: object) -> bytes:
    return hashlib.sha256("/".join(map(str, path)).encode()).digest()


def generator(*path: object) -> np.random.Generator:
    """Return the generator of one purpose, for example `generator(spec.seed, "initial", 0)` (protocol.md §4)."""
    return np.random.default_rng(np.frombuffer(_digest(*path), dtype="<u8"))


def derived_seed(*path: object) -> int:
    """Return the first 63 bits of the path's digest, for example the training seed (protocol.md §4)."""
    return int.from_bytes(_digest(*path)[:8], "big") >> 1


class _Wire(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


Text = Annotated[str, StringConstraints(max_length=4000)]
ObjectName = Annotated[str, StringConstraints(min_length=1, max_length=512, pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]*$")]


class Artifact(_Wire):
    """An object that an attempt wrote: its name below the attempt's prefix, size and digest."""

    name: ObjectName
    size: Annotated[int, Field(ge=0)]
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class Assignment(_Wire):
    """One attempt at a task, as sent to an evaluator.

    Attributes:
        graph: document of the network (`Graph.to_document`); None in benchmark mode.
        encoding: the architecture string; the key of the row in benchmark mode.
        seed: training seed of the task, the same for every attempt.
        previous_attempts: earlier attempts of the same task, newest first, whose training state may be read.
        source_attempt: for all kinds but `evaluate`: the attempt of `evaluate` that succeeded.
        deadline_seconds: wall-clock time for the attempt.
        parameters: of on-demand tasks, and of `confirm` ("seeds": its training seeds).
        data_digest: of the data set that the search was started with (`DataDescription.digest`); empty where there is
            none.
    """

    task_id: str
    kind: TaskKind
    candidate_id: str
    fidelity: int
    attempt: int
    encoding: Text
    graph: dict[str, Any] | None
    seed: int
    previous_attempts: tuple[int, ...] = ()
    source_attempt: int | None = None
    deadline_seconds: int
    parameters: dict[str, Any] = {}
    data_digest: str = ""

    @property
    def prefix(self) -> str:
        """Key prefix of this attempt's objects, with a trailing slash."""
        return attempt_prefix(self.candidate_id, self.kind, self.attempt)

    def result(
        self,
        metrics: Mapping[str, float] = MappingProxyType({}),
        *,
        errors: Mapping[str, float] = MappingProxyType({}),
        timings: Mapping[str, float] = MappingProxyType({}),
        artifacts: Iterable[Artifact] = (),
        environment: Mapping[str, str] = MappingProxyType({}),
        resumed_from_epoch: int = 0,
    ) -> TaskResult:
        """Return the result of this attempt; see TaskResult."""
        return TaskResult(
            task_id=self.task_id,
            kind=self.kind,
            candidate_id=self.candidate_id,
            attempt=self.attempt,
            metrics=dict(metrics),
            errors=dict(errors),
            timings=dict(timings),
            artifacts=tuple(artifacts),
            environment=dict(environment),
            resumed_from_epoch=resumed_from_epoch,
        )

    def failure(self, reason: EndReason, message: str) -> TaskFailure:
        """Return the end of this attempt without a result. ValidationError: the message is over 4,000 characters."""
        return TaskFailure(
            task_id=self.task_id,
            kind=self.kind,
            candidate_id=self.candidate_id,
            attempt=self.attempt,
            reason=reason,
            message=message,
        )


def attempt_prefix(candidate: str, kind: TaskKind, attempt: int) -> str:
    """Return the key prefix of an attempt, with a trailing slash (architecture.md, "Keys")."""
    return f"candidates/{candidate}/{kind.value}-{attempt}/"


class TaskResult(_Wire):
    """What a successful attempt stores as result.json and sends.

    Attributes:
        metrics: value of every metric under its own name, and of every objective under its name. Undefined
            values are left out, never NaN.
        errors: standard error of the estimate, for those metrics that have one.
        timings: seconds, by part ("train_seconds", "metrics_seconds", "wait_seconds" ...).
        artifacts: what was stored, result.json itself not included.
        environment: what it ran on (device, torch version, threads ...), for the report.
        resumed_from_epoch: epoch of the earlier attempt's state that this attempt went on from; 0 if from scratch.
    """

    task_id: str
    kind: TaskKind
    candidate_id: str
    attempt: int
    metrics: Annotated[dict[str, float], Field(max_length=256)] = {}
    errors: Annotated[dict[str, float], Field(max_length=256)] = {}
    timings: Annotated[dict[str, float], Field(max_length=64)] = {}
    artifacts: Annotated[tuple[Artifact, ...], Field(max_length=256)] = ()
    environment: Annotated[dict[str, str], Field(max_length=64)] = {}
    resumed_from_epoch: int = 0


class TaskFailure(_Wire):
    """How an attempt ended without a result."""

    task_id: str
    kind: TaskKind
    candidate_id: str
    attempt: int
    reason: EndReason
    message: Text
    timings: dict[str, float] = {}


class Progress(_Wire):
    """A sign of life of a running attempt; not journalled."""

    task_id: str
    epoch: int
    epochs: int
    step: Text = ""
    metrics: dict[str, float] = {}


class EvaluationConfig(_Wire):
    """What an evaluator needs to know of the search, sent once in Welcome.

    Attributes:
        search_id: identity of the search.
        spec: the accepted spec (`ArchitectureSearchSpec.to_document()`).
        spec_digest: SHA-256 of the spec as canonical JSON.
    """

    search_id: str
    spec: dict[str, Any]
    spec_digest: str


class DataDescription(_Wire):
    """What an evaluator says of the search's data (protocol.md §6.11).

    Attributes:
        shape: channels, height, width, classes; None in benchmark mode.
        digest: SHA-256 of the decoded data, or of the table's bytes.
        ranges: smallest and largest value of each column that an objective names; benchmark mode only.
    """

    shape: tuple[int, int, int, int] | None = None
    class_names: tuple[str, ...] = ()
    train: int = 0
    validation: int = 0
    test: int = 0
    digest: str = ""
    ranges: dict[str, tuple[float, float]] = {}
