"""A search and its candidates as JSON documents: what `--json` prints."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from xnas_core.artifacts.keys import REPORT
from xnas_core.search.view import CandidateRecord, SearchSummary, SearchView

if TYPE_CHECKING:
    from xnas_core.cli.tables import Fronted


def search_document(view: SearchSummary, folder: Path | None = None) -> dict[str, Any]:
    """Return the search with its front, without the other candidates. Times: seconds since the epoch."""
    document: dict[str, Any] = {
        "searchId": view.search_id,
        "name": view.name,
        "state": view.state.value,
        "reason": view.reason,
        "message": view.message,
        "generation": view.generation,
        "evaluations": {
            "proposed": view.proposed,
            "running": view.running,
            "succeeded": view.succeeded,
            "failed": view.failed,
            "limit": view.spec.limits.max_evaluations,
        },
        "objectives": [
            {"name": objective.name, "metric": objective.metric_name, "direction": objective.direction.value}
            for objective in view.spec.objectives
        ],
        "hypervolume": view.hypervolume if view.reference_point is not None else None,
        "referencePoint": list(view.reference_point) if view.reference_point is not None else None,
        "frontSize": len(view.front),
        "front": [brief_document(view, member) for member in view.candidates],
        "startedAt": view.started_at,
        "finishedAt": view.finished_at,
    }
    if folder is not None:
        document["folder"] = str(folder)
        document["report"] = str(folder / REPORT) if (folder / REPORT).is_file() else None
    return document


def brief_document(view: Fronted, candidate: CandidateRecord) -> dict[str, Any]:
    """Return what tables show of a candidate."""
    return {
        "id": candidate.id,
        "number": candidate.number,
        "arch": candidate.arch,
        "state": candidate.state.value,
        "onFront": candidate.on_front,
        "generation": candidate.generation,
        "parents": list(candidate.parents),
        "objectives": _objectives(view, candidate),
        "metrics": dict(candidate.metrics),
        "errors": dict(candidate.errors),
    }


def candidate_document(view: SearchView, candidate: CandidateRecord) -> dict[str, Any]:
    """Return everything that is known of a candidate."""
    return {
        **brief_document(view, candidate),
        "genes": list(candidate.genes),
        "operators": list(candidate.operators),
        "violation": candidate.violation,
        "failure": candidate.failure or None,
        "attempts": candidate.attempts,
        "history": [
            {
                "task": attempt.task.value,
                "attempt": attempt.attempt,
                "evaluator": attempt.evaluator,
                "started": attempt.started,
                "ended": attempt.ended,
                "outcome": attempt.outcome,
                "message": attempt.message,
            }
            for attempt in candidate.history
        ],
        "timings": dict(candidate.timings),
        "environment": dict(candidate.environment),
        "artifacts": [{"key": a.key, "size": a.size, "sha256": a.sha256} for a in candidate.artifacts],
        "proposedAt": candidate.proposed_at,
        "finishedAt": candidate.finished_at,
    }


def _objectives(view: Fronted, candidate: CandidateRecord) -> dict[str, float | None]:
    names = [objective.name for objective in view.spec.objectives]
    return dict(zip(names, candidate.objectives, strict=True))
