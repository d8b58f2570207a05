"""A read-only picture of a search: what tables, report, CLI and status are made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from xnas_core.api.spec import ArchitectureSearchSpec
from xnas_core.spaces.base import DataShape, Genes
from xnas_core.tasks import TaskKind


class CandidateState(StrEnum):
    """Lifecycle: proposed -> running -> succeeded | failed; back to proposed when an attempt ends and is retried."""

    PROPOSED = "proposed"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


class TaskState(StrEnum):
    """Lifecycle: open (waits, or has a running attempt) -> succeeded | failed (for good)."""

    OPEN = "open"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


class SearchState(StrEnum):
    """One word for a search."""

    RUNNING = "Running"
    FINALISING = "Finalising"
    SUSPENDED = "Suspended"
    COMPLETE = "Complete"
    FAILED = "Failed"


@dataclass(frozen=True, slots=True)
class StoredArtifact:
    """An object of a candidate: full key below the search's root, size in bytes, SHA-256 (hex)."""

    key: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class AttemptRecord:
    """One attempt. Times: seconds since the epoch.

    `outcome` is "running", "succeeded", "ignored" (it came too late) or an EndReason's value.
    """

    task: TaskKind
    attempt: int
    evaluator: str
    started: float
    ended: float | None
    outcome: str
    message: str


@dataclass(frozen=True, slots=True)
class CandidateRecord:
    """Everything that is known of a candidate.

    Attributes:
        arch: the encoding, as published work writes it.
        attempts: attempts at `evaluate`, preempted ones included.
        metrics: static, measured and final ("test_accuracy") values by name; undefined ones are absent.
        objectives: value of each objective in the spec's order and own sign; None until known.
        errors: standard errors of metrics, where known.
        violation: sum of normalised constraint violations; 0 when all are met.
        on_front: member of the Pareto front of all feasible candidates now.
        failure: why it failed for good; "" otherwise.
        tasks: where each of its tasks stands.
    """

    id: str
    number: int
    genes: Genes
    arch: str
    generation: int
    parents: tuple[str, ...]
    operators: tuple[str, ...]
    state: CandidateState
    attempts: int
    metrics: Mapping[str, float]
    errors: Mapping[str, float]
    objectives: tuple[float | None, ...]
    violation: float
    on_front: bool
    timings: Mapping[str, float]
    artifacts: tuple[StoredArtifact, ...]
    environment: Mapping[str, str]
    history: tuple[AttemptRecord, ...]
    failure: str
    proposed_at: float
    finished_at: float | None
    tasks: Mapping[TaskKind, TaskState] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class HypervolumePoint:
    """Hypervolume of the front after so many finished evaluations."""

    evaluations: int
    hypervolume: float
    front_size: int


@dataclass(frozen=True, slots=True)
class SearchProgress:
    """How far a search is; cheap to make. Numbers count candidates.

    Attributes:
        max_evaluations: how many may be proposed in all; None: no limit.
        finalising: candidates with a `finalise` task; finalised: those whose task has ended.
        confirming: candidates with a `confirm` task; confirmed: those whose task has ended.
        requested: tasks that someone asked for and that have not ended.
    """

    proposed: int
    running: int
    succeeded: int
    failed: int
    max_evaluations: int | None
    generation: int
    front_size: int
    hypervolume: float
    finalising: int
    finalised: int
    confirming: int = field(default=0, kw_only=True)
    confirmed: int = field(default=0, kw_only=True)
    requested: int = field(default=0, kw_only=True)


@dataclass(frozen=True, slots=True)
class SearchView:
    """A search at one moment.

    Attributes:
        candidates: in order of proposal.
        front: candidate ids on the front, best first objective first.
        reference_point: hypervolume reference values in the objectives' own sign; None until known.
        history: hypervolume after each finished evaluation.
        versions: packages by version, as journalled when the search started.
    """

    search_id: str
    name: str
    spec: ArchitectureSearchSpec
    data_shape: DataShape
    state: SearchState
    reason: str
    message: str
    generation: int
    candidates: tuple[CandidateRecord, ...]
    front: tuple[str, ...]
    reference_point: tuple[float, ...] | None
    hypervolume: float
    history: tuple[HypervolumePoint, ...]
    started_at: float
    finished_at: float | None
    versions: Mapping[str, str]

    def summary(self) -> SearchSummary:
        """Return it without the candidates off the front."""
        by_id = {candidate.id: candidate for candidate in self.candidates}
        states = [candidate.state for candidate in self.candidates]
        return SearchSummary(
            search_id=self.search_id,
            name=self.name,
            spec=self.spec,
            state=self.state,
            reason=self.reason,
            message=self.message,
            generation=self.generation,
            proposed=len(states),
            running=states.count(CandidateState.RUNNING),
            succeeded=states.count(CandidateState.SUCCEEDED),
            failed=states.count(CandidateState.FAILED),
            candidates=tuple(by_id[identity] for identity in self.front),
            reference_point=self.reference_point,
            hypervolume=self.hypervolume,
            started_at=self.started_at,
            finished_at=self.finished_at,
        )


@dataclass(frozen=True, slots=True)
class SearchSummary:
    """A search at one moment, with its front and without all other candidates. See SearchView and SearchProgress.

    Attributes:
        candidates: members of the front, best first objective first.
    """

    search_id: str
    name: str
    spec: ArchitectureSearchSpec
    state: SearchState
    reason: str
    message: str
    generation: int
    proposed: int
    running: int
    succeeded: int
    failed: int
    candidates: tuple[CandidateRecord, ...]
    reference_point: tuple[float, ...] | None
    hypervolume: float
    started_at: float
    finished_at: float | None

    @property
    def front(self) -> tuple[str, ...]:
        """Ids of the members."""
        return tuple(candidate.id for candidate in self.candidates)
