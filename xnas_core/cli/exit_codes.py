"""Exit codes, the same for all commands."""

from __future__ import annotations

OK = 0
FAILED = 1
"""The command, or the search, failed."""
BAD_INPUT = 2
"""The input or the command line is wrong."""
INTERRUPTED = 130
"""Stopped by Ctrl-C; for `xnas run`: the same command goes on."""

TABLE = "Exit codes: 0 done, 1 failed, 2 wrong input or usage, 130 interrupted."
