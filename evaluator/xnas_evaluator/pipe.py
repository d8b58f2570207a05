"""What agent and worker say to each other: JSON lines over a socket pair, checked like messages from the network."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from xnas_core.tasks import Assignment, EvaluationConfig, Progress, TaskFailure

MAX_LINE_BYTES = 16 * 1024 * 1024
"""Bound of one line: an assignment (4 MiB at most) with every character escaped still fits."""


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Configure(_Message):
    """The search that tasks belong to. Sent before the first Run, and again when it changed."""

    kind: Literal["configure"] = "configure"
    config: EvaluationConfig


class Run(_Message):
    """Carry out an attempt."""

    kind: Literal["run"] = "run"
    assignment: Assignment


class Cancel(_Message):
    """Leave the attempt at its next sign of life."""

    kind: Literal["cancel"] = "cancel"
    task_id: str


class Granted(_Message):
    """Answer to AskGrant or AskData: exactly one of path, url and error is set."""

    kind: Literal["granted"] = "granted"
    number: int
    path: str | None = None
    url: str | None = None
    error: str | None = None


class Pause(_Message):
    """Stop computing at the next sign of life, until Resume: another worker has the exclusive moment."""

    kind: Literal["pause"] = "pause"
    number: int


class Resume(_Message):
    """Go on."""

    kind: Literal["resume"] = "resume"


class Enter(_Message):
    """The exclusive moment is yours until LeaveExclusive."""

    kind: Literal["enter"] = "enter"


ToWorker = Annotated[Configure | Run | Cancel | Granted | Pause | Resume | Enter, Field(discriminator="kind")]


class Ready(_Message):
    """The worker is warm. `device` is what it really has."""

    kind: Literal["ready"] = "ready"
    device: str


class Reported(_Message):
    """A sign of life."""

    kind: Literal["reported"] = "reported"
    progress: Progress


class AskGrant(_Message):
    """Ask for access to one object."""

    kind: Literal["askGrant"] = "askGrant"
    number: int
    task_id: str
    write: bool
    key: str


class AskData(_Message):
    """Ask for access to the search's data set, which lies in a store."""

    kind: Literal["askData"] = "askData"
    number: int
    task_id: str
    uri: str


class Done(_Message):
    """The attempt succeeded and its result.json, whose content this is, is stored."""

    kind: Literal["done"] = "done"
    task_id: str
    result_json: str


class Ended(_Message):
    """The attempt ended without a result. `poisoned`: the process must not be used again (a CUDA error)."""

    kind: Literal["ended"] = "ended"
    failure: TaskFailure
    poisoned: bool = False


class WantExclusive(_Message):
    """The worker asks for the exclusive moment and computes nothing until it has it."""

    kind: Literal["wantExclusive"] = "wantExclusive"


class LeaveExclusive(_Message):
    """The exclusive moment, asked for or had, is over."""

    kind: Literal["leaveExclusive"] = "leaveExclusive"


class Paused(_Message):
    """The worker computes nothing until Resume. `number`: of the Pause that it follows."""

    kind: Literal["paused"] = "paused"
    number: int


ToAgent = Annotated[
    Ready | Reported | AskGrant | AskData | Done | Ended | WantExclusive | LeaveExclusive | Paused,
    Field(discriminator="kind"),
]

_TO_WORKER: TypeAdapter[ToWorker] = TypeAdapter(ToWorker)
_TO_AGENT: TypeAdapter[ToAgent] = TypeAdapter(ToAgent)


def line(message: BaseModel) -> bytes:
    """Return a message as one line."""
    return message.model_dump_json().encode() + b"\n"


def to_worker(data: bytes) -> ToWorker:
    """Read a line of the agent; raises pydantic.ValidationError."""
    return _TO_WORKER.validate_json(data)


def to_agent(data: bytes) -> ToAgent:
    """Read a line of a worker; raises pydantic.ValidationError."""
    return _TO_AGENT.validate_json(data)
