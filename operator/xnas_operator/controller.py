"""One search on the cluster, by level: what the resource says now, what is there now, and the next step between them.

Two tasks share what is known. `_live` takes the search through its life: accepted, run, published, kept until its time
is over; an outage ends one life and begins another, which reads the journal anew. `Upkeep` makes evaluators and status
follow.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any

import structlog

from xnas_core.api import ArchitectureSearchSpec
from xnas_core.api.status import ConditionReason
from xnas_core.errors import IntegrityError, LostOwnershipError, StoreError, XnasError
from xnas_core.search.acceptance import lacking, needs_data
from xnas_core.search.events import Event
from xnas_core.search.requests import TaskRequest
from xnas_core.service.errors import NotBegunError, NotFoundError, UnavailableError
from xnas_core.service.feed import EngineFeed
from xnas_core.service.values import Standing
from xnas_core.tasks import DataDescription
from xnas_operator import kube_events, measuring
from xnas_operator.artifact_keeping import ArtifactKeeper
from xnas_operator.conditions import Finding
from xnas_operator.known import Known, Surroundings
from xnas_operator.kube.errors import KubeError
from xnas_operator.kube.resources import SEARCHES, JsonObject
from xnas_operator.manifests.names import Owner
from xnas_operator.pool import EvaluatorPool
from xnas_operator.session import Identity, SearchSession
from xnas_operator.spec_news import SpecNews
from xnas_operator.spec_reading import RefusedError, SpecReader
from xnas_operator.status import Trouble, store_uris
from xnas_operator.upkeep import Upkeep

_log = structlog.get_logger(__name__)


class _AgainError(Exception):
    """The spec changed before anything was accepted: look at it anew."""


class SearchController:
    """One resource, from its first event to its last. `run` ends when the resource is gone."""

    def __init__(self, body: JsonObject, around: Surroundings) -> None:
        meta = body["metadata"]
        self.owner = Owner(meta["namespace"], meta["name"], meta["uid"])
        self.identity = Identity(self.owner.namespace, self.owner.name, self.owner.uid)
        self._around = around
        self.known = Known(body, body.get("status") or {})
        if body["metadata"].get("deletionTimestamp"):
            self.known.gone.set()
        self.pool = EvaluatorPool(around.kube, self.owner, around.pace.starting)
        self.feed = EngineFeed(self.owner.name, self.owner.uid, busy=self._busy, standing=self._standing)
        self._uris = store_uris(around.bucket, around.prefix + self.identity.root)
        self._reader = SpecReader(around.defaults, around.may_read)
        self._upkeep = Upkeep(around, self.owner, self.known, self._reader, self.pool, self.feed, self._uris)
        self._artifacts = ArtifactKeeper(around, self.owner, self.identity.root, self.known)
        self._spec_news = SpecNews()
        self._stale = True
        """Whether tables and report are older than the search."""
        self._ended_at = 0.0
        """Since when there is nothing to do, in seconds since the epoch."""

    @property
    def session(self) -> SearchSession | None:
        """The search while it is open here."""
        return self.known.session

    @property
    def being_read(self) -> bool:
        """Whether nobody knows whether the search has begun, and how far it is: its journal must be read first."""
        return self.feed.accepted_document is None and not self.known.journal_read

    # --- what is heard --------------------------------------------------------------------------------------------

    def observe(self, body: JsonObject) -> None:
        """Take the newest state of the resource."""
        before, self.known.body = self.known.body, body
        self.known.status = body.get("status") or {}
        if body["metadata"].get("deletionTimestamp"):
            self.known.gone.set()
        if before["metadata"].get("generation") != body["metadata"].get("generation"):
            self._spec_news.set()
            self.known.dirty.set()

    def vanished(self) -> None:
        """The resource is gone."""
        self.known.gone.set()

    def saw_job(self, kind: str, job: JsonObject) -> None:
        """Take a watch event about a Job of this search."""
        self.pool.saw_job(kind, job)
        self.known.dirty.set()

    def saw_pod(self, kind: str, pod: JsonObject) -> None:
        """Take a watch event about a pod of this search."""
        self.pool.saw_pod(kind, pod, self.session.desk if self.session is not None else None)
        self.known.dirty.set()

    def _busy(self) -> bool:
        return self.session is not None and self.session.busy

    def _standing(self) -> Standing:
        return self._upkeep.shown

    async def request_task(self, request: TaskRequest) -> None:
        """Ask for a task; return when that is durable. See SearchSession.request.

        Raises:
            NotFoundError: the search has no such candidate.
            NotBegunError: it was not accepted yet.
        """
        session = self.session
        engine = await session.current() if session is not None else None
        if session is None or engine is None:
            where = f"the search {self.owner.namespace}/{self.owner.name}"
            if self.feed.accepted_document is not None or self.being_read:
                raise UnavailableError(f"{where} is being read; ask again")
            raise NotBegunError(f"{where} was not accepted yet; watch it to learn when it begins")
        if request.candidate not in engine.by_id:
            raise NotFoundError(f"{self.owner.name!r} has no candidate {request.candidate[:80]!r}")
        await session.request(request)

    # --- life -----------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Run the search until its resource is gone, whatever happens meanwhile."""
        with structlog.contextvars.bound_contextvars(namespace=self.owner.namespace, search=self.owner.name):
            self._around.metrics.begin(self.owner)
            if not self.known.gone.is_set():
                await self._until_gone()
            self.feed.end()
            self._around.shelf.forget(self.owner.uid)
            await self._artifacts.clean_up()
            self._around.metrics.forget(self.owner)

    async def _until_gone(self) -> None:
        living = asyncio.create_task(self._live_again_and_again())
        tending = asyncio.create_task(self._upkeep.run())
        gone = asyncio.create_task(self.known.gone.wait())
        try:
            await asyncio.wait({living, tending, gone}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (living, tending, gone):
                task.cancel()
            results = await asyncio.gather(living, tending, gone, return_exceptions=True)
            await self._end_session()
        for result in results:
            if isinstance(result, Exception):
                raise result

    async def _live_again_and_again(self) -> None:
        pace = self._around.pace
        wait = pace.first_wait
        while True:
            began = asyncio.get_running_loop().time()
            self._spec_news.clear()
            try:
                await self._live()
                return
            except _AgainError:
                continue
            except RefusedError as error:
                await self._refuse(error)
                await self._spec_news.wait()
                continue
            except IntegrityError as error:
                # Evaluators could wait for months. What they have done lies in the store.
                self.known.wants_evaluators = False
                self._meet(Trouble("JournalCorrupt", str(error), final=True))
                await self._tell("Warning", "JournalCorrupt", str(error))
                wait = pace.longest_wait
            except LostOwnershipError as error:
                self._meet(Trouble("LostOwnership", f"{error}; it is read again"))
            except StoreError as error:
                self._meet(Trouble(ConditionReason.STORE_UNAVAILABLE, str(error)))
            except (KubeError, XnasError) as error:
                self._meet(Trouble(error.reason, str(error)))
            finally:
                await self._end_session()
            if asyncio.get_running_loop().time() - began > 2 * pace.longest_wait:
                wait = pace.first_wait
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._spec_news.wait()
            wait = min(2 * wait, pace.longest_wait)

    async def _live(self) -> None:
        known = self.known
        spec, refused = self._checked()
        if spec is not None:
            await self._artifacts.hold(spec)
        root = self.identity.root
        store = measuring.MeasuredStore(self._around.store(root), self._around.metrics)
        session = SearchSession(
            self.identity,
            store,
            self._around.grants(root),
            self._around.data_grants(self.owner.namespace),
            self._around.times,
            self.feed,
            self._turned,
            self._around.turnstile,
            self._around.shelf,
        )
        known.session = session
        await session.open(spec)
        known.journal_read = True
        self.feed.changed()
        if session.engine is None:
            if spec is None:
                raise refused or RefusedError("the spec is not valid")
            await self._accept(session, spec)
        elif session.engine.finished is not None:
            known.report_uri = known.status.get("reportUri")
        # Nobody knows whether a task's end was published before this process began.
        tasks = session.engine.ledger.tasks.values() if session.engine is not None else ()
        self._stale = known.report_uri is None or any(task.requested for task in tasks)
        known.accepted = Finding.true(ConditionReason.ACCEPTED, "the spec was accepted")
        known.trouble = None
        known.dirty.set()
        while True:
            changes = self._changes(session)
            nothing_new = changes is None and not len(session.inbox)
            if session.shelved and nothing_new:
                await self._rest(session)
                continue
            await session.wake()
            if session.engine is not None and session.engine.done and nothing_new:
                await self._finished(session)
                continue
            if session.engine is not None and session.engine.suspended and nothing_new:
                await self._spec_news.or_request(session.inbox)
                continue
            await self._run(session, changes)

    def _checked(self) -> tuple[ArchitectureSearchSpec | None, RefusedError | None]:
        """Return the spec, or why it cannot run where the search has begun with another one; raise RefusedError."""
        try:
            return self._reader.checked(self.known.body), None
        except RefusedError as error:
            if not self.known.status.get("startTime"):
                raise
            return None, error

    async def _run(self, session: SearchSession, changes: dict[str, Any] | None) -> None:
        """Run the loop; give it each change of the spec."""
        engine = session.engine
        goes_on = engine is None or engine.finished is None or not (changes is None or engine.stays_finished(changes))
        if goes_on or len(session.inbox) or not (engine is not None and engine.done):
            self.known.wants_evaluators = True
            self._stale = True
        if goes_on:
            self.known.report_uri = None
        self.known.dirty.set()
        running = asyncio.create_task(session.run(changes))
        try:
            while not running.done():
                await self._spec_news.or_end_of(running)
                if not running.done() and self._spec_news.is_set():
                    self._spec_news.clear()
                    changes = self._changes(session)
                    if changes is not None:
                        session.change_spec(changes)
                        await self._tell("Normal", "SpecChanged", "changed fields of the spec take effect")
            running.result()
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            self.known.dirty.set()

    def _turned(self, events: Sequence[Event]) -> None:
        if self.session is not None and self.session.engine is not None:
            measuring.count(self._around.metrics, self.owner, self.session.engine, events)
        self.known.dirty.set()

    def _changes(self, session: SearchSession) -> dict[str, Any] | None:
        """Return the accepted spec with what may change and did; None if nothing did. Notes what may not change."""
        accepted = self.feed.accepted_document
        if accepted is None or (session.engine is None and not session.shelved):
            return None
        change = self._reader.change(self.known.body, accepted)
        if change is None:
            return None
        self.known.changed_fields = change.refused
        self.known.dirty.set()
        return change.document

    # --- acceptance -----------------------------------------------------------------------------------------------

    async def _accept(self, session: SearchSession, spec: ArchitectureSearchSpec) -> None:
        if spec.suspend:
            text = "the search is suspended and has not begun"
            self.known.accepted = Finding.unknown(ConditionReason.SUSPENDED, text)
            self.known.dirty.set()
            await self._spec_news.next()
            raise _AgainError
        data = await self._described(session, spec) if needs_data(spec) else None
        await session.accept(spec, data)
        await self._tell("Normal", "Accepted", "the spec was accepted; the search begins")

    async def _described(self, session: SearchSession, spec: ArchitectureSearchSpec) -> DataDescription:
        """Ask an evaluator what the data are; begin anew when the spec changes meanwhile."""
        if session.desk is None:
            raise RuntimeError("the session is not open")
        self.known.wants_evaluators = True
        text = "an evaluator must say first what the data are and which parts it has"
        self.known.accepted = Finding.unknown(ConditionReason.AWAITING_EVALUATORS, text)
        self.known.dirty.set()
        asking = asyncio.create_task(session.desk.describe())
        try:
            await self._spec_news.or_end_of(asking)
            if not asking.done():
                raise _AgainError
            answer = asking.result()
        finally:
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
        missing = lacking(spec, {name for e in session.desk.evaluators() for name in e.capabilities})
        if missing:
            raise RefusedError(f"the evaluators' image lacks {', '.join(missing)}; use an image that has it")
        if answer.description is None:
            kind = StoreError if answer.transient else RefusedError
            raise kind(answer.error)
        return answer.description

    async def _refuse(self, error: RefusedError) -> None:
        self.known.wants_evaluators = False
        self.known.accepted = Finding.false(error.reason, str(error))
        self.known.journal_read = True  # or there is none: one that has begun is refused only after it was read
        self.feed.changed()
        self.known.dirty.set()
        await self._tell("Warning", error.reason, str(error))

    def _meet(self, trouble: Trouble) -> None:
        _log.warning("the search cannot go on for now", reason=trouble.reason, message=trouble.message)
        self.known.trouble = trouble
        self.known.dirty.set()

    # --- the end --------------------------------------------------------------------------------------------------

    async def _finished(self, session: SearchSession) -> None:
        """Publish, let the evaluators go, and put the search away."""
        if session.engine is None or session.engine.finished is None:
            return
        end = session.engine.finished
        stale, self._stale = self._stale, False
        fresh = stale and self.known.report_uri is None
        if stale:
            if await session.publish():
                self.known.report_uri = self._uris[1]
            else:
                await self._tell("Warning", "ReportFailed", "the report could not be made; the operator's log says why")
        self.known.wants_evaluators = False
        if session.desk is not None:
            for evaluator in session.desk.evaluators():
                session.desk.drain(evaluator.id, 0.0)
        self.known.dirty.set()
        if fresh:
            await self._tell("Normal" if end.state == "Complete" else "Warning", end.state, end.message)
        # A task may have ended long after the search: its result has as much time to be fetched.
        self._ended_at = max(end.time, session.engine.watch.last_time)
        if not len(session.inbox):
            self._upkeep.look_at(session.engine)
            session.shelve()

    async def _rest(self, session: SearchSession) -> None:
        """Wait for a changed spec, a task, or the end of the resource's time."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._time_left(self._ended_at)):
                await self._spec_news.or_request(session.inbox)
                return
        await self._around.kube.delete(SEARCHES, self.owner.namespace, self.owner.name, uid=self.owner.uid)
        await self._spec_news.next()

    def _time_left(self, finished_at: float) -> float | None:
        search = self._reader.going_on(self.known.body, self.feed.accepted_document)
        ttl = search.spec.ttl_seconds_after_finished if search is not None else None
        return None if ttl is None else max(0.0, finished_at + ttl - self._around.now().timestamp())

    async def _end_session(self) -> None:
        session, self.known.session = self.known.session, None
        if session is not None:
            if session.busy:
                # It holds events that were not made durable: nobody may be shown them.
                self.feed.engine, self.known.journal_read = None, False
            await session.close(deleted=self.known.gone.is_set())
            # Who waits for a turn that was never written must not wait for ever.
            self.feed.changed()

    async def _tell(self, kind: kube_events.EventType, reason: str, message: str) -> None:
        await self._around.tell(self.owner, kind, reason, message)
