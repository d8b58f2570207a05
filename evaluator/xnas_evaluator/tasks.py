"""Which function carries out which kind of task. Torch is imported only when a task needs it."""

from __future__ import annotations

from xnas_core.api.spec import ArchitectureSearchSpec
from xnas_core.errors import InvalidInputError
from xnas_core.tasks import TaskKind, TaskResult
from xnas_evaluator.context import TaskContext


def run(context: TaskContext) -> TaskResult:
    """Carry out the attempt.

    Raises:
        InvalidInputError: the task is not valid (protocol.md §7, InvalidTask).
        TaskCancelledError, NonFiniteError, StoreError, others: see `xnas_evaluator.worker.failures`.
    """
    kind = context.assignment.kind
    if context.spec.benchmark is not None:
        from xnas_evaluator import table

        return table.evaluate(context)
    if kind is TaskKind.EVALUATE:
        from xnas_evaluator import evaluate

        return evaluate.evaluate(context)
    if kind in (TaskKind.FINALISE, TaskKind.EXPLAIN):
        from xnas_evaluator import finalise

        return finalise.finalise(context)
    if kind is TaskKind.REFINE:
        from xnas_evaluator import refine

        return refine.refine(context)
    if kind is TaskKind.CONFIRM:
        from xnas_evaluator import confirm

        return confirm.confirm(context)
    raise InvalidInputError(f"this evaluator cannot carry out tasks of the kind {kind.value!r}; update it")


def warm_up(spec: ArchitectureSearchSpec) -> None:
    """Import what tasks of this search need, so that the first one does not wait for it."""
    if spec.benchmark is None:
        from xnas_evaluator import evaluate, finalise  # noqa: F401  (imported for the effect)
