"""Where trained networks are loaded from: an output folder, or a search on a cluster. No transport is known here."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol, runtime_checkable

from xnas_core.errors import InvalidInputError
from xnas_core.local import open_search
from xnas_core.search.view import SearchView


@runtime_checkable
class SearchSource(Protocol):
    """A search to read. `xnas_core.client.SearchClient.search(namespace, name)` is one."""

    def view(self) -> SearchView:
        """Return the search as it is now."""
        ...

    def get(self, key: str) -> bytes:
        """Return an object by its key below the search's root; raise KeyError if it is absent."""
        ...


class FolderSource:
    """The output folder of `xnas run`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def view(self) -> SearchView:
        """See SearchSource.view; raises InvalidInputError where the folder holds no search."""
        return open_search(self._folder)

    def get(self, key: str) -> bytes:
        """See SearchSource.get."""
        try:
            return (self._folder / key).read_bytes()
        except FileNotFoundError:
            raise KeyError(key) from None


def as_source(place: str | Path | SearchSource) -> SearchSource:
    """Return what a folder or a search is read through; raise InvalidInputError for anything else."""
    if isinstance(place, str | Path):
        return FolderSource(Path(place))
    if isinstance(place, SearchSource):
        return place
    raise InvalidInputError(
        f"{type(place).__name__} is neither a folder nor a search; give the output folder of `xnas run`, or "
        "client.search(namespace, name)"
    )
