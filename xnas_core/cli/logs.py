"""Logs: structured, on standard error, quiet unless asked for."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from typing import Any

import structlog

from xnas_core.cli.session import LogFormat

_LEVELS = (logging.WARNING, logging.INFO, logging.DEBUG)


class _StandardError:
    """Standard error as it is when a line is written: a live display puts itself in front of it.

    A line that cannot be written, as the disk with the log is full, is lost; the search must not be.
    """

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError):
            return sys.stderr.write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            sys.stderr.flush()


def configure(verbosity: int, log_format: LogFormat) -> None:
    """Set up structlog for the process.

    Args:
        verbosity: 0 shows warnings and errors, 1 information too, 2 everything.
        log_format: JSON lines with UTC time stamps, or lines for people with the local time.
    """
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
    ]
    if log_format is LogFormat.JSON:
        last: list[structlog.typing.Processor] = [
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(sort_keys=True, default=str),
        ]
    else:
        last = [
            structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False),
            structlog.dev.ConsoleRenderer(colors=_coloured(), pad_event_to=0, pad_level=False),
        ]
    structlog.configure(
        processors=[*shared, *last],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[min(verbosity, 2)]),
        logger_factory=structlog.PrintLoggerFactory(_StandardError()),  # type: ignore[arg-type]  # it only writes and flushes
        cache_logger_on_first_use=False,
    )


def turning_points() -> Any:
    """Return the logger of what a person wants to see of a run without a terminal: shown at any verbosity."""
    return structlog.wrap_logger(None, wrapper_class=structlog.make_filtering_bound_logger(logging.INFO))


def _coloured() -> bool:
    return sys.stderr.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
