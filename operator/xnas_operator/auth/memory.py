"""Answers remembered for a little while, a bounded number of them, each asked for only once at a time."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


@dataclass
class _Answer(Generic[V]):
    value: V
    expires: float


class Memory(Generic[K, V]):
    """Owned by one event loop.

    Args:
        lifetime_s: seconds that an answer is kept, by its value; 0 keeps it not at all.
        size: answers kept; the one that was used longest ago goes first.
        clock: seconds, never going back.
    """

    def __init__(
        self, lifetime_s: Callable[[V], float], *, size: int = 10_000, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._lifetime_s = lifetime_s
        self._size = size
        self._clock = clock
        self._answers: OrderedDict[K, _Answer[V]] = OrderedDict()
        self._asking: dict[K, asyncio.Task[V]] = {}

    def __len__(self) -> int:
        return len(self._answers)

    async def get(self, key: K, ask: Callable[[], Awaitable[V]]) -> V:
        """The remembered answer, else a new one. Callers that come meanwhile share it, and its error."""
        known = self._answers.get(key)
        if known is not None and known.expires > self._clock():
            self._answers.move_to_end(key)
            return known.value
        task = self._asking.get(key)
        if task is None:
            task = asyncio.ensure_future(self._ask(key, ask))
            self._asking[key] = task
            task.add_done_callback(lambda done: self._asked(key, done))
        # One caller that gives up must not take the answer from the others.
        return await asyncio.shield(task)

    def forget(self) -> None:
        """Forget all."""
        self._answers.clear()

    def _asked(self, key: K, task: asyncio.Task[V]) -> None:
        self._asking.pop(key, None)
        if not task.cancelled():
            task.exception()  # whoever still waits hears of it; with nobody left it is no surprise either

    async def _ask(self, key: K, ask: Callable[[], Awaitable[V]]) -> V:
        value = await ask()
        lifetime = self._lifetime_s(value)
        if lifetime > 0:
            self._answers[key] = _Answer(value, self._clock() + lifetime)
            self._answers.move_to_end(key)
            while len(self._answers) > self._size:
                self._answers.popitem(last=False)
        return value
