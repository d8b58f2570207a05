"""How long a search has been active: time suspended, finished, or without a process does not count."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Stopwatch:
    """Adds up the time between events.

    Attributes:
        active_seconds: time counted so far.
        last_time: time of the last event, seconds since the epoch.
    """

    active_seconds: float
    last_time: float

    def advance(self, time: float, *, counts: bool) -> None:
        """Let the time of an event come; a clock that was set back adds nothing."""
        if counts:
            self.active_seconds = self.active_at(time)
        self.last_time = max(time, self.last_time) if counts else time

    def active_at(self, now: float) -> float:
        """Return the active time at a moment after the last event."""
        return self.active_seconds + max(0.0, now - self.last_time)
