"""Consoles: results on standard output, everything else on standard error."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

PIPE_WIDTH = 200
"""Columns of output that nobody's terminal limits."""


def output() -> Console:
    """Return a console on standard output. Not a terminal: no escape codes, wide lines."""
    return _console(stderr=False)


def messages() -> Console:
    """Return a console on standard error."""
    return _console(stderr=True)


def live_display_possible() -> bool:
    """Return whether standard error is a terminal that can move its cursor."""
    return sys.stderr.isatty() and os.environ.get("TERM", "") not in ("dumb", "unknown")


def _console(*, stderr: bool) -> Console:
    from rich.console import Console

    terminal = (sys.stderr if stderr else sys.stdout).isatty()
    width = None if terminal or os.environ.get("COLUMNS", "").isdigit() else PIPE_WIDTH
    # Highlighting would colour numbers inside of names; markup would eat brackets of paths.
    return Console(stderr=stderr, width=width, highlight=False, markup=False, force_terminal=terminal, soft_wrap=False)
