"""Tasks and their attempts: what runs, what waits, what has ended, and which failures count (protocol.md §6-7)."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from xnas_core.search.sealing import sealed
from xnas_core.search.view import TaskState
from xnas_core.tasks import PREEMPTION_LIMIT, EndReason, FailureClass, TaskKind, classify

RUNNING = "running"
SUCCEEDED = "succeeded"
IGNORED = "ignored"
"""Outcome of an attempt that succeeded after another one had, or after what was asked for had changed."""


class TaskRef(NamedTuple):
    """A task: at most one for each kind and candidate."""

    kind: TaskKind
    candidate: str


@dataclass(slots=True)
class Attempt:
    """One attempt. `outcome` is "running", "succeeded", "ignored" or an EndReason's value."""

    number: int
    task_id: str
    evaluator: str
    started: float
    ended: float | None = None
    outcome: str = RUNNING
    message: str = ""


@dataclass(slots=True)
class Task:
    """One task and all its attempts, oldest first.

    Attributes:
        order: place among the tasks of its kind.
        failed: attempts that count against backoffLimit.
        preempted: attempts that ended through no fault of the task.
        requested: someone asked for it; the search would not have done it by itself.
        earlier: so many attempts belong to earlier requests; their results answer another question.
    """

    ref: TaskRef
    order: int
    fidelity: int
    parameters: dict[str, Any] = field(default_factory=dict)
    state: TaskState = TaskState.OPEN
    failed: int = 0
    preempted: int = 0
    requested: bool = False
    earlier: int = 0
    attempts: list[Attempt] = field(default_factory=list)
    sealed: bytes | None = None
    """The task as JSON, while it runs and once it is closed; None after other changes. It makes snapshots cheap."""

    def attempt(self, number: int) -> Attempt | None:
        """Return an attempt by its number, or None if there was none."""
        return self.attempts[number - 1] if 1 <= number <= len(self.attempts) else None

    def running(self) -> Attempt | None:
        """Return the attempt that runs: the last one, or none."""
        return self.attempts[-1] if self.attempts and self.attempts[-1].outcome == RUNNING else None

    def succeeded_attempt(self) -> int | None:
        """Return the number of the attempt whose result was taken last."""
        return next((a.number for a in reversed(self.attempts) if a.outcome == SUCCEEDED), None)


# Someone waits for an explanation that was asked for; evaluations come before the work of the end.
_PRIORITY = {
    TaskKind.EXPLAIN: 0,
    TaskKind.REFINE: 0,
    TaskKind.EVALUATE: 1,
    TaskKind.FINALISE: 2,
    TaskKind.CONFIRM: 3,
}
_ASKED_ANEW = frozenset({TaskKind.EXPLAIN, TaskKind.REFINE, TaskKind.EVALUATE})
"""Kinds of which each request is another question: other parameters, or, of a retry, after the search's own decisions.
For all others an earlier attempt's result is as good."""


