"""What is to be done, as evaluators and people are told it: assignments, their seeds and deadlines, and progress."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from xnas_core.search import stopping
from xnas_core.search.events import TaskRequested
from xnas_core.search.ledger import Task, TaskRef
from xnas_core.search.view import SearchProgress, TaskState
from xnas_core.tasks import Assignment, TaskKind, derived_seed, task_id

if TYPE_CHECKING:
    from xnas_core.search.engine import Engine


def wanted(engine: Engine, task: Task) -> bool:
    """Return whether a task's result would still be used."""
    if task.state is not TaskState.OPEN:
        return False
    if task.requested:
        # A retry changes no decision: it waits until none is left to take (protocol.md §3).
        return task.ref.kind is not TaskKind.EVALUATE or engine.stopped is not None
    if engine.stopped is not None and engine.stopped.state == "Failed":
        return False
    if task.ref.kind is not TaskKind.EVALUATE:
        return True
    limit = engine.spec.limits.max_evaluations
    if limit is not None and task.order >= limit:
        return False
    return engine.stopped is None or engine.stopped.reason == stopping.STAGNATED


def unwanted(engine: Engine) -> list[str]:
    """Return the task ids of running attempts that nobody waits for any more."""
    ledger, limit = engine.ledger, engine.spec.limits.max_evaluations
    if engine.stopped is None and (limit is None or len(engine.candidates) <= limit):
        # Then only what the ledger itself knows can be unwanted, and a retry.
        tasks = (t for t in ledger.doubtful() if ledger.in_vain(t) or not wanted(engine, t))
    else:
        tasks = (t for t in ledger.running() if ledger.in_vain(t) or not wanted(engine, t))
    return [attempt.task_id for task in tasks if (attempt := task.running()) is not None]


def make_assignment(engine: Engine, ref: TaskRef) -> Assignment:
    """Return the next attempt at a task, as an evaluator gets it."""
    task, candidate = engine.ledger.tasks[ref], engine.by_id[ref.candidate]
    attempt = len(task.attempts) + 1
    source = engine.ledger.tasks.get(TaskRef(TaskKind.EVALUATE, ref.candidate))
    return Assignment(
        task_id=task_id(engine.started.search_id, ref.kind, ref.candidate, task.fidelity, attempt),
        kind=ref.kind,
        candidate_id=ref.candidate,
        fidelity=task.fidelity,
        attempt=attempt,
        encoding=candidate.encoding,
        graph=None if engine.problem.benchmark else engine.space.graph(candidate.genes).shared_document(),
        seed=training_seed(engine, ref),
        previous_attempts=tuple(range(attempt - 1, task.earlier, -1)),
        source_attempt=source.succeeded_attempt() if source and ref.kind is not TaskKind.EVALUATE else None,
        deadline_seconds=deadline_seconds(engine, task),
        parameters=task.parameters,
        data_digest=engine.started.data_digest,
    )


def training_seed(engine: Engine, ref: TaskRef) -> int:
    """Return the task's training seed (protocol.md §4)."""
    purpose = "refine" if ref.kind is TaskKind.REFINE else "train"
    return derived_seed(engine.problem.seed, purpose, ref.candidate)


def own_parameters(engine: Engine, ref: TaskRef) -> dict[str, Any]:
    """Return the parameters of a task that the search does by itself: training seeds of `confirm` (protocol.md §4)."""
    if ref.kind is not TaskKind.CONFIRM:
        return {}
    path = (engine.problem.seed, "confirm", ref.candidate)
    return {"seeds": [derived_seed(*path, number) for number in range(1, engine.problem.confirmations + 1)]}


def task_fidelity(engine: Engine, event: TaskRequested) -> int:
    """Return the fidelity of a task on demand: epochs, as everywhere."""
    own = engine.problem.fidelity
    return int(event.parameters.get("epochs", own)) if event.task is TaskKind.REFINE else own


def deadline_seconds(engine: Engine, task: Task) -> int:
    """Return the time for one attempt: `evaluationDeadlineSeconds` for each training as long as an evaluation's."""
    trainings = 1.0
    if task.ref.kind is TaskKind.CONFIRM:
        trainings = len(task.parameters["seeds"])
    elif task.ref.kind is TaskKind.REFINE:
        trainings = max(1.0, task.fidelity / max(1, engine.problem.fidelity))
    return math.ceil(engine.spec.limits.evaluation_deadline_seconds * trainings)


def make_progress(engine: Engine) -> SearchProgress:
    """Return how far the search is."""
    late: dict[TaskKind, list[Task]] = {TaskKind.FINALISE: [], TaskKind.CONFIRM: []}
    if engine.stopped:
        for task in engine.ledger.tasks.values():
            if task.ref.kind in late:
                late[task.ref.kind].append(task)
    ended = {kind: sum(task.state is not TaskState.OPEN for task in tasks) for kind, tasks in late.items()}
    return SearchProgress(
        proposed=len(engine.candidates),
        running=engine.ledger.running_count(TaskKind.EVALUATE),
        succeeded=len(engine.arrivals) - engine.failed,
        failed=engine.failed,
        max_evaluations=stopping.proposal_bound(engine.spec.limits, engine.problem.population_size),
        generation=engine.generation,
        front_size=len(engine.archive.keys),
        hypervolume=engine.archive.hypervolume,
        finalising=len(late[TaskKind.FINALISE]),
        finalised=ended[TaskKind.FINALISE],
        confirming=len(late[TaskKind.CONFIRM]),
        confirmed=ended[TaskKind.CONFIRM],
        requested=sum(True for _ in engine.ledger.asked_for()),
    )
