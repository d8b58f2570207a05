"""Assignments for tests of dispatch: a candidate is a number, an attempt what follows from it."""

from __future__ import annotations

from xnas_core.tasks import Assignment, TaskKind, candidate_id, task_id


def assignment(
    number: int = 0,
    attempt: int = 1,
    *,
    search_id: str = "s",
    encoding: str | None = None,
    previous: tuple[int, ...] | None = None,
    deadline_seconds: int = 60,
) -> Assignment:
    """Return an attempt to evaluate candidate `number`.

    Args:
        number: the candidate.
        attempt: from 1.
        search_id: the search.
        encoding: None: the number.
        previous: earlier attempts, newest first; None: all of them.
        deadline_seconds: of the attempt.
    """
    candidate = candidate_id(str(number))
    return Assignment(
        task_id=task_id(search_id, TaskKind.EVALUATE, candidate, 1, attempt),
        kind=TaskKind.EVALUATE,
        candidate_id=candidate,
        fidelity=1,
        attempt=attempt,
        encoding=str(number) if encoding is None else encoding,
        graph=None,
        seed=1,
        previous_attempts=tuple(range(attempt - 1, 0, -1)) if previous is None else previous,
        deadline_seconds=deadline_seconds,
    )
