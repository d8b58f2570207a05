"""How evaluators from elsewhere join a run: the token lies in a file that only its owner can read."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
from pathlib import Path
from types import TracebackType

from xnas_core.errors import InvalidInputError, StoreError
from xnas_core.local.contract import Level, RunObserver, RunProgress, RunStarted

TOKEN_FILE = ".evaluator-token"
"""In the output folder; begins with a dot, so that a folder with nothing else still counts as empty."""


def read_token(file: Path) -> str:
    """Return the token in a file; raise InvalidInputError if there is none."""
    try:
        token = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInputError(f"the token file {file} cannot be read: {error}") from error
    if not re.fullmatch(r"[!-~]{16,4096}", token):
        raise InvalidInputError(f"the token in {file} must be 16 or more printable characters without spaces")
    return token


class JoiningObserver:
    """Passes everything on; writes the token's file when the run listens, and removes it at the end.

    Args:
        observer: who hears of the run.
        output: the run's folder.
        keep_token: the token came from the user, who has it in a file already.
    """

    def __init__(self, observer: RunObserver, output: Path, *, keep_token: bool) -> None:
        self._observer = observer
        self._output = output
        self._file = None if keep_token else output / TOKEN_FILE

    def __enter__(self) -> JoiningObserver:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.unlink()

    def on_started(self, started: RunStarted) -> None:
        """See RunObserver."""
        self._observer.on_started(started)
        if started.listening is None:
            return
        where = "FILE"
        if self._file is not None and started.token is not None:
            self._write(self._file, started.token)
            where = shlex.quote(str(self._file.absolute()))
        command = f"xnas evaluator --connect {started.listening} --token-file {where}"
        self._observer.on_message("info", f"evaluators join with: {command}")

    def on_progress(self, progress: RunProgress) -> None:
        """See RunObserver."""
        self._observer.on_progress(progress)

    def on_message(self, level: Level, text: str) -> None:
        """See RunObserver."""
        self._observer.on_message(level, text)

    def _write(self, file: Path, token: str) -> None:
        try:
            file.unlink(missing_ok=True)
            descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as opened:
                opened.write(token + "\n")
        except OSError as error:
            raise StoreError(f"cannot write the token to {file}: {error.strerror}") from error
