"""Read a search out of its output folder, running or not, without changing anything."""

from __future__ import annotations

from pathlib import Path

from xnas_core.artifacts import keys
from xnas_core.artifacts.retention import without_spent
from xnas_core.errors import InvalidInputError
from xnas_core.local.folder import OutputFolder
from xnas_core.search.recovery import recover
from xnas_core.search.view import SearchView
from xnas_core.search.viewing import view


def open_search(folder: Path) -> SearchView:
    """Return the search in an output folder as its journal has it now.

    Raises:
        InvalidInputError: there is no such folder, or it holds no search.
        IntegrityError: a part of the journal is damaged; it is named.
    """
    if not folder.is_dir() or not (folder / keys.SEARCH).is_file():
        raise InvalidInputError(f"{folder} holds no search; give the --output folder of an `xnas run`")
    output = OutputFolder(folder)
    identity = output.identity()
    engine, _ = recover(output.store)
    if identity is None or engine is None:
        raise InvalidInputError(f"{folder} holds a search that has not begun yet; run `xnas run` again")
    return without_spent(view(engine, identity.name))
