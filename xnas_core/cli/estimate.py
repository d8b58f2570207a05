"""How long a search will still take, from when its evaluations finished."""

from __future__ import annotations

import statistics
from collections import deque

WINDOW = 32
"""Finished evaluations that are looked back on: late generations may train larger networks than early ones."""
_TRIMMED = 0.2


class TimeLeft:
    """Estimates the rest from the recent pace; not misled by single slow or failed evaluations.

    With k candidates in training side by side, evaluations finish in bunches: the pace is taken over k of them at a
    time, (t[i] - t[i-k]) / k, and of these the mean without the fifth at either end. Times: seconds, any clock.

    Args:
        start: when the run began; `begin` moves it to when workers really started.
        done: evaluations that were finished before; they say nothing about this run's pace.
    """

    def __init__(self, start: float, done: int) -> None:
        self._start = start
        self._done = done
        self._side_by_side = 1
        self._times: deque[float] = deque(maxlen=WINDOW * 8)
        self._begun = False

    def begin(self, now: float) -> None:
        """Note that a worker does something: loading libraries and data comes once, and says nothing of the rest."""
        if not self._begun and not self._times:
            self._start = now
        self._begun = True

    def note(self, now: float, done: int, running: int) -> None:
        """Record that `done` evaluations are finished and `running` in training."""
        self._side_by_side = max(1, min(WINDOW, max(self._side_by_side, running)))
        for _ in range(done - self._done):
            self._times.append(now)
        self._done = max(done, self._done)

    def pace(self) -> float | None:
        """Return seconds for each evaluation at the recent pace; None before the first has finished."""
        if not self._times:
            return None
        k = self._side_by_side
        times = [self._start] * k + list(self._times)
        gaps = sorted((times[i] - times[i - k]) / k for i in range(k, len(times))[-WINDOW:])
        cut = int(len(gaps) * _TRIMMED)
        return statistics.fmean(gaps[cut : len(gaps) - cut])

    def left(self, now: float, remaining: int) -> float | None:
        """Return the seconds that `remaining` evaluations will take; None where nothing is known yet."""
        pace = self.pace()
        if pace is None:
            return None
        waited = min(now - self._times[-1], pace * self._side_by_side)
        return max(0.0, pace * remaining - waited)
