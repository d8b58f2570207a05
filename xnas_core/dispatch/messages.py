"""What server and evaluator say to each other, as values; `xnas_core.wire` maps them to and from protobuf."""

from __future__ import annotations

from dataclasses import dataclass

import orjson
from pydantic import ValidationError

from xnas_core.tasks import Assignment, DataDescription, EvaluationConfig, Progress, TaskFailure, TaskResult

MAX_MESSAGE_BYTES = 4 * 1024 * 1024
"""Bound of one gRPC message (protocol.md §6.10)."""
MAX_RESULT_BYTES = 1024 * 1024
"""Bound of one result.json (protocol.md §6.10)."""
MAX_SLOTS = 64
"""Bound of an evaluator's slot count (protocol.md §6.10)."""
MAX_TEXT = 4000
"""Bound of a text, in characters (protocol.md §6.10)."""


def bounded(text: str) -> str:
    """Return the text, its middle left out where it is over the bound."""
    if len(text) <= MAX_TEXT:
        return text
    mark = "\n[...]\n"
    head = (MAX_TEXT - len(mark)) // 4
    return text[:head] + mark + text[-(MAX_TEXT - len(mark) - head) :]


def explain(error: ValidationError) -> str:
    """Return the first mistakes of a failed validation as one line."""
    return "; ".join(f"{'.'.join(map(str, e['loc'])) or 'document'}: {e['msg']}" for e in error.errors()[:3])


@dataclass(frozen=True, slots=True)
class Register:
    """First message of a stream: who the evaluator is and what it holds (protocol.md §6.2).

    Attributes:
        running: task id and slot of each attempt that runs now; the slot is None when the evaluator did not say.
        unacknowledged: task ids of attempts whose end it will send again.
    """

    evaluator: str
    slots: int
    device: str = "cpu"
    version: str = ""
    capabilities: tuple[str, ...] = ()
    running: tuple[tuple[str, int | None], ...] = ()
    unacknowledged: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """The evaluator is alive and runs these attempts."""

    running: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Completed:
    """An attempt succeeded."""

    result: TaskResult


@dataclass(frozen=True, slots=True)
class Failed:
    """An attempt ended without a result."""

    failure: TaskFailure


@dataclass(frozen=True, slots=True)
class Rejected:
    """A Completed or Failed that broke a bound or could not be read; `message` says why (protocol.md §7, BadResult)."""

    task_id: str
    message: str


@dataclass(frozen=True, slots=True)
class Draining:
    """The evaluator takes nothing new."""


@dataclass(frozen=True, slots=True)
class Described:
    """Answer to Describe: the description, or why there is none.

    Attributes:
        error: a sentence for the author of the search; "" if there is a description.
        transient: the error may pass; otherwise the search cannot run as it is.
    """

    description: DataDescription | None
    error: str = ""
    transient: bool = False


EvaluatorMessage = Register | Heartbeat | Progress | Completed | Failed | Rejected | Draining | Described


@dataclass(frozen=True, slots=True)
class Welcome:
    """Answer to Register: the lease and what there is to know of the search."""

    heartbeat_seconds: float
    grace_seconds: float
    config: EvaluationConfig


@dataclass(frozen=True, slots=True)
class Assign:
    """Run this attempt in this slot.

    Attributes:
        document: the assignment as JSON. The server keeps it until the attempt ends, to send it again; as bytes
            it costs the garbage collector nothing, where 1,000 graphs as objects cost it 0.1 s a round.
    """

    slot: int
    task_id: str
    document: bytes

    @classmethod
    def of(cls, slot: int, assignment: Assignment) -> Assign:
        """Return the message that carries the assignment."""
        return cls(slot, assignment.task_id, document(assignment))


def document(assignment: Assignment) -> bytes:
    """Return the assignment as JSON. Four times as fast as the model's own method, since it is mostly the graph."""
    return orjson.dumps(dict(assignment))


@dataclass(frozen=True, slots=True)
class Assigned:
    """Assign as its evaluator reads it."""

    slot: int
    assignment: Assignment


@dataclass(frozen=True, slots=True)
class Cancel:
    """End this attempt without a result."""

    task_id: str


@dataclass(frozen=True, slots=True)
class Drain:
    """Take nothing new; finish what runs within so many seconds, hand back the rest."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Ack:
    """The end of this attempt is durable."""

    task_id: str


@dataclass(frozen=True, slots=True)
class Describe:
    """Say what the data of the search are."""


ServerMessage = Welcome | Assign | Cancel | Drain | Ack | Describe
HeardMessage = Welcome | Assigned | Cancel | Drain | Ack | Describe
