"""Protobuf <-> values: the only mapper. Bounds of protocol.md §6.10 are checked here, on both sides."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from google.protobuf.message import DecodeError
from pydantic import BaseModel, ValidationError

from xnas.v1alpha1 import evaluator_pb2 as pb
from xnas_core.dispatch import messages as m
from xnas_core.errors import InvalidInputError
from xnas_core.tasks import Assignment, DataDescription, EvaluationConfig, Progress, TaskFailure, TaskResult

SERVICE = "xnas.v1alpha1.EvaluatorService"
CONNECT = f"/{SERVICE}/Connect"
GRANT = f"/{SERVICE}/Grant"
GRANT_DATA = f"/{SERVICE}/GrantData"

_EVALUATOR_ID = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")
_TASK_ID = re.compile(r"^[0-9a-f]{24}$")
_MAX_CAPABILITIES = 1024
_MAX_UNACKNOWLEDGED = 4096


class MalformedMessageError(InvalidInputError):
    """A message that the protocol does not allow; the sentence says what is wrong with it."""

    reason = "MalformedMessage"


# --- evaluator -> server -------------------------------------------------------------------------------------------


def register(message: m.Register) -> pb.ConnectRequest:
    """Return the first message of a stream."""
    return pb.ConnectRequest(
        register=pb.Register(
            evaluator_id=message.evaluator,
            slots=message.slots,
            device=message.device,
            version=message.version,
            capabilities=message.capabilities,
            running=[task for task, _ in message.running],
            running_slots=[slot or 0 for _, slot in message.running],
            unacknowledged=message.unacknowledged,
        )
    )


def heartbeat(running: Iterable[str]) -> pb.ConnectRequest:
    """Return a heartbeat."""
    return pb.ConnectRequest(heartbeat=pb.Heartbeat(running=running))


def progress(value: Progress) -> pb.ConnectRequest:
    """Return a sign of life of one attempt."""
    return pb.ConnectRequest(
        progress=pb.Progress(
            task_id=value.task_id,
            epoch=value.epoch,
            epochs=value.epochs,
            step=value.step,
            metrics=value.metrics,
        )
    )


def completed(task_id: str, result_json: bytes) -> pb.ConnectRequest:
    """Return a success; `result_json` is the content of result.json."""
    return pb.ConnectRequest(completed=pb.Completed(task_id=task_id, result_json=result_json))


def failed(failure: TaskFailure) -> pb.ConnectRequest:
    """Return the end of an attempt without a result."""
    return pb.ConnectRequest(failed=pb.Failed(task_id=failure.task_id, failure_json=to_json(failure)))


def draining() -> pb.ConnectRequest:
    """Return the word that nothing new is taken."""
    return pb.ConnectRequest(draining=pb.Draining())


def described(answer: m.Described) -> pb.ConnectRequest:
    """Return the answer to Describe."""
    document = b"" if answer.description is None else to_json(answer.description)
    return pb.ConnectRequest(
        described=pb.Described(description_json=document, error=m.bounded(answer.error), transient=answer.transient)
    )


def read_request(data: bytes) -> m.EvaluatorMessage:
    """Read what an evaluator sent.

    Raises:
        MalformedMessageError: not a message of this protocol, or over a bound. A Completed or Failed whose
            content is not valid is returned as `Rejected` instead, since it ends its attempt.
    """
    try:
        request = pb.ConnectRequest.FromString(data)
    except DecodeError as error:
        raise MalformedMessageError(f"not a ConnectRequest: {error}") from error
    which = request.WhichOneof("message")
    if which == "completed":
        return _read_completed(request.completed)
    if which == "heartbeat":
        return m.Heartbeat(tuple(request.heartbeat.running[: m.MAX_SLOTS]))
    if which == "progress":
        return _read_progress(request.progress)
    if which == "failed":
        return _read_failed(request.failed)
    if which == "register":
        return _read_register(request.register)
    if which == "draining":
        return m.Draining()
    if which == "described":
        return _read_described(request.described)
    raise MalformedMessageError("a ConnectRequest without content; server and evaluator may be of unlike versions")


def _read_register(message: pb.Register) -> m.Register:
    if not _EVALUATOR_ID.match(message.evaluator_id):
        raise MalformedMessageError(
            f"evaluator id {message.evaluator_id[:80]!r} is not valid: use up to 128 letters, digits, '.', '_' and '-'"
        )
    if not 1 <= message.slots <= m.MAX_SLOTS:
        raise MalformedMessageError(f"{message.slots} slots are not possible: use 1 to {m.MAX_SLOTS}")
    if len(message.capabilities) > _MAX_CAPABILITIES or len(message.unacknowledged) > _MAX_UNACKNOWLEDGED:
        raise MalformedMessageError("too many capabilities or unacknowledged attempts in Register")
    if len(message.running) > message.slots:
        raise MalformedMessageError(f"{len(message.running)} attempts cannot run in {message.slots} slots")
    told = len(message.running_slots) == len(message.running)
    slots: Sequence[int | None] = list(message.running_slots) if told else [None] * len(message.running)
    return m.Register(
        evaluator=message.evaluator_id,
        slots=message.slots,
        device=message.device[:200],
        version=message.version[:100],
        capabilities=tuple(message.capabilities),
        running=tuple(zip(message.running, slots, strict=True)),
        unacknowledged=tuple(message.unacknowledged),
    )


def _read_described(message: pb.Described) -> m.Described:
    if message.error or not message.description_json:
        return m.Described(None, m.bounded(message.error) or "the evaluator gave no description", message.transient)
    try:
        return m.Described(DataDescription.model_validate_json(message.description_json))
    except ValidationError as error:
        raise MalformedMessageError(f"the description of the data cannot be read: {m.explain(error)}") from error


def _read_progress(message: pb.Progress) -> Progress:
    try:
        return Progress(
            task_id=message.task_id,
            epoch=message.epoch,
            epochs=message.epochs,
            step=message.step,
            metrics=dict(message.metrics),
        )
    except ValidationError as error:
        raise MalformedMessageError(f"progress of {message.task_id[:40]!r}: {m.explain(error)}") from error


def _check_task_id(task_id: str) -> str:
    if not _TASK_ID.match(task_id):
        raise MalformedMessageError(f"{task_id[:80]!r} is not a task id (24 hexadecimal digits)")
    return task_id


def _read_completed(message: pb.Completed) -> m.Completed | m.Rejected:
    task_id = _check_task_id(message.task_id)
    try:
        result = read_result(message.result_json)
    except InvalidInputError as error:
        return m.Rejected(task_id, m.bounded(str(error)))
    if result.task_id != task_id:
        return m.Rejected(task_id, f"the result belongs to the attempt {result.task_id!r}")
    return m.Completed(result)


def _read_failed(message: pb.Failed) -> m.Failed | m.Rejected:
    task_id = _check_task_id(message.task_id)
    if len(message.failure_json) > m.MAX_RESULT_BYTES:
        return m.Rejected(task_id, f"a failure of {len(message.failure_json)} bytes is over the bound")
    try:
        failure = TaskFailure.model_validate_json(message.failure_json)
    except ValidationError as error:
        return m.Rejected(task_id, f"the failure is not valid: {m.bounded(m.explain(error))[:3000]}")
    if failure.task_id != task_id:
        return m.Rejected(task_id, f"the failure belongs to the attempt {failure.task_id!r}")
    return m.Failed(failure)


def read_result(data: bytes) -> TaskResult:
    """Read the content of a result.json.

    Raises:
        InvalidInputError: over 1 MiB, not JSON, or not a result (unknown fields, NaN ...).
    """
    if len(data) > m.MAX_RESULT_BYTES:
        raise InvalidInputError(f"a result of {len(data)} bytes is over the bound of {m.MAX_RESULT_BYTES}")
    try:
        return TaskResult.model_validate_json(data)
    except ValidationError as error:
        raise InvalidInputError(f"the result is not valid: {m.explain(error)}") from error


def to_json(value: BaseModel) -> bytes:
    """Return a value as JSON, UTF-8."""
    return value.model_dump_json().encode()


# --- server -> evaluator -------------------------------------------------------------------------------------------


def responses(messages: Sequence[m.ServerMessage]) -> bytes:
    """Return one or several messages of the server as one ConnectResponse, serialised."""
    response = pb.ConnectResponse()
    if len(messages) == 1:
        _fill(response, messages[0])
    else:
        # Filled in place: building the parts first would copy every assignment twice.
        for message in messages:
            _fill(response.batch.responses.add(), message)
    return response.SerializeToString()


def size(message: m.ServerMessage) -> int:
    """Return about how many bytes the message has, from above, to keep batches within their bound."""
    if isinstance(message, m.Assign):
        return len(message.document) + 64
    # Welcome carries the spec; it is rare, and simply goes alone.
    return m.MAX_RESULT_BYTES if isinstance(message, m.Welcome) else 128


def _fill(response: pb.ConnectResponse, message: m.ServerMessage) -> None:
    if isinstance(message, m.Ack):
        response.ack.task_id = message.task_id
    elif isinstance(message, m.Assign):
        response.assign.slot = message.slot
        response.assign.assignment_json = message.document
    elif isinstance(message, m.Cancel):
        response.cancel.task_id = message.task_id
    elif isinstance(message, m.Drain):
        # Set also when it is zero, so that the field, and with it the kind of message, is there.
        response.drain.CopyFrom(pb.Drain(seconds=message.seconds))
    elif isinstance(message, m.Describe):
        response.describe.CopyFrom(pb.Describe())
    else:
        response.welcome.heartbeat_seconds = message.heartbeat_seconds
        response.welcome.grace_seconds = message.grace_seconds
        response.welcome.config_json = to_json(message.config)


def read_response(message: pb.ConnectResponse) -> Iterator[m.HeardMessage]:
    """Yield what the server said, in order; unknown content (of a newer server) is left out.

    Raises:
        MalformedMessageError: the content cannot be read.
    """
    which = message.WhichOneof("message")
    try:
        if which == "batch":
            for part in message.batch.responses:
                if part.WhichOneof("message") == "batch":
                    raise MalformedMessageError("a batch inside a batch")
                yield from read_response(part)
        elif which == "ack":
            yield m.Ack(message.ack.task_id)
        elif which == "assign":
            assignment = Assignment.model_validate_json(message.assign.assignment_json)
            yield m.Assigned(message.assign.slot, assignment)
        elif which == "cancel":
            yield m.Cancel(message.cancel.task_id)
        elif which == "drain":
            yield m.Drain(message.drain.seconds)
        elif which == "describe":
            yield m.Describe()
        elif which == "welcome":
            config = EvaluationConfig.model_validate_json(message.welcome.config_json)
            yield m.Welcome(message.welcome.heartbeat_seconds, message.welcome.grace_seconds, config)
    except ValidationError as error:
        raise MalformedMessageError(f"the server's {which} cannot be read: {m.explain(error)}") from error
