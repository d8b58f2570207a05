"""The trained network that a task begins from: that of its candidate's evaluation."""

from __future__ import annotations

from xnas_core.artifacts.keys import RESULT
from xnas_core.errors import IntegrityError, InvalidInputError
from xnas_core.tasks import TaskKind, TaskResult, attempt_prefix
from xnas_evaluator.checkpoints import Checkpoint
from xnas_evaluator.context import TaskContext
from xnas_evaluator.stored_checkpoint import read_checkpoint


def source_checkpoint(context: TaskContext) -> Checkpoint:
    """Return the checkpoint of `assignment.source_attempt`, every byte of it checked.

    Raises:
        InvalidInputError: there is nothing to load.
        IntegrityError: it is torn or altered; the message names the object.
    """
    source = context.assignment.source_attempt
    if source is None:
        raise InvalidInputError("the assignment names no source attempt, so there is no trained network to load")
    prefix = attempt_prefix(context.assignment.candidate_id, TaskKind.EVALUATE, source)
    result = context.get(TaskKind.EVALUATE, source, RESULT)
    if result is None:
        raise IntegrityError(f"{prefix}{RESULT} is not there, so nothing says what its checkpoint should be")
    try:
        digests = {a.name: a.sha256 for a in TaskResult.model_validate_json(result).artifacts}
    except ValueError as error:
        raise IntegrityError(f"{prefix}{RESULT} is torn or not a result ({error})") from error
    return read_checkpoint(prefix, digests, lambda name: context.get(TaskKind.EVALUATE, source, name))
