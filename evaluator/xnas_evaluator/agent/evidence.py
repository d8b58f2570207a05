"""What ended a worker: evidence -> reason (protocol.md §7). Pure."""

from __future__ import annotations

import signal
from dataclasses import dataclass

from xnas_core.dispatch.messages import bounded
from xnas_core.tasks import EndReason


@dataclass(frozen=True, slots=True)
class WorkerEnd:
    """What is known of a worker process that ended in the middle of an attempt.

    Attributes:
        exit_code: as `subprocess` gives it: negative for a signal.
        killed_for: why the agent itself killed it; None if it did not.
        oom_kills: by how much the cgroup's count of processes killed for memory grew while it ran.
        tail: what it printed last.
    """

    exit_code: int
    killed_for: tuple[EndReason, str] | None = None
    oom_kills: int = 0
    tail: str = ""


def classify_end(end: WorkerEnd) -> tuple[EndReason, str]:
    """Return reason and text."""
    if end.killed_for is not None:
        reason, message = end.killed_for
    elif end.exit_code == -signal.SIGKILL and end.oom_kills > 0:
        reason, message = (
            EndReason.OUT_OF_MEMORY,
            "the kernel killed the worker: the machine or container had no memory left",
        )
    elif end.exit_code < 0:
        reason, message = EndReason.WORKER_CRASHED, f"the worker was ended by signal {_signal_name(-end.exit_code)}"
    else:
        reason, message = EndReason.WORKER_CRASHED, f"the worker ended by itself with exit code {end.exit_code}"
    return reason, bounded(f"{message}; it said last:\n{end.tail}" if end.tail.strip() else message)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)
