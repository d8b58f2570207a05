"""The status of an ArchitectureSearch: what the operator reports. It never grows with the number of candidates."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import AwareDatetime, Field, StringConstraints

from xnas_core.api.base import Model

FRONT_LIMIT = 32
"""Members of the front that the status lists; `frontSize` counts all."""


class ConditionType(StrEnum):
    """Types of condition. True is the good news, except for Failed and SpecChanged."""

    ACCEPTED = "Accepted"
    """The spec was accepted. Unknown until an evaluator has declared the data set, objectives and explainers."""
    EVALUATORS_READY = "EvaluatorsReady"
    """At least one evaluator is connected."""
    PROGRESSING = "Progressing"
    """Evaluations run or are about to."""
    COMPLETE = "Complete"
    """The search ended and its front is final."""
    FAILED = "Failed"
    """The search ended without being able to go on."""
    SUSPENDED = "Suspended"
    """Nothing new is started."""
    SPEC_CHANGED = "SpecChanged"
    """The spec differs from the accepted one, which the search goes on with."""


class ConditionReason(StrEnum):
    """Reasons of conditions, one word for machines."""

    ACCEPTED = "Accepted"
    INVALID_SPEC = "InvalidSpec"
    AWAITING_EVALUATORS = "AwaitingEvaluators"
    EVALUATORS_CONNECTED = "EvaluatorsConnected"
    NO_EVALUATORS = "NoEvaluators"
    EVALUATING = "Evaluating"
    FINALISING = "Finalising"
    SUSPENDED = "Suspended"
    RESUMED = "Resumed"
    FINISHED = "Finished"
    MAX_EVALUATIONS = "MaxEvaluations"
    MAX_GENERATIONS = "MaxGenerations"
    DEADLINE_EXCEEDED = "DeadlineExceeded"
    STAGNATED = "Stagnated"
    SPACE_EXHAUSTED = "SpaceExhausted"
    TOO_MANY_FAILURES = "TooManyFailures"
    STORE_UNAVAILABLE = "StoreUnavailable"
    JOURNAL_CORRUPT = "JournalCorrupt"
    IMMUTABLE_FIELD_CHANGED = "ImmutableFieldChanged"
    SPEC_UNCHANGED = "SpecUnchanged"
    VALIDATING = "Validating"
    NOT_ACCEPTED = "NotAccepted"
    NOT_FINISHED = "NotFinished"
    NOT_FAILED = "NotFailed"
    NOT_SUSPENDED = "NotSuspended"
    NOT_NEEDED = "NotNeeded"
    LOST_OWNERSHIP = "LostOwnership"
    SCALED_TO_ZERO = "ScaledToZero"
    EVALUATORS_STARTING = "EvaluatorsStarting"
    EVALUATORS_FAILING = "EvaluatorsFailing"
    UNSCHEDULABLE = "Unschedulable"
    IMAGE_PULL_FAILED = "ImagePullFailed"
    CONTAINER_CONFIG_INVALID = "ContainerConfigInvalid"
    QUOTA_EXCEEDED = "QuotaExceeded"
    PODS_REFUSED = "PodsRefused"
    QUEUED = "Queued"
    JOB_SUSPENDED = "JobSuspended"
    JOB_CONFLICT = "JobConflict"


class ConditionStatus(StrEnum):
    """Whether a condition holds."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class StateWord(StrEnum):
    """One word for a search, for printing. Those of a running engine are `search.view.SearchState`'s."""

    PENDING = "Pending"
    RUNNING = "Running"
    FINALISING = "Finalising"
    SUSPENDED = "Suspended"
    COMPLETE = "Complete"
    FAILED = "Failed"


Tally = Annotated[int, Field(ge=0, le=2**53 - 1)]


class Condition(Model):
    """One aspect of the search's state, as Kubernetes writes conditions."""

    type: ConditionType
    """What the condition is about."""
    status: ConditionStatus
    """True, False or Unknown."""
    reason: Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[A-Za-z][A-Za-z0-9]*$")]
    """One CamelCase word that says why."""
    message: Annotated[str, StringConstraints(max_length=4096)] = ""
    """A sentence for people."""
    observed_generation: Tally | None = None
    """The metadata.generation that the condition was computed from."""
    last_transition_time: AwareDatetime
    """When the status last changed."""


class EvaluationsStatus(Model):
    """Candidates by state."""

    proposed: Tally = 0
    """All candidates so far."""
    running: Tally = 0
    """Being evaluated now."""
    succeeded: Tally = 0
    """Scored."""
    failed: Tally = 0
    """Failed for good."""
    finished: Tally = 0
    """Scored or failed for good: what limits.maxEvaluations counts."""
    progress: Annotated[str, StringConstraints(max_length=40)] = "0"
    """For printing: finished, and after a slash how many there can be at most, where a limit says so ("12/64")."""
    preempted_attempts: Tally = 0
    """Attempts that ended through no fault of the candidate."""


class EvaluatorsStatus(Model):
    """The pool of evaluators."""

    desired: Tally = 0
    """Evaluators asked for."""
    ready: Tally = 0
    """Evaluators connected."""


class FrontMember(Model):
    """A member of the Pareto front."""

    id: Annotated[str, StringConstraints(min_length=1, max_length=63)]
    """Id of the candidate."""
    values: Annotated[
        dict[Annotated[str, StringConstraints(min_length=1, max_length=63)], float], Field(max_length=8)
    ] = {}
    """Value of each objective, in its own sign."""


class ArchitectureSearchStatus(Model):
    """What is known of the search."""

    observed_generation: Tally | None = None
    """The metadata.generation that this status belongs to."""
    conditions: Annotated[
        list[Condition],
        Field(
            max_length=16,
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
        ),
    ] = []
    """Accepted, EvaluatorsReady, Progressing, Complete, Failed, Suspended, SpecChanged."""
    state: StateWord = StateWord.PENDING
    """One word for printing."""
    evaluations: EvaluationsStatus = EvaluationsStatus()
    """Candidates by state."""
    generation: Tally = 0
    """The newest generation; the first population is 1."""
    hypervolume: Annotated[float, Field(ge=0)] | None = None
    """Hypervolume of the front; absent until there is one."""
    evaluators: EvaluatorsStatus = EvaluatorsStatus()
    """The pool of evaluators."""
    front: Annotated[list[FrontMember], Field(max_length=FRONT_LIMIT)] = []
    """At most 32 members of the front, best first objective first."""
    front_size: Tally = 0
    """Size of the whole front."""
    artifacts_uri: Annotated[str, StringConstraints(max_length=2048)] | None = None
    """Where the artifacts lie."""
    report_uri: Annotated[str, StringConstraints(max_length=2048)] | None = None
    """Where the report lies."""
    start_time: AwareDatetime | None = None
    """When the search was accepted."""
    completion_time: AwareDatetime | None = None
    """When it ended."""
