"""The report's account of the run: what failed and was retried, what was run, and on what."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import yaml

from xnas_core.api.base import API_VERSION, KIND
from xnas_core.search.view import CandidateRecord, CandidateState, SearchView
from xnas_core.tasks import EndReason, classify


@dataclass(frozen=True, slots=True)
class EndedAttempts:
    """Attempts that ended without a result for one reason: how many, what that means, one message."""

    reason: str
    kind: str
    meaning: str
    count: int
    candidates: int
    example: str


_MEANING = {"failed": "counts, retried", "final": "final, not retried", "preempted": "does not count, retried"}


def ended_attempts(view: SearchView) -> tuple[EndedAttempts, ...]:
    """Return the attempts that ended without a result, by task and reason, most frequent first."""
    groups: dict[tuple[str, str], list[tuple[CandidateRecord, str]]] = {}
    for candidate in view.candidates:
        for attempt in candidate.history:
            if attempt.outcome not in ("running", "succeeded"):
                groups.setdefault((attempt.task.value, attempt.outcome), []).append((candidate, attempt.message))
    made = []
    for (kind, reason), rows in groups.items():
        known = reason in {member.value for member in EndReason}
        meaning = _MEANING[classify(EndReason(reason)).value] if known else ""
        example = next((message for _, message in rows if message), "")
        made.append(EndedAttempts(reason, kind, meaning, len(rows), len({c.id for c, _ in rows}), example))
    return tuple(sorted(made, key=lambda group: (-group.count, group.kind, group.reason)))


def failed_candidates(view: SearchView) -> list[CandidateRecord]:
    """Return the candidates that failed for good, in order of proposal."""
    return [candidate for candidate in view.candidates if candidate.state is CandidateState.FAILED]


def spec_yaml(view: SearchView) -> str:
    """Return the whole resource, defaults included, as YAML that `xnas run` accepts."""
    document = {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {"name": view.name},
        "spec": view.spec.to_document(),
    }
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=100)


def environments(view: SearchView) -> list[tuple[str, list[tuple[str, int]]]]:
    """Return what candidates ran on: for each property its values with the number of candidates, most first."""
    counts: dict[str, Counter[str]] = {}
    for candidate in view.candidates:
        for name, value in candidate.environment.items():
            counts.setdefault(name, Counter())[value] += 1
    return [(name, sorted(c.items(), key=lambda item: (-item[1], item[0]))) for name, c in sorted(counts.items())]
