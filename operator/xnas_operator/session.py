"""One search that is being run: journal, engine, desk and turn loop put together. Knows no Kubernetes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import orjson
import structlog

from xnas_core.api import ArchitectureSearchSpec, spec_digest
from xnas_core.artifacts import keys
from xnas_core.artifacts.retention import spent, spent_states
from xnas_core.artifacts.store import ObjectStore
from xnas_core.dispatch.desk import SearchDesk
from xnas_core.dispatch.grants import DataGrantSource, GrantSource
from xnas_core.errors import IntegrityError, StoreError
from xnas_core.journal import Journal
from xnas_core.report.publish import publish
from xnas_core.search.acceptance import first_event
from xnas_core.search.engine import Engine
from xnas_core.search.events import Event
from xnas_core.search.inbox import RequestInbox
from xnas_core.search.loop import LoopOutcome, SearchLoop
from xnas_core.search.recovery import recover
from xnas_core.search.requests import TaskRequest, accept, checkpoint_key, gone
from xnas_core.search.viewing import record, view
from xnas_core.service.errors import NotBegunError, UnavailableError
from xnas_core.service.feed import EngineFeed
from xnas_core.service.shelf import Book, Shelf
from xnas_core.tasks import DataDescription, EvaluationConfig

_log = structlog.get_logger(__name__)

SEARCH_SCHEMA = 1
_SWEEP_SECONDS = 5.0
_READING = ThreadPoolExecutor(2, "reading")
_REPORTING = ThreadPoolExecutor(1, "reporting")
"""Journals are read and reports made in threads of their own, a second and more of computing each. Every request to
the Kubernetes API passes through the event loop's own threads (aiohttp looks there for a proxy): where dozens of
searches end at once, their reports would be ahead of the Lease in that queue. One report at a time also takes the least
memory.
"""


@dataclass(frozen=True, slots=True)
class Identity:
    """Which search: its place in the cluster, and the uid that its journal bears."""

    namespace: str
    name: str
    uid: str

    @property
    def root(self) -> str:
        """Key prefix of the search in the bucket (architecture.md, "Keys")."""
        return f"searches/{self.namespace}/{self.name}/{self.uid}/"


@dataclass(frozen=True, slots=True)
class LeaseTimes:
    """Interval of heartbeats, and how long a lost evaluator keeps its attempts, in seconds."""

    heartbeat: float
    grace: float


class SearchSession:
    """One life of a search in this process. After an error it is closed, and another one reads the journal anew.

    Args:
        store: below the search's root.
        grants: of the same root.
        data_grants: for the data set, where it lies in the store.
        feed: shows the engine to callers; it outlives the session.
        on_turn: called with the events of each turn of the loop that changed something.
        turnstile: see SearchLoop.
        shelf: where a search that has ended is put away.
    """

    def __init__(
        self,
        identity: Identity,
        store: ObjectStore,
        grants: GrantSource,
        data_grants: DataGrantSource,
        times: LeaseTimes,
        feed: EngineFeed,
        on_turn: Callable[[Sequence[Event]], None],
        turnstile: asyncio.Lock | None = None,
        shelf: Shelf | None = None,
    ) -> None:
        self.identity = identity
        self.store = store
        self._grants = grants
        self._data_grants = data_grants
        self._times = times
        self._on_turn = on_turn
        self._turnstile = turnstile
        self._shelf = shelf or Shelf()
        self._shelved = False
        self._closed = False
        self.engine: Engine | None = None
        self.inbox = RequestInbox()
        """Tasks that are asked for: whoever runs the session runs it when there are some."""
        self._feed = feed
        self.desk: SearchDesk | None = None
        self._journal: Journal | None = None
        self._loop: SearchLoop | None = None
        self._swept = 0
        self._spent: list[str] = []
        self._sweeper: asyncio.Task[None] | None = None

    async def open(self, spec: ArchitectureSearchSpec | None) -> None:
        """Read the journal, and let evaluators in.

        Args:
            spec: the resource's, paths resolved; the journal's stands where there is one. None: it cannot run; then
                only a search that has begun lets evaluators in.

        Raises:
            IntegrityError: the journal is damaged.
            StoreError: the store could not be read.
        """
        engine, self._journal = await self._recovered()
        if engine is not None:
            self._take(engine)
        if engine is None and spec is None:
            return
        document = dict(engine.spec_document) if engine is not None else spec.to_document() if spec is not None else {}
        self.desk = SearchDesk(
            self.store,
            EvaluationConfig(search_id=self.identity.uid, spec=document, spec_digest=spec_digest(document)),
            grants=self._grants,
            data_grants=self._data_grants,
            heartbeat_seconds=self._times.heartbeat,
            grace_seconds=self._times.grace,
        )
        self.desk.open()

    async def _recovered(self) -> tuple[Engine | None, Journal]:
        return await asyncio.get_running_loop().run_in_executor(_READING, self._read)

    def _read(self) -> tuple[Engine | None, Journal]:
        who = {"schema": SEARCH_SCHEMA, "searchId": self.identity.uid, "name": self.identity.name}
        self.store.create(keys.SEARCH, orjson.dumps({**who, "namespace": self.identity.namespace}))
        return recover(self.store)

    def _take(self, engine: Engine) -> None:
        self.engine = engine
        self._swept = len(engine.arrivals)
        self._feed.engine = engine
        self._feed.changed()

    # --- after its end --------------------------------------------------------------------------------------------

    @property
    def shelved(self) -> bool:
        """Whether the search has ended and is not in memory; `engine` is None then."""
        return self._shelved

    def shelve(self) -> None:
        """Let go of all that grows with the search, which has ended and has nothing to do."""
        if self.engine is None or not self.engine.done or len(self.inbox):
            raise RuntimeError("only a search that has ended can be put away")
        self._feed.shelve(self._book)
        self._shelf.put(self.identity.uid, Book(self.identity.name, self.engine))
        self.engine = self._journal = self._loop = None
        self._shelved = True

    async def wake(self) -> None:
        """Read what `shelve` let go of; harmless where nothing was. Readers may still look at the engine of before.

        Raises:
            IntegrityError, StoreError: the journal cannot be read.
        """
        if not self._shelved:
            return
        engine, self._journal = await self._recovered()
        self._shelf.forget(self.identity.uid)
        self._shelved = False
        self._take(_there(engine))

    async def current(self) -> Engine | None:
        """Return the search as it is, to look at; None before it was accepted.

        Raises:
            IntegrityError, StoreError: it has ended, and its journal cannot be read.
        """
        return (await self._book()).engine if self._shelved else self.engine

    async def _book(self) -> Book:
        return await self._shelf.book(self.identity.uid, self._read_book)

    async def _read_book(self) -> Book:
        engine, _ = await self._recovered()
        return Book(self.identity.name, _there(engine))

    # --- running --------------------------------------------------------------------------------------------------

    @property
    def busy(self) -> bool:
        """Whether the engine holds events that are not durable yet."""
        return self._loop is not None and self._loop.busy

    async def accept(self, spec: ArchitectureSearchSpec, data: DataDescription | None) -> None:
        """Write the first event.

        Raises:
            InvalidInputError: the space does not accept its parameters.
            LostOwnershipError, StoreError: see Journal.append.
        """
        started = first_event(spec, self.identity.uid, data)
        engine = Engine(started)
        await asyncio.to_thread(self._the_journal().append, [started])
        self._take(engine)

    def _the_journal(self) -> Journal:
        if self._journal is None:
            raise RuntimeError("the session is not open")
        return self._journal

    async def run(self, changed_spec: dict[str, Any] | None = None) -> LoopOutcome:
        """Run until the search has finished and what was asked for is done, or it is suspended and nothing runs.

        Args:
            changed_spec: the spec with what may change and did, since it was accepted or changed last.

        Raises:
            LostOwnershipError: another operator goes on with the search.
            StoreError: the journal could not be written.
        """
        if self.engine is None:
            raise RuntimeError("the search was not accepted")
        needs_evaluators = not self.engine.problem.graph_only
        dispatcher = self.desk if needs_evaluators else None
        self._loop = SearchLoop(
            self.engine,
            self._the_journal(),
            dispatcher,
            on_turn=self._turned,
            inbox=self.inbox,
            turnstile=self._turnstile,
        )
        if changed_spec is not None:
            self._loop.change_limits(changed_spec)
        self._sweeper = self._sweeper or asyncio.create_task(self._sweep())
        return await self._loop.run()

    def change_spec(self, spec: dict[str, Any]) -> None:
        """Let changed limits, suspend and the like take effect with the next turn."""
        if self._loop is not None:
            self._loop.change_limits(spec)

    async def request(self, request: TaskRequest) -> None:
        """Ask for a task; return when that is durable.

        Raises:
            NotBegunError: the search was not accepted yet.
            InvalidInputError: the task is not possible, or there is no such candidate.
            StoreError, UnavailableError: it could not be written; it may be asked for again.
        """
        engine = await self.current()
        if engine is None or self.desk is None:
            name = f"{self.identity.namespace}/{self.identity.name}"
            raise NotBegunError(f"the search {name} was not accepted yet; watch it to learn when it begins")
        known = {name for evaluator in self.desk.evaluators() for name in evaluator.capabilities}
        explainers = {name.removeprefix("explainer/") for name in known if name.startswith("explainer/")}
        # Before anything is started for it; the loop looks again.
        if accept(engine, request, 0.0, explainers=explainers or None) is not None:
            key = checkpoint_key(engine, request)
            try:
                if key is not None:
                    await asyncio.to_thread(self.store.get, key)
            except KeyError as error:
                raise gone(request) from error
        if self._closed:
            raise _not_served()
        await self.inbox.ask(request)

    def _turned(self, events: Sequence[Event]) -> None:
        engine = self.engine
        if engine is None:
            return
        if not engine.problem.graph_only:
            for number in engine.arrivals[self._swept :]:
                self._spent += spent_states(record(engine, number))
        self._swept = len(engine.arrivals)
        self._feed.changed()
        self._on_turn(events)

    async def _sweep(self) -> None:
        """Remove training states of evaluations that have ended; what stays behind only takes room."""
        while True:
            await asyncio.sleep(_SWEEP_SECONDS)
            names, self._spent = self._spent, []
            await self._remove(names)

    async def _remove(self, names: list[str]) -> None:
        if not names:
            return
        try:
            await asyncio.to_thread(self.store.delete_many, names)
        except StoreError as error:
            _log.warning("could not remove objects that are not needed any more", count=len(names), error=str(error))

    async def publish(self) -> bool:
        """Write tables and report, and remove what the retention rule gives up; return whether they were written.

        Raises:
            StoreError: one could not be stored.
        """
        if self.engine is None:
            raise RuntimeError("the search was not accepted")
        shown = await self._feed.view()
        written = True
        try:
            await asyncio.get_running_loop().run_in_executor(_REPORTING, publish, shown, self.store)
        except StoreError:
            raise
        except Exception:  # noqa: BLE001  a fault of ours in a table or picture must not keep a search from its end
            _log.exception("the report could not be made; the search is complete without it")
            written = False
        self._spent = []
        await self._remove(spent(view(self.engine, self.identity.name)))
        return written

    async def close(self, *, deleted: bool) -> None:
        """Let evaluators go where the search was deleted; else tell them to look for the server again."""
        self._closed = True
        self.inbox.refuse_all(_not_served())
        if self._sweeper is not None:
            # Not waited for: whoever closes the session may be cancelled itself, and the desk must end all the same.
            self._sweeper.cancel()
        if self.desk is not None:
            await self.desk.close(0.5, drain=False, deleted=deleted)


def _there(engine: Engine | None) -> Engine:
    if engine is None:
        raise IntegrityError("the search's journal is gone from the store; restore it from a back-up")
    return engine


def _not_served() -> UnavailableError:
    return UnavailableError("the search is not served for a moment; ask again")
