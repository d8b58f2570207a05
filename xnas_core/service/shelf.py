"""Searches that have ended, out of memory: read back from their journals where someone asks, the last few kept."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from xnas_core.artifacts.retention import without_spent
from xnas_core.search.engine import Engine
from xnas_core.search.view import SearchView
from xnas_core.search.viewing import view

KEPT_CANDIDATES = 20_000
"""In all searches that are kept; the one that was asked for last is kept however many it has."""
KEPT_SECONDS = 60.0
"""How long one is kept that nobody asks for."""


@dataclass
class Book:
    """A search that has ended. Nothing changes its engine any more: where it goes on, it does so with another one."""

    name: str
    engine: Engine
    _view: SearchView | None = field(default=None, repr=False)
    _making: asyncio.Lock = field(default_factory=asyncio.Lock, repr=False)

    async def view(self) -> SearchView:
        """Return the search as a whole, without artifacts that were given up. Made in a thread."""
        async with self._making:
            if self._view is None:
                self._view = await asyncio.to_thread(lambda: without_spent(view(self.engine, self.name)))
            return self._view


Read = Callable[[], Awaitable[Book]]


class Shelf:
    """Shared by all searches of a process; by uid. Used in one event loop.

    Args:
        candidates: see KEPT_CANDIDATES.
        seconds: see KEPT_SECONDS.
    """

    def __init__(self, candidates: int = KEPT_CANDIDATES, seconds: float = KEPT_SECONDS) -> None:
        self._candidates = candidates
        self._seconds = seconds
        self._kept: OrderedDict[str, tuple[Book, asyncio.TimerHandle]] = OrderedDict()
        self._reading: dict[str, asyncio.Task[Book]] = {}

    def __contains__(self, uid: str) -> bool:
        return uid in self._kept

    async def book(self, uid: str, read: Read) -> Book:
        """Return a search: one that is kept, or what `read` returns, which is called once for all who wait.

        Raises:
            XnasError: what `read` raises.
        """
        if uid in self._kept:
            book, _ = self._kept[uid]
            self.put(uid, book)
            return book
        task = self._reading.get(uid)
        if task is None:
            task = self._reading[uid] = asyncio.ensure_future(read())
            task.add_done_callback(lambda done: self._was_read(uid, done))
        # Who leaves must not take it from the others.
        return await asyncio.shield(task)

    def _was_read(self, uid: str, task: asyncio.Task[Book]) -> None:
        failed = task.cancelled() or task.exception() is not None
        if self._reading.get(uid) is not task:
            return
        del self._reading[uid]
        if not failed:
            self.put(uid, task.result())

    def put(self, uid: str, book: Book) -> None:
        """Keep a search, as the one that was asked for last."""
        self._drop(uid)
        self._kept[uid] = book, asyncio.get_running_loop().call_later(self._seconds, self._drop, uid)
        while len(self._kept) > 1 and sum(len(b.engine.candidates) for b, _ in self._kept.values()) > self._candidates:
            self._drop(next(iter(self._kept)))

    def forget(self, uid: str) -> None:
        """Keep a search no longer: it goes on, or was deleted."""
        self._reading.pop(uid, None)
        self._drop(uid)

    def _drop(self, uid: str) -> None:
        if uid in self._kept:
            _, timer = self._kept.pop(uid)
            timer.cancel()