class Ledger:
    """All tasks of a search."""

    def __init__(self) -> None:
        self.tasks: dict[TaskRef, Task] = {}
        self.preempted_attempts = 0
        self._waiting: dict[TaskRef, None] = {}
        self._running: dict[TaskRef, None] = {}
        self._in_vain: dict[TaskRef, None] = {}  # those of _running whose result nobody would use
        self._open: dict[TaskKind, dict[TaskRef, None]] = {kind: {} for kind in TaskKind}
        self._asked_for: dict[TaskRef, None] = {}  # those of _open that someone asked for

    def open(
        self,
        ref: TaskRef,
        order: int,
        fidelity: int,
        parameters: dict[str, Any] | None = None,
        *,
        requested: bool = False,
    ) -> None:
        """Make a task wait for an attempt; one that has ended is opened again, with its failures forgiven."""
        task = self.tasks.get(ref)
        if task is None:
            task = self.tasks[ref] = Task(ref, order, fidelity)
        elif task.state is TaskState.OPEN:
            return
        task.state, task.failed, task.preempted, task.sealed = TaskState.OPEN, 0, 0, None
        task.fidelity, task.parameters = fidelity, dict(parameters or {})
        task.requested = requested
        if requested and ref.kind in _ASKED_ANEW:
            task.earlier = len(task.attempts)
        self._open[ref.kind][ref] = None
        if requested:
            self._asked_for[ref] = None
        running = task.running()
        if running is None:
            self._waiting[ref] = None
        elif running.number > task.earlier:
            self._in_vain.pop(ref, None)

    def start(self, ref: TaskRef, number: int, task_id: str, evaluator: str, time: float) -> None:
        """Record that an attempt was given to an evaluator."""
        task = self.tasks[ref]
        task.attempts.append(Attempt(number, task_id, evaluator, time))
        task.sealed = sealed(_document(task))
        self._waiting.pop(ref, None)
        self._running[ref] = None

    def succeed(self, ref: TaskRef, number: int, time: float) -> bool:
        """Take a result; return False if it is not the first one, or comes from nowhere (protocol.md §6.5)."""
        task = self.tasks.get(ref)
        attempt = task.attempt(number) if task else None
        if task is None or attempt is None:
            return False
        if task.state is TaskState.OPEN and number > task.earlier:
            attempt.outcome, attempt.ended = SUCCEEDED, time
            self._close(task, TaskState.SUCCEEDED)
            return True
        if attempt is task.running():
            attempt.outcome, attempt.ended = IGNORED, time
            self._runs_no_more(task)
        return False

    def _runs_no_more(self, task: Task) -> None:
        task.sealed = None
        self._running.pop(task.ref, None)
        self._in_vain.pop(task.ref, None)
        if task.state is TaskState.OPEN:
            self._waiting[task.ref] = None

    def end(self, ref: TaskRef, number: int, reason: EndReason, message: str, time: float, backoff_limit: int) -> bool:
        """Record that a running attempt ended without a result; return whether the task has failed for good by it."""
        task = self.tasks.get(ref)
        attempt = task.running() if task else None
        if task is None or attempt is None or attempt.number != number:
            return False
        attempt.outcome, attempt.message, attempt.ended = reason.value, message, time
        self._runs_no_more(task)
        if task.state is not TaskState.OPEN or number <= task.earlier:
            return False
        end = classify(reason)
        if end is FailureClass.PREEMPTED:
            task.preempted += 1
            self.preempted_attempts += 1
        counts = end is FailureClass.FAILED or (end is FailureClass.PREEMPTED and task.preempted > PREEMPTION_LIMIT)
        task.failed += counts
        if end is FailureClass.FINAL or task.failed > backoff_limit:
            self._close(task, TaskState.FAILED)
            return True
        return False

    def _close(self, task: Task, state: TaskState) -> None:
        task.state = state
        task.sealed = sealed(_document(task))
        self._waiting.pop(task.ref, None)
        self._open[task.ref.kind].pop(task.ref, None)
        self._asked_for.pop(task.ref, None)
        if task.running() is None:
            self._running.pop(task.ref, None)
        else:
            self._in_vain[task.ref] = None

    def running(self) -> Iterator[Task]:
        """Yield the tasks that have a running attempt, whatever has become of the task, oldest attempt first."""
        return (self.tasks[ref] for ref in list(self._running))

    def doubtful(self) -> Iterator[Task]:
        """Yield those of `running` that are in vain, or that someone asked for: a few, however many run."""
        return (self.tasks[ref] for ref in {**self._in_vain, **self._asked_for} if ref in self._running)

    def in_vain(self, task: Task) -> bool:
        """Return whether nobody would use the running attempt's result: another one was taken, or asked for."""
        return task.ref in self._in_vain

    def running_count(self, kind: TaskKind) -> int:
        """Return the number of running attempts of a kind."""
        return sum(ref.kind is kind for ref in self._running)

    def waiting_count(self, kind: TaskKind) -> int:
        """Return the number of tasks of a kind that wait for a slot and were not asked for."""
        return sum(ref.kind is kind and not self.tasks[ref].requested for ref in self._waiting)

    def open_tasks(self, kind: TaskKind) -> Iterator[Task]:
        """Yield the tasks of a kind that have not ended."""
        return (self.tasks[ref] for ref in self._open[kind])

    def asked_for(self) -> Iterator[Task]:
        """Yield the tasks that someone asked for and that have not ended."""
        return (self.tasks[ref] for ref in self._asked_for)

    def all_open(self) -> Iterator[Task]:
        """Yield all tasks that have not ended."""
        return (self.tasks[ref] for refs in self._open.values() for ref in refs)

    def open_count(self, kind: TaskKind) -> int:
        """Return the number of tasks of a kind that have not ended."""
        return len(self._open[kind])

    def waiting(self, limit: int, wanted: Callable[[Task], bool]) -> list[TaskRef]:
        """Return at most `limit` tasks that wait for a slot and are wanted, the most urgent first."""
        tasks = (self.tasks[ref] for ref in self._waiting)
        chosen = heapq.nsmallest(
            limit, (t for t in tasks if wanted(t)), key=lambda t: (_PRIORITY[t.ref.kind], t.order, t.ref.kind.value)
        )
        return [task.ref for task in chosen]

    def to_json(self) -> list[bytes]:
        """Return each task, in the order in which they were opened; see `from_document`."""
        return [task.sealed or sealed(_document(task)) for task in self.tasks.values()]

    @staticmethod
    def from_document(document: list[dict[str, Any]], preempted_attempts: int) -> Ledger:
        """Read what `to_json` wrote, parsed again."""
        ledger = Ledger()
        ledger.preempted_attempts = preempted_attempts
        started: list[tuple[float, TaskRef]] = []
        for entry in document:
            ref = TaskRef(TaskKind(entry["kind"]), entry["candidate"])
            task = Task(
                ref,
                entry["order"],
                entry["fidelity"],
                entry["parameters"],
                TaskState(entry["state"]),
                entry["failed"],
                entry["preempted"],
                entry.get("requested", False),
                entry.get("earlier", 0),
                [Attempt(*attempt) for attempt in entry["attempts"]],
            )
            ledger.tasks[ref] = task
            running = task.running()
            if task.state is not TaskState.OPEN:
                task.sealed = sealed(entry)
            else:
                ledger._open[ref.kind][ref] = None
                if task.requested:
                    ledger._asked_for[ref] = None
                if running is None:
                    ledger._waiting[ref] = None
            if running is not None:
                started.append((running.started, ref))
        ledger._running = {ref: None for _, ref in sorted(started)}
        ledger._in_vain = {
            ref: None
            for ref in ledger._running
            if (task := ledger.tasks[ref]).state is not TaskState.OPEN or len(task.attempts) <= task.earlier
        }
        return ledger


def _document(task: Task) -> dict[str, Any]:
    return {
        "kind": task.ref.kind.value,
        "candidate": task.ref.candidate,
        "order": task.order,
        "fidelity": task.fidelity,
        "parameters": task.parameters,
        "state": task.state.value,
        "failed": task.failed,
        "preempted": task.preempted,
        "requested": task.requested,
        "earlier": task.earlier,
        "attempts": [
            [a.number, a.task_id, a.evaluator, a.started, a.ended, a.outcome, a.message] for a in task.attempts
        ],
    }
