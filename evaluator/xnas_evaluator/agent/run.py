"""Run an agent to its end: signals, logging, exit codes."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys

import structlog

from xnas_core import lifetime
from xnas_core.errors import XnasError
from xnas_core.plugins import PluginKind, names
from xnas_evaluator.agent.agent import Agent
from xnas_evaluator.agent.link import RefusedError, ServerGoneError
from xnas_evaluator.agent.settings import AgentSettings

EXIT_DRAINED = 0
"""The server said that nothing more is to be done."""
EXIT_INVALID = 2
"""A setting is not possible, or the evaluator is unfit for the search: its data are absent or others."""
EXIT_SERVER_GONE = 4
"""The server did not answer for `give_up_seconds`."""
EXIT_REFUSED = 5
"""The server refused this evaluator."""


def capabilities() -> list[str]:
    """Return the names of data sets, objectives and explainers that are installed here (`dataset/digits`)."""
    kinds = (PluginKind.DATASET, "dataset"), (PluginKind.OBJECTIVE, "objective"), (PluginKind.EXPLAINER, "explainer")
    return [f"{word}/{name}" for kind, word in kinds for name in names(kind)]


def run_agent(settings: AgentSettings) -> int:
    """Serve until drained, refused or given up; call from the main thread.

    SIGTERM and SIGINT hand back what runs (after `drain_seconds`) and end within `leave_seconds`; a second signal
    ends at once. Returns the exit code: 0 when the server drained us, 2 when we are
    unfit for the search, 128 + signal after a signal.
    """
    if settings.parent_pid is not None:
        lifetime.end_with_parent(settings.parent_pid)
    try:
        return asyncio.run(_serve(settings))
    except (RefusedError, ServerGoneError) as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        return EXIT_REFUSED if isinstance(error, RefusedError) else EXIT_SERVER_GONE


async def _serve(settings: AgentSettings) -> int:
    agent = Agent(settings, capabilities())
    serving = asyncio.ensure_future(agent.serve())
    received: list[int] = []

    def on_signal(number: int) -> None:
        received.append(number)
        if len(received) > 1:
            # Workers end with us: their pipe closes, and the kernel kills them.
            os._exit(128 + number)
        agent.drain(settings.drain_seconds, f"the evaluator was asked to end ({signal.Signals(number).name})")
        asyncio.get_running_loop().call_later(settings.leave_seconds, serving.cancel)

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, on_signal, number)
    try:
        await serving
    except asyncio.CancelledError:
        if not received:
            raise
    if agent.unfit is not None:
        print(f"error: {agent.unfit}", file=sys.stderr, flush=True)
        return EXIT_INVALID
    return 128 + received[0] if received else EXIT_DRAINED


def configure_logging(level: int = logging.INFO) -> None:
    """Write structured logs to standard error, one line each."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.LogfmtRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )


def main(argv: list[str]) -> int:
    """Run an agent with the settings of a command line."""
    from xnas_evaluator.agent.settings import parse

    configure_logging()
    try:
        settings = parse(argv)
    except XnasError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        return EXIT_INVALID
    return run_agent(settings)
