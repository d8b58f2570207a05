"""Events: what the journal holds and the engine's only input (protocol.md §5).

Each is a frozen model with a `kind`; `Event` is their union. Times are seconds since the epoch, in UTC;
the engine uses them for deadlines and tables, never for a choice between candidates.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from xnas_core.tasks import Artifact, EndReason, TaskKind


class _Event(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


DATA_VERSION = "data"
"""Name in `Started.versions` under which the data's digest is kept."""


class Started(_Event):
    """The search was accepted. Always the first event, and only there."""

    kind: Literal["started"] = "started"
    time: float
    search_id: str
    spec: dict[str, Any]
    spec_digest: str
    data_shape: tuple[int, int, int, int]
    """channels, height, width, classes; (3, 32, 32, 10) in benchmark mode unless the space says otherwise."""
    versions: dict[str, str]
    references: dict[str, float] = {}
    """Hypervolume reference values that the data determine, by metric (a table's column: its worst value)."""
    class_names: tuple[str, ...] = ()
    """Of the data, in order; empty where there are none."""

    @property
    def data_digest(self) -> str:
        """Digest of the decoded data set; empty where there is none."""
        return self.versions.get(DATA_VERSION, "")


class LimitsChanged(_Event):
    """Mutable fields of the spec changed (`MUTABLE_FIELDS`); the values are the new, whole ones."""

    kind: Literal["limitsChanged"] = "limitsChanged"
    time: float
    spec: dict[str, Any]


class Suspended(_Event):
    """Nothing new is proposed or assigned until Resumed."""

    kind: Literal["suspended"] = "suspended"
    time: float


class Resumed(_Event):
    """The opposite of Suspended. Also the first event of a process that goes on with a search."""

    kind: Literal["resumed"] = "resumed"
    time: float


class Proposed(_Event):
    """A candidate was proposed. A decision: replay repeats it, never recomputes it."""

    kind: Literal["proposed"] = "proposed"
    time: float
    number: int
    candidate: str
    genes: tuple[int, ...]
    encoding: str
    generation: int
    parents: tuple[str, ...]
    operators: tuple[str, ...]
    parameters: int | None
    macs: int | None


class AttemptStarted(_Event):
    """An attempt at a task was given to an evaluator."""

    kind: Literal["attemptStarted"] = "attemptStarted"
    time: float
    task: TaskKind
    candidate: str
    attempt: int
    evaluator: str
    task_id: str


class Succeeded(_Event):
    """A task succeeded: its first result. Measured values only; static ones are in Proposed."""

    kind: Literal["succeeded"] = "succeeded"
    time: float
    task: TaskKind
    candidate: str
    attempt: int
    metrics: dict[str, float]
    errors: dict[str, float] = {}
    timings: dict[str, float] = {}
    artifacts: tuple[Artifact, ...] = ()
    environment: dict[str, str] = {}


class AttemptEnded(_Event):
    """An attempt ended without a result; the class follows from the reason (`tasks.classify`)."""

    kind: Literal["attemptEnded"] = "attemptEnded"
    time: float
    task: TaskKind
    candidate: str
    attempt: int
    reason: EndReason
    message: str


class TaskRequested(_Event):
    """Someone asked for a task: `explain`, `refine`, or another kind again after it has failed (protocol.md §3)."""

    kind: Literal["taskRequested"] = "taskRequested"
    time: float
    task: TaskKind
    candidate: str
    parameters: dict[str, Any]


class Ticked(_Event):
    """The clock, journalled only when it changes a decision (a deadline has passed)."""

    kind: Literal["ticked"] = "ticked"
    time: float


class Stopped(_Event):
    """No candidate will be proposed any more. A decision; final attempts and `finished` follow."""

    kind: Literal["stopped"] = "stopped"
    time: float
    state: Literal["Complete", "Failed"]
    """What the search will be once everything has settled."""
    reason: str
    message: str


class Finished(_Event):
    """The search ended. A decision: `state` is Complete or Failed."""

    kind: Literal["finished"] = "finished"
    time: float
    state: Literal["Complete", "Failed"]
    reason: str
    message: str


Event = Annotated[
    Started
    | LimitsChanged
    | Suspended
    | Resumed
    | Proposed
    | AttemptStarted
    | Succeeded
    | AttemptEnded
    | TaskRequested
    | Ticked
    | Stopped
    | Finished,
    Field(discriminator="kind"),
]
