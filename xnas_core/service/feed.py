"""A search as a backend shows it: its view, its moments, and a wake-up for those who watch.

For whoever runs a SearchLoop: call `changed` from its `on_turn`, and whenever `standing` changes. What is shown is
durable (protocol.md §5.3): while `busy` says that a turn is being written, readers wait for its end.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence

from xnas_core.api.status import StateWord
from xnas_core.artifacts.retention import without_spent
from xnas_core.search.engine import Engine
from xnas_core.search.view import CandidateRecord, SearchView
from xnas_core.search.viewing import record, view
from xnas_core.service.errors import NotBegunError
from xnas_core.service.records import RecordCache
from xnas_core.service.values import Accepted, FrontSummary, SearchMoment, Standing

MAX_MEMBERS = 50_000
"""Members of a front that a watch names."""
KEPT_SECONDS = 60.0
"""How long a view is kept for the next reader: of 16,000 candidates it takes 50 MB."""


class EngineFeed:
    """One search. Used in one event loop.

    Args:
        name: metadata.name of the resource.
        uid: metadata.uid of the resource.
        engine: its state; None until the search was accepted. May be set and replaced later; then call `changed`.
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
        self.engine = engine
        self._name = name
        self._uid = uid
        self._busy = busy
        self._standing = standing or self._own_standing
        self._version = 0
        self._news = asyncio.Event()
        self._ended = False
        self._view: tuple[int, SearchView] | None = None
        self._records = RecordCache()
        self._forgetting: asyncio.TimerHandle | None = None
        self._front: tuple[int, FrontSummary] | None = None

    def changed(self) -> None:
        """Say that something durable has happened."""
        self._version += 1
        self._news.set()
        self._news = asyncio.Event()

    def end(self) -> None:
        """Say that the search was deleted: watches end."""
        self._ended = True
        self.changed()

    async def view(self) -> SearchView:
        """Return the search as a whole, without artifacts that were given up; raise NotBegunError."""
        await self.durable()
        if self.engine is None:
            raise NotBegunError(f"the search {self._name!r} was not accepted yet; watch it to learn when it begins")
        if self._view is None or self._view[0] != self._version:
            self._view = (self._version, without_spent(view(self.engine, self._name, self._records.record)))
        if self._forgetting is not None:
            self._forgetting.cancel()
        self._forgetting = asyncio.get_running_loop().call_later(KEPT_SECONDS, self._forget)
        return self._view[1]

    def _forget(self) -> None:
        self._view, self._records, self._forgetting = None, RecordCache(), None

    async def moment(self) -> SearchMoment:
        """Return where the search stands."""
        await self.durable()
        return self._moment()

    async def watch(self) -> AsyncGenerator[SearchMoment, None]:
        """See SearchBackend.watch."""
        while not self._ended:
            await self.durable()
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
        if engine is None:
            return SearchMoment(self._uid, self._standing())

        def arrivals(start: int, stop: int) -> Sequence[CandidateRecord]:
            return [record(engine, number) for number in engine.arrivals[start:stop]]

        return SearchMoment(
            uid=self._uid,
            standing=self._standing(),
            progress=engine.progress(),
            accepted=Accepted(engine.spec, engine.data_shape, engine.started.versions),
            finished=len(engine.arrivals),
            arrivals=arrivals,
            front=self._front_now(engine),
            started_at=engine.started.time,
            finished_at=engine.finished.time if engine.finished else None,
        )

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
        if self.engine is None:
            return Standing(StateWord.PENDING)
        end = self.engine.finished or self.engine.stopped
        state = StateWord(self.engine.state.value)
        return Standing(state, end.reason, end.message) if end else Standing(state)
