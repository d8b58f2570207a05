"""What a task's end leaves on its candidate: values, artifacts, or why there are none."""

from __future__ import annotations

from xnas_core.search import events as ev
from xnas_core.search.candidates import Candidate
from xnas_core.search.view import StoredArtifact
from xnas_core.tasks import TaskKind, attempt_prefix

OWN_NAMES = {TaskKind.REFINE: "refined_", TaskKind.CONFIRM: "confirmed_"}
"""How the metrics of a kind begin that trains anew: the candidate's scores are those of its evaluation, for ever."""


def take_result(candidate: Candidate, event: ev.Succeeded) -> None:
    """Add what a task has found. The candidate's state is not touched."""
    kind = event.task
    own = OWN_NAMES.get(kind)
    candidate.metrics.update(_named(own, event.metrics))
    candidate.errors.update(_named(own, event.errors))
    prefix = attempt_prefix(candidate.id, kind, event.attempt)
    candidate.artifacts.extend(StoredArtifact(prefix + a.name, a.size, a.sha256) for a in event.artifacts)
    candidate.environment.pop(_failed(kind), None)
    if kind is TaskKind.EVALUATE:
        candidate.environment.update(event.environment)
        candidate.timings.update(event.timings)
        return
    candidate.timings.update({f"{kind.value}_{name}": value for name, value in event.timings.items()})
    if own is None:
        candidate.environment.update(event.environment)
    else:
        candidate.environment.update({f"{kind.value}.{name}": text for name, text in event.environment.items()})


def take_failure(candidate: Candidate, event: ev.AttemptEnded) -> None:
    """Write down why a task failed for good. The candidate's state is not touched."""
    failure = f"{event.reason.value}: {event.message}"
    if event.task is TaskKind.EVALUATE:
        candidate.failure = failure
    else:
        candidate.environment[_failed(event.task)] = failure[:4000]


def _named(own: str | None, values: dict[str, float]) -> dict[str, float]:
    return values if own is None else {name: value for name, value in values.items() if name.startswith(own)}


def _failed(kind: TaskKind) -> str:
    return f"{kind.value}.failed"
