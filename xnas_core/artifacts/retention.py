"""Which objects of a candidate outlive their use. One rule, for the store and for what tables and reports list."""

from __future__ import annotations

from collections.abc import Iterable, Set
from dataclasses import replace

import structlog

from xnas_core.api.spec import Checkpoints
from xnas_core.artifacts import keys
from xnas_core.artifacts.store import ObjectStore
from xnas_core.errors import StoreError
from xnas_core.search.view import CandidateRecord, CandidateState, SearchState, SearchView, TaskState
from xnas_core.tasks import TaskKind, attempt_prefix

_log = structlog.get_logger(__name__)

_TRAINING = frozenset({TaskKind.EVALUATE, TaskKind.REFINE, TaskKind.CONFIRM})
_FAILURES = 3
"""So many deletions may fail before the rest is left: each can take as long as the store's deadline."""


def spent_states(candidate: CandidateRecord) -> list[str]:
    """Return keys of training states that nobody will go on from, once no task of a finished candidate is open."""
    if candidate.state not in (CandidateState.SUCCEEDED, CandidateState.FAILED):
        return []
    return [
        attempt_prefix(candidate.id, record.task, record.attempt) + keys.STATE
        for record in candidate.history
        if record.task in _TRAINING and candidate.tasks.get(record.task) is not TaskState.OPEN
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
        # A refined one was asked for by someone: it stays.
        if f"/{TaskKind.EVALUATE.value}-" in artifact.key
        and artifact.key.endswith((f"/{keys.CHECKPOINT}", f"/{keys.CHECKPOINT_MANIFEST}"))
    ]


def without_spent(view: SearchView) -> SearchView:
    """Return the view with only those artifacts that are kept."""
    given_up = set(spent_checkpoints(view))
    return replace(view, candidates=tuple(_without(candidate, given_up) for candidate in view.candidates))


def _without(candidate: CandidateRecord, given_up: Set[str]) -> CandidateRecord:
    kept = tuple(a for a in candidate.artifacts if a.key not in given_up and not a.key.endswith(f"/{keys.STATE}"))
    # Few candidates have anything to give up, and making them anew is what takes time.
    return candidate if len(kept) == len(candidate.artifacts) else replace(candidate, artifacts=kept)


def spent(view: SearchView) -> list[str]:
    """Return keys of all that the retention rule gives up."""
    return [*spent_checkpoints(view), *(key for candidate in view.candidates for key in spent_states(candidate))]


def remove_spent(view: SearchView, store: ObjectStore) -> None:
    """Remove what the retention rule gives up. Blocks. Harmless when repeated; a failure is only logged."""
    remove(spent(view), store)


def remove(names: Iterable[str], store: ObjectStore) -> None:
    """Delete objects; what cannot be deleted only takes room."""
    failures = 0
    for key in names:
        try:
            store.delete(key)
        except StoreError as error:
            failures += 1
            _log.warning("could not remove an object", key=key, error=str(error))
            if failures == _FAILURES:
                return
