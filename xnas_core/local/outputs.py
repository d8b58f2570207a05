"""What a run leaves in its folder for people: tables and report."""

from __future__ import annotations

from pathlib import Path

from xnas_core.artifacts import keys
from xnas_core.artifacts.folder import FolderStore
from xnas_core.report import publish
from xnas_core.search.view import SearchView


def write_outputs(view: SearchView, store: FolderStore) -> tuple[Path, Path, Path]:
    """Write candidates.parquet, front.csv and report.html; return their paths in this order.

    Args:
        view: the search, without what the retention rule gives up.
        store: its output folder.

    Raises:
        StoreError: one could not be written.
    """
    publish(view, store)
    return store.path(keys.CANDIDATES_TABLE), store.path(keys.FRONT_TABLE), store.path(keys.REPORT)
