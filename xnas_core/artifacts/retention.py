"""Which objects of a candidate outlive their use. One rule, for the store and for what tables and reports list."""

from __future__ import annotations

from dataclasses import replace

from xnas_core.api.spec import Checkpoints
from xnas_core.artifacts import keys
from xnas_core.search.view import CandidateRecord, CandidateState, SearchState, SearchView
from xnas_core.tasks import TaskKind, attempt_prefix


def spent_states(candidate: CandidateRecord) -> list[str]:
    """Return keys of training states that nobody will go on from: those of a finished evaluation."""
    if candidate.state not in (CandidateState.SUCCEEDED, CandidateState.FAILED):
        return []
    return [
        attempt_prefix(candidate.id, TaskKind.EVALUATE, record.attempt) + keys.STATE
        for record in candidate.history
        if record.task is TaskKind.EVALUATE
    ]


def spent_checkpoints(view: SearchView) -> list[str]:
    """Return keys of checkpoints that `artifacts.checkpoints: front` gives up once the search is complete."""
    if view.spec.artifacts.checkpoints is not Checkpoints.FRONT or view.state is not SearchState.COMPLETE:
        return []
    return [
        artifact.key
        for candidate in view.candidates
        if not candidate.on_front
        for artifact in candidate.artifacts
        if artifact.key.endswith((f"/{keys.CHECKPOINT}", f"/{keys.CHECKPOINT_MANIFEST}"))
    ]


def without_spent(view: SearchView) -> SearchView:
    """Return the view with only those artifacts that are kept."""
    spent = set(spent_checkpoints(view))
    return replace(
        view,
        candidates=tuple(
            replace(
                candidate,
                artifacts=tuple(
                    artifact
                    for artifact in candidate.artifacts
                    if artifact.key not in spent and not artifact.key.endswith(f"/{keys.STATE}")
                ),
            )
            for candidate in view.candidates
        ),
    )
