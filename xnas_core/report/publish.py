"""What a search leaves for people: tables and report, in whatever store the search has."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from xnas_core.artifacts import keys
from xnas_core.artifacts.store import ObjectStore
from xnas_core.report.html import render
from xnas_core.report.tables import candidates_parquet, front_csv
from xnas_core.search.view import SearchView


def outputs(view: SearchView, read: Callable[[str], bytes]) -> Iterator[tuple[str, bytes]]:
    """Yield key and content of candidates.parquet, front.csv and report.html, each made when it is asked for.

    Args:
        view: the search, without what the retention rule gives up.
        read: see `xnas_core.report.html.render`.
    """
    yield keys.CANDIDATES_TABLE, candidates_parquet(view)
    yield keys.FRONT_TABLE, front_csv(view).encode()
    yield keys.REPORT, render(view, read).encode()


def publish(view: SearchView, store: ObjectStore) -> None:
    """Put tables and report beside the search's journal, replacing earlier ones. Blocks.

    Args:
        view: see `outputs`.
        store: of this search: explanation panels are read from it too.

    Raises:
        StoreError: one could not be stored; those before it are.
    """
    for key, data in outputs(view, store.get):
        store.put(key, data)
