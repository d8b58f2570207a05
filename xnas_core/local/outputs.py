"""What a run leaves in its folder for people: tables, report; and what it removes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import structlog

from xnas_core.artifacts import keys
from xnas_core.artifacts.folder import FolderStore
from xnas_core.artifacts.retention import spent_checkpoints, spent_states
from xnas_core.errors import StoreError
from xnas_core.report import write_candidates, write_front, write_report
from xnas_core.search.view import SearchView

_log = structlog.get_logger(__name__)


def write_outputs(view: SearchView, store: FolderStore) -> tuple[Path, Path, Path]:
    """Write candidates.parquet, front.csv and report.html; return their paths in this order.

    Args:
        view: the search, without what the retention rule gives up.
        store: its output folder.

    Raises:
        StoreError: one could not be written.
    """
    paths = tuple(store.root / name for name in (keys.CANDIDATES_TABLE, keys.FRONT_TABLE, keys.REPORT))
    try:
        write_candidates(view, paths[0])
        write_front(view, paths[1])
        write_report(view, store.get, paths[2])
    except OSError as error:
        raise StoreError(f"cannot write the report to {store.root}: {error.strerror or error}") from error
    return paths[0], paths[1], paths[2]


def remove_spent(view: SearchView, store: FolderStore) -> None:
    """Remove what the retention rule gives up. Harmless when repeated; a failure is only logged."""
    spent = [*spent_checkpoints(view), *(key for candidate in view.candidates for key in spent_states(candidate))]
    remove(spent, store.delete)


def remove(spent: list[str], delete: Callable[[str], None]) -> None:
    """Delete objects; what cannot be deleted only takes room."""
    for key in spent:
        try:
            delete(key)
        except StoreError as error:
            _log.warning("could not remove an object", key=key, error=str(error))
