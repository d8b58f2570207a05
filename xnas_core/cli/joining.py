"""How evaluators from elsewhere join a run: the token lies in a file that only its owner can read.

It is the search's token rather than the run's: evaluators wait for the next run where one was stopped or killed.
"""

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

_MOST_CHARACTERS = 4096
_TOKEN = re.compile(rf"[!-~]{{16,{_MOST_CHARACTERS}}}")


def read_token(file: Path) -> str:
    """Return the token in a file; raise InvalidInputError if there is none."""
    try:
        token = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInputError(f"the token file {file} cannot be read: {error}") from error
    if not _TOKEN.fullmatch(token):
        raise InvalidInputError(f"the token in {file} must be 16 or more printable characters without spaces")
    return token


def earlier_token(output: Path) -> str | None:
    """Return the token that an earlier run of the search left in its folder, or None if it left none that is sound."""
    try:
        descriptor = os.open(output / TOKEN_FILE, os.O_RDONLY | os.O_NOFOLLOW)
        with os.fdopen(descriptor, encoding="utf-8") as opened:
            status = os.fstat(opened.fileno())
            private = status.st_uid == os.getuid() and not status.st_mode & 0o077
            token = opened.read(_MOST_CHARACTERS + 2).strip()
    except (OSError, UnicodeDecodeError):
        return None
    return token if private and _TOKEN.fullmatch(token) else None


class JoiningObserver:
    """Passes everything on; writes the token's file when the run listens, and removes it when the search is over.

    Args:
        observer: who hears of the run.
        output: the run's folder.
        keep_token: the token came from the user, who has it in a file already.
    """

    def __init__(self, observer: RunObserver, output: Path, *, keep_token: bool) -> None:
        self._observer = observer
        self._output = output
        self._file = None if keep_token else output / TOKEN_FILE
        self._over = False

    def over(self) -> None:
        """Say that the search is over, so that nobody joins it any more."""
        self._over = True

    def __enter__(self) -> JoiningObserver:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._file is not None and self._over:
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
