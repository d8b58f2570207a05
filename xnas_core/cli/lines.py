"""The account of a running search where there is no terminal: one log line at each turning point."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from xnas_core.local.contract import Level, RunProgress, RunStarted

QUIET_SECONDS = 10.0
"""Shortest time between two lines about generations."""


class Lines:
    """A `RunObserver` that logs.

    Args:
        log: a structlog logger.
        clock: seconds, any zero.
    """

    def __init__(self, log: Any, clock: Callable[[], float] = time.monotonic) -> None:
        self._log = log
        self._clock = clock
        self._generation = -1
        self._last = float("-inf")
        self._finalising = False

    def on_started(self, started: RunStarted) -> None:
        """See RunObserver."""
        known = {"resumed_at": started.finished_before} if started.resumed else {}
        self._log.info("search started", name=started.name, evaluations=started.max_evaluations, **known)

    def on_progress(self, progress: RunProgress) -> None:
        """See RunObserver."""
        if progress.finalising and not self._finalising:
            self._finalising = True
            self._log.info("explaining the front", members=progress.finalising)
        now = self._clock()
        if progress.generation == self._generation or now - self._last < QUIET_SECONDS:
            return
        self._generation, self._last = progress.generation, now
        self._log.info(
            "generation",
            generation=progress.generation,
            evaluations=progress.succeeded + progress.failed,
            failed=progress.failed,
            front=progress.front_size,
            hypervolume=float(f"{progress.hypervolume:.4g}"),
        )

    def on_message(self, level: Level, text: str) -> None:
        """See RunObserver."""
        (self._log.warning if level == "warning" else self._log.info)(text)
