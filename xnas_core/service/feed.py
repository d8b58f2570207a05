"""A search as a backend shows it: its view, its moments, and a wake-up for those who watch.

For whoever runs a SearchLoop: call `changed` from its `on_turn`, and whenever `standing` changes. What is shown is
durable (protocol.md §5.3): while `busy` says that a turn is being written, readers wait for its end.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from xnas_core.api.status import StateWord
from xnas_core.artifacts.retention import without_spent
from xnas_core.search.engine import Engine
from xnas_core.search.view import CandidateRecord, SearchView
from xnas_core.search.viewing import record, view
from xnas_core.service.errors import NotBegunError, UnavailableError
from xnas_core.service.records import RecordCache
from xnas_core.service.shelf import Book
from xnas_core.service.values import Accepted, FrontSummary, SearchMoment, Standing

MAX_MEMBERS = 50_000
"""Members of a front that a watch names."""
KEPT_SECONDS = 60.0
"""How long a view is kept for the next reader: of 16,000 candidates it takes 50 MB."""


@dataclass(frozen=True, slots=True)
class _Shelved:
    """What stays of a search that has ended: all that a moment says but its candidates."""

    moment: SearchMoment
    spec_document: Mapping[str, Any]
    read: Callable[[], Awaitable[Book]]


class EngineFeed:
    """One search. Used in one event loop.

    Args:
        name: metadata.name of the resource.
        uid: metadata.uid of the resource.
        engine: its state; None until the search was accepted. May be set and replaced later; then call `changed`.
            A search that has ended may be put away (`shelve`), and is the same to readers.
        busy: whether the engine holds events that are not durable yet.
        standing: the search's state as people are told it; None: the engine's own.
    """

    def __init__(
        self,
        name: str,
        uid: str,
        *,
        engine: Engine | None = None,
        busy: Callable[[], bool] = lambda: False,
        standing: Callable[[], Standing] | None = None,
    ) -> None:
        self._engine = engine
        self._shelved: _Shelved | None = None
        self._name = name
        self._uid = uid
        self._busy = busy
        self._standing = standing or self._own_standing
        self._version = 0
        self._news = asyncio.Event()
        self._ended = False
        self._broken: UnavailableError | None = None
        self._view: tuple[int, SearchView] | None = None
        self._records = RecordCache()
        self._forgetting: asyncio.TimerHandle | None = None
        self._front: tuple[int, FrontSummary] | None = None

    @property
    def engine(self) -> Engine | None:
        """The search's state, while it is in memory."""
        return self._engine

    @engine.setter
    def engine(self, engine: Engine | None) -> None:
        self._engine, self._shelved = engine, None

    @property
    def accepted_document(self) -> Mapping[str, Any] | None:
        """The spec that the search goes on with, as a document; None until it was accepted."""
        if self._engine is not None:
            return self._engine.spec_document
        return self._shelved.spec_document if self._shelved is not None else None

    def shelve(self, read: Callable[[], Awaitable[Book]]) -> None:
        """Let go of the engine of a search that has ended and has nothing to do.

        Args:
            read: reads it back, for as long as someone looks at it.
        """
        engine = self._engine
        if engine is None or not engine.done:
            raise ValueError("only a search that has ended can be put away")
        self._shelved = _Shelved(self._moment(), engine.spec_document, read)
        self._engine = None
        self._forget()

    def changed(self) -> None:
        """Say that something durable has happened."""
        self._version += 1
        self._news.set()
        self._news = asyncio.Event()

    def end(self) -> None:
        """Say that the search was deleted: watches end."""
        self._ended = True
        self.changed()

    def break_off(self, error: UnavailableError) -> None:
        """Say that whoever ran the search is gone, and another feed follows: watches end with this error.

        Their callers come again, with the position that they have heard of.
        """
        self._broken = error
        self.changed()

    @property
    def broken(self) -> bool:
        """Whether `break_off` was called: what was durable then can be read, and nothing new comes."""
        return self._broken is not None

    async def view(self) -> SearchView:
        """Return the search as a whole, without artifacts that were given up; raise NotBegunError."""
        await self.durable()
        if self._shelved is not None:
            return await (await self._shelved.read()).view()
        if self.engine is None:
            raise NotBegunError(f"the search {self._name!r} was not accepted yet; watch it to learn when it begins")
        if self._view is None or self._view[0] != self._version:
            self._view = (self._version, without_spent(view(self.engine, self._name, self._records.record)))
        if self._forgetting is not None:
            self._forgetting.cancel()
        self._forgetting = asyncio.get_running_loop().call_later(KEPT_SECONDS, self._forget)
        return self._view[1]

    def _forget(self) -> None:
        if self._forgetting is not None:
            self._forgetting.cancel()
        self._view, self._records, self._forgetting = None, RecordCache(), None

    async def moment(self) -> SearchMoment:
        """Return where the search stands."""
        await self.durable()
        return self._moment()

    async def watch(self) -> AsyncGenerator[SearchMoment, None]:
        """See SearchBackend.watch."""
        while not self._ended:
            await self.durable()
            if self._broken is not None:
                raise self._broken
            seen = self._version
            yield self._moment()
            while self._version == seen:
                await self._news.wait()

    async def durable(self) -> None:
        """Return when the engine holds no event that is not durable."""
        while self._busy():
            await self._news.wait()

    def _moment(self) -> SearchMoment:
        engine = self.engine
        if self._shelved is not None:
            return replace(self._shelved.moment, standing=self._standing())
        if engine is None:
            return SearchMoment(self._uid, self._standing())

        async def arrivals(start: int, stop: int, engine: Engine = engine) -> Sequence[CandidateRecord]:
            return [record(engine, number) for number in engine.arrivals[start:stop]]

        return SearchMoment(
            uid=self._uid,
            standing=self._standing(),
            progress=engine.progress(),
            accepted=Accepted(engine.spec, engine.data_shape, engine.started.versions),
            finished=len(engine.arrivals),
            # A watch of a search that has ended may go on for days, and holds its moment.
            arrivals=arrivals if engine.finished is None else self._arrivals_later(engine),
            front=self._front_now(engine),
            started_at=engine.started.time,
            finished_at=engine.finished.time if engine.finished else None,
        )

    def _arrivals_later(self, engine: Engine) -> Callable[[int, int], Awaitable[Sequence[CandidateRecord]]]:
        """Return `SearchMoment.arrivals` that keeps no engine in memory."""
        there = weakref.ref(engine)

        async def arrivals(start: int, stop: int) -> Sequence[CandidateRecord]:
            found = there() or self.engine
            if found is None and self._shelved is not None:
                found = (await self._shelved.read()).engine
            if found is None:
                raise UnavailableError(f"the search {self._name!r} is being read; try again")
            return [record(found, number) for number in found.arrivals[start:stop]]

        return arrivals

    def _front_now(self, engine: Engine) -> FrontSummary:
        if self._front is None or self._front[0] != self._version:
            archive = engine.archive
            members = sorted(
                (engine.candidates[number] for number in archive.keys), key=lambda c: (c.values or (), c.number)
            )
            ids = tuple(candidate.id for candidate in members[:MAX_MEMBERS])
            self._front = (self._version, FrontSummary(ids, len(members), archive.hypervolume))
        return self._front[1]

    def _own_standing(self) -> Standing:
        if self._shelved is not None:
            return self._shelved.moment.standing
        if self.engine is None:
            return Standing(StateWord.PENDING)
        end = self.engine.finished or self.engine.stopped
        state = StateWord(self.engine.state.value)
        return Standing(state, end.reason, end.message) if end else Standing(state)
