"""The command line under test: in this process, as a process, and as a process on a terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog
from typer.testing import CliRunner

from xnas_core.cli.app import app

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_PLAIN = {"NO_COLOR": "", "FORCE_COLOR": "", "COLUMNS": "", "LINES": "", "TERM": "xterm-256color"}


@dataclass(frozen=True, slots=True)
class Told:
    """How a command ended and what it wrote; on a terminal everything is in `out`."""

    code: int
    out: str
    err: str = ""

    @property
    def text(self) -> str:
        """`out` without escape codes."""
        return plain(self.out)


def plain(text: str) -> str:
    """Return the text without escape codes."""
    return _ESCAPES.sub("", text)


def xnas(*arguments: str | Path, columns: int = 100, stdin: str = "") -> Told:
    """Run a command in this process. An exception that is not for users is raised."""
    logs = structlog.get_config()
    try:
        result = CliRunner(env={"COLUMNS": str(columns)}).invoke(app, [str(a) for a in arguments], input=stdin)
    finally:
        # A command sets up logs for its process, which here goes on.
        structlog.configure(**logs)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Told(result.exit_code, result.stdout, result.stderr)


def command(*arguments: str | Path) -> list[str]:
    """Return the command line of a real process."""
    return [sys.executable, "-m", "xnas_core.cli", *(str(a) for a in arguments)]


def xnas_process(*arguments: str | Path, timeout: float = 120) -> Told:
    """Run a command as a process without a terminal."""
    done = subprocess.run(command(*arguments), capture_output=True, text=True, timeout=timeout, check=False)
    return Told(done.returncode, done.stdout, done.stderr)


def xnas_on_terminal(
    *arguments: str | Path,
    columns: int = 100,
    environment: Mapping[str, str] | None = None,
    typed: Sequence[tuple[str, str]] = (),
    timeout: float = 120,
) -> Told:
    """Run a command as a process on a pseudo-terminal.

    Args:
        arguments: of `xnas`.
        columns: width of the terminal.
        environment: added to this process's.
        typed: pairs (text to wait for, keys to type then), in order; "\\x03" is Ctrl-C.
        timeout: seconds, after which the process is killed and TimeoutError raised.
    """
    process, terminal = pty.fork()
    if process == 0:  # pragma: no cover - the child is another program at once
        fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
        # A parent in the background ignores Ctrl-C, which a child would inherit.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        variables = {**os.environ, **_PLAIN, **(environment or {})}
        os.execve(sys.executable, command(*arguments), {name: value for name, value in variables.items() if value})
    written, waiting, searched = b"", list(typed), 0
    deadline = time.monotonic() + timeout
    try:
        while time.monotonic() < deadline:
            if not select.select([terminal], [], [], 0.2)[0]:
                continue
            try:
                chunk = os.read(terminal, 65_536)
            except OSError:  # Linux says so when the other side is closed
                chunk = b""
            if not chunk:
                return Told(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), written.decode(errors="replace"))
            written += chunk
            while waiting and (at := written.find(waiting[0][0].encode(), searched)) >= 0:
                searched = at + len(waiting[0][0].encode())
                os.write(terminal, waiting.pop(0)[1].encode())
        os.kill(process, 9)
        os.waitpid(process, 0)
        raise TimeoutError(
            f"still running after {timeout} s; it wrote: {plain(written.decode(errors='replace'))[-2000:]}"
        )
    finally:
        os.close(terminal)
