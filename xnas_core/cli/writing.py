"""Write a search.yaml, but only one that is valid."""

from __future__ import annotations

import contextlib
import secrets
from pathlib import Path

from xnas_core.api.problems import errors
from xnas_core.api.template import Choices, render
from xnas_core.api.validate import validate_file
from xnas_core.errors import InvalidInputError, StoreError


def write_search(choices: Choices, file: Path, *, replace: bool) -> None:
    """Write the file whole or not at all.

    Raises:
        InvalidInputError: the file exists and `replace` is False, or a choice is wrong (the message is the
            validator's, without the line, as nobody has seen that file).
        StoreError: the folder is missing or read-only, or its disk is full.
    """
    if file.exists() and not replace:
        raise InvalidInputError(f"{file} exists; choose another name, or replace it with --force")
    draft = file.parent / f".{file.name}.{secrets.token_hex(4)}.tmp"
    try:
        draft.write_text(render(choices), encoding="utf-8")
        wrong = errors(validate_file(draft))
        if wrong:
            raise InvalidInputError("; ".join(f"{problem.field}: {problem.message}" for problem in wrong))
        draft.replace(file)
    except OSError as error:
        raise StoreError(
            f"cannot write {file}: {error.strerror or error}; choose another folder, or free some space"
        ) from error
    finally:
        with contextlib.suppress(OSError):
            draft.unlink()
