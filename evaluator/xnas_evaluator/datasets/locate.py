"""Where the files of a named data set are looked for."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from xnas_core.errors import InvalidInputError


def locate(
    name: str, configured: str | None, system: Sequence[str], complete: Callable[[Path], bool], advice: str
) -> Path:
    """Return the first folder that holds the whole data set.

    Looked for in this order: the folder named in the spec (`dataset.path`) and its subfolder `name`; XNAS_DATA and
    XNAS_DATA/<name>; the system folders. A folder named in the spec has to hold it: nothing else is tried then.

    Args:
        name: the data set's name.
        configured: `dataset.path`, or None.
        system: folders where packages put it.
        complete: whether a folder holds all that is needed.
        advice: what to get, for the error.

    Raises:
        InvalidInputError: it is in none of them; the message says what to get and where to put it.
    """
    environment = os.environ.get("XNAS_DATA")
    if configured is not None:
        folders = [Path(configured), Path(configured) / name]
    else:
        bases = [Path(environment)] if environment else []
        folders = [folder for base in bases for folder in (base, base / name)]
        # A search from a test's own root; empty means the machine's.
        root = os.environ.get("XNAS_SYSTEM_ROOT", "/")
        folders += [Path(root) / folder.lstrip("/") for folder in system]
    for folder in folders:
        if folder.is_dir() and complete(folder):
            return folder
    looked = ", ".join(str(folder) for folder in folders) or "no folder"
    raise InvalidInputError(
        f"data set {name!r} is not on this machine (looked in {looked}): {advice}, and name the folder in "
        "dataset.path or in the environment variable XNAS_DATA"
    )
