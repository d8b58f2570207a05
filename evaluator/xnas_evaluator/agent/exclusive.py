"""The exclusive moment of an evaluator: one worker computes, the others pause (for latency). Pure.

A worker that has the moment, or waits for it, computes nothing else; one that dies gives it back. If the others do
not pause in time the moment is taken all the same: a latency measured under load is better than none.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Order:
    """Tell the worker in this slot to pause, to resume, or to enter the exclusive moment; or start its attempt.

    `number` tells one pause from the next, so that a late answer to an earlier one is not taken for this one's.
    """

    slot: int
    what: Literal["pause", "resume", "enter", "start"]
    number: int = 0


class ExclusiveGate:
    """Who computes, who pauses, who waits."""

    def __init__(self, wait_seconds: float) -> None:
        self._wait_seconds = wait_seconds
        self._busy: set[int] = set()
        self._told: dict[int, int] = {}
        self._pauses = 0
        self._quiet: set[int] = set()
        self._deferred: list[int] = []
        self._waiting: deque[tuple[int, float]] = deque()
        self._holder: int | None = None

    def waits(self, slot: int) -> bool:
        """Return whether the worker is paused or waits for the moment, so that its silence is no hang."""
        return slot in self._quiet and slot != self._holder

    def start(self, slot: int) -> list[Order]:
        """An attempt is to start; it starts now, or when the moment is over."""
        if self._holder is not None or self._waiting:
            self._deferred.append(slot)
            return []
        self._busy.add(slot)
        return [Order(slot, "start")]

    def want(self, slot: int, now: float) -> list[Order]:
        """A worker asks for the moment."""
        self._quiet.add(slot)
        self._waiting.append((slot, now))
        return self._advance(now)

    def paused(self, slot: int, number: int, now: float) -> list[Order]:
        """A worker has paused."""
        if self._told.get(slot) != number:
            return []
        self._quiet.add(slot)
        return self._advance(now)

    def leave(self, slot: int, now: float) -> list[Order]:
        """A worker gives the moment back, or no longer waits for it."""
        self._drop(slot)
        self._quiet.discard(slot)
        return self._advance(now)

    def ended(self, slot: int, now: float) -> list[Order]:
        """The attempt in this slot has ended, or its worker died."""
        self._drop(slot)
        self._busy.discard(slot)
        self._quiet.discard(slot)
        if slot in self._deferred:
            self._deferred.remove(slot)
        return self._advance(now)

    def tick(self, now: float) -> list[Order]:
        """Let time pass."""
        return self._advance(now)

    def _drop(self, slot: int) -> None:
        if self._holder == slot:
            self._holder = None
        self._waiting = deque((s, since) for s, since in self._waiting if s != slot)

    def _pause(self, slot: int) -> Order:
        self._pauses += 1
        self._told[slot] = self._pauses
        return Order(slot, "pause", self._pauses)

    def _advance(self, now: float) -> list[Order]:
        out: list[Order] = []
        if self._holder is None and self._waiting:
            slot, since = self._waiting[0]
            loud = self._busy - self._quiet
            if not loud or now - since >= self._wait_seconds:
                self._waiting.popleft()
                self._holder = slot
                out.append(Order(slot, "enter"))
            out.extend(self._pause(other) for other in sorted(loud - self._told.keys()))
        elif self._holder is None:
            out.extend(Order(slot, "resume") for slot in sorted(self._told))
            self._told.clear()
            self._quiet.clear()
            for slot in self._deferred:
                self._busy.add(slot)
                out.append(Order(slot, "start"))
            self._deferred = []
        return out
