"""One search on the cluster, by level: what the resource says now, what is there now, and the next step between them.

Two tasks share the state. `_live` takes the search through its life: accepted, run, published, kept until its time is
over; an outage ends one life and begins another, which reads the journal anew. `_tend` makes evaluators and status
follow, at most once a second.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import structlog
from pydantic import ValidationError

from xnas_core.api import ArchitectureSearchSpec, changed_fields, resolve_paths
from xnas_core.api.change import with_mutable
from xnas_core.api.model_tree import dotted
from xnas_core.api.problems import Severity
from xnas_core.api.resource import ArchitectureSearch
from xnas_core.api.spec import Retention
from xnas_core.api.status import ArchitectureSearchStatus, ConditionReason, ConditionType, StateWord
from xnas_core.api.validate import check_document
from xnas_core.artifacts.store import ObjectStore
from xnas_core.dispatch.grants import GrantSource
from xnas_core.errors import IntegrityError, InvalidInputError, LostOwnershipError, StoreError, XnasError
from xnas_core.search.acceptance import lacking, needs_data
from xnas_core.search.problem import parse_spec
from xnas_core.service.feed import EngineFeed
from xnas_core.service.values import Standing
from xnas_core.tasks import DataDescription
from xnas_operator import kube_events
from xnas_operator.conditions import Finding
from xnas_operator.facts import engine_facts
from xnas_operator.kube.client import KubeClient
from xnas_operator.kube.errors import ConflictError, KubeError, NotFoundError
from xnas_operator.kube.resources import SEARCHES, JsonObject
from xnas_operator.manifests.defaults import EvaluatorDefaults
from xnas_operator.manifests.job import JobAction, pod_template
from xnas_operator.manifests.names import Owner
from xnas_operator.pool import EvaluatorPool
from xnas_operator.session import Identity, LeaseTimes, SearchSession
from xnas_operator.status import Situation, Trouble, make_status, status_patch, store_uris

_log = structlog.get_logger(__name__)

DATA_FOLDER = Path("/data")
"""What relative paths of a spec start from: where evaluator pods mount the data set's volume."""
FINALIZER = "xnas.dev/artifacts"
"""On a resource only while its artifacts must be deleted with it."""
STATUS_SECONDS = 1.0
"""Time between two patches of one status, at least."""
LOOK_SECONDS = 30.0
"""Time after which everything is looked at again, whatever was heard."""
PENDING_LOOK_SECONDS = 5.0
"""The same while evaluators are missing."""
_FIRST_WAIT, _LONGEST_WAIT = 1.0, 60.0
_TOLD = {
    JobAction.CREATE: "EvaluatorsCreated",
    JobAction.SCALE: "EvaluatorsScaled",
    JobAction.DELETE: "EvaluatorsDeleted",
    JobAction.REPLACE: "EvaluatorsReplaced",
}


_PLACEHOLDER = {"searchSpace": {"name": "unknown"}, "objectives": [{"name": "unknown", "direction": "maximize"}]}
"""Stands in the status for a spec that cannot be read at all."""


class RefusedError(InvalidInputError):
    """The search cannot run as it is written."""

    reason = "InvalidSpec"


class _AgainError(Exception):
    """The spec changed before anything was accepted: look at it anew."""


@dataclass(frozen=True)
class Surroundings:
    """What all searches share.

    Attributes:
        store: makes the store below a search's root.
        grants: makes the source of grants below a search's root.
        defaults: of evaluator pods, as they are now (the certificate authority may change).
        bucket: name of the bucket; prefix: of all keys in it.
        may_read: whether searches of a namespace may read data at an s3:// URI.
        synced: whether all Jobs and pods were listed once, so that what is not known is not there.
    """

    kube: KubeClient
    store: Callable[[str], ObjectStore]
    grants: Callable[[str], GrantSource]
    defaults: Callable[[], EvaluatorDefaults]
    times: LeaseTimes
    bucket: str
    prefix: str
    may_read: Callable[[str, str], bool]
    synced: Callable[[], bool]
    now: Callable[[], datetime] = lambda: datetime.now(UTC)


class SearchController:
    """One resource, from its first event to its last. `run` ends when the resource is gone."""

    def __init__(self, body: JsonObject, around: Surroundings) -> None:
        meta = body["metadata"]
        self.owner = Owner(meta["namespace"], meta["name"], meta["uid"])
        self.identity = Identity(self.owner.namespace, self.owner.name, self.owner.uid)
        self._around = around
        self._kube = around.kube
        self.body = body
        self.pool = EvaluatorPool(around.kube, self.owner)
        self.session: SearchSession | None = None
        self.feed = EngineFeed(self.owner.name, self.owner.uid, busy=self._busy, standing=self._standing)
        self._status: Mapping[str, Any] = body.get("status") or {}
        self._accepted = Finding.unknown(ConditionReason.AWAITING_EVALUATORS, "the spec is being looked at")
        self._trouble: Trouble | None = None
        self._changed_fields: tuple[str, ...] = ()
        self._report_uri: str | None = None
        self._gone = asyncio.Event()
        self._spec_news = asyncio.Event()
        self._dirty = asyncio.Event()
        self._wants_evaluators: bool | None = None
        """Whether there is work; None until the journal was read: evaluators of an earlier life go on meanwhile."""
        self._shown = Standing(StateWord.PENDING)
        self._read: tuple[int | None, ArchitectureSearch | None, str] = (None, None, "")
        self._log = _log.bind(namespace=self.owner.namespace, search=self.owner.name)

    # --- what is heard --------------------------------------------------------------------------------------------

    def observe(self, body: JsonObject) -> None:
        """Take the newest state of the resource."""
        before, self.body = self.body, body
        self._status = body.get("status") or {}
        if body["metadata"].get("deletionTimestamp"):
            self._gone.set()
        if before["metadata"].get("generation") != body["metadata"].get("generation"):
            self._spec_news.set()
            self._dirty.set()

    def vanished(self) -> None:
        """The resource is gone."""
        self._gone.set()

    def saw_job(self, kind: str, job: JsonObject) -> None:
        """Take a watch event about a Job of this search."""
        self.pool.saw_job(kind, job)
        self._dirty.set()

    def saw_pod(self, kind: str, pod: JsonObject) -> None:
        """Take a watch event about a pod of this search."""
        self.pool.saw_pod(kind, pod, self.session.desk if self.session is not None else None)
        self._dirty.set()

    def _busy(self) -> bool:
        return self.session is not None and self.session.busy

    def _standing(self) -> Standing:
        return self._shown

    # --- life -----------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Run the search until its resource is gone, whatever happens meanwhile."""
        with structlog.contextvars.bound_contextvars(namespace=self.owner.namespace, search=self.owner.name):
            living = asyncio.create_task(self._live_again_and_again())
            tending = asyncio.create_task(self._tend())
            gone = asyncio.create_task(self._gone.wait())
            try:
                await asyncio.wait({living, tending, gone}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in (living, tending, gone):
                    task.cancel()
                results = await asyncio.gather(living, tending, gone, return_exceptions=True)
                await self._end_session(drain=self._gone.is_set())
            for result in results:
                if isinstance(result, Exception):
                    raise result
            self.feed.end()
            await self._clean_up()

    async def _live_again_and_again(self) -> None:
        wait = _FIRST_WAIT
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
                self._meet(Trouble("JournalCorrupt", str(error), final=True))
                await self._tell("Warning", "JournalCorrupt", str(error))
                wait = _LONGEST_WAIT
            except LostOwnershipError as error:
                self._meet(Trouble("LostOwnership", f"{error}; it is read again"))
            except StoreError as error:
                self._meet(Trouble(ConditionReason.STORE_UNAVAILABLE, str(error)))
            except (KubeError, XnasError) as error:
                self._meet(Trouble(error.reason, str(error)))
            finally:
                await self._end_session(drain=False)
            if asyncio.get_running_loop().time() - began > 2 * _LONGEST_WAIT:
                wait = _FIRST_WAIT
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._spec_news.wait()
            wait = min(2 * wait, _LONGEST_WAIT)

    async def _live(self) -> None:
        spec = self._checked()
        await self._hold_artifacts(spec)
        root = self.identity.root
        session = SearchSession(
            self.identity, self._around.store(root), self._around.grants(root), self._around.times, self.feed,
            self._dirty.set,
        )  # fmt: skip
        self.session = session
        await session.open(spec)
        if session.engine is None:
            await self._accept(session, spec)
        elif session.engine.finished is not None:
            self._report_uri = self._status.get("reportUri")
        self._accepted = Finding.true(ConditionReason.ACCEPTED, "the spec was accepted")
        self._trouble = None
        self._dirty.set()
        while True:
            changes = self._changes(session)
            if session.engine is not None and session.engine.finished is not None and changes is None:
                await self._finished(session)
                continue
            if session.engine is not None and session.engine.suspended and changes is None:
                await self._next_spec()
                continue
            await self._run(session, changes)

    async def _run(self, session: SearchSession, changes: dict[str, Any] | None) -> None:
        """Run the loop; give it each change of the spec."""
        self._wants_evaluators = True
        self._report_uri = None
        self._dirty.set()
        running = asyncio.create_task(session.run(changes))
        try:
            while not running.done():
                news = asyncio.create_task(self._spec_news.wait())
                await asyncio.wait({running, news}, return_when=asyncio.FIRST_COMPLETED)
                news.cancel()
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
            self._dirty.set()

    async def _next_spec(self) -> None:
        await self._spec_news.wait()
        self._spec_news.clear()

    # --- the spec -------------------------------------------------------------------------------------------------

    def _look(self) -> tuple[ArchitectureSearch | None, str]:
        """Return the resource as a model, and its mistakes; looked at once for each generation."""
        generation = self.body["metadata"].get("generation")
        if self._read[0] != generation or generation is None:
            document = {key: self.body.get(key) for key in ("apiVersion", "kind", "metadata", "spec")}
            search, findings = check_document(document, DATA_FOLDER, here=False)
            wrong = [finding for finding in findings if finding.severity is Severity.ERROR]
            self._read = (generation, search, "; ".join(f"{dotted(f.path)}: {f.message}" for f in wrong))
        return self._read[1], self._read[2]

    @property
    def spec(self) -> ArchitectureSearchSpec | None:
        """The spec as it is now; None while it is not valid."""
        search, _ = self._look()
        return None if search is None else search.spec

    def _checked(self) -> ArchitectureSearchSpec:
        """Return the spec, paths resolved; raise RefusedError with every mistake."""
        search, mistakes = self._look()
        if search is None:
            raise RefusedError(mistakes or "the spec is not valid")
        try:
            pod_template(search, self._around.defaults())
        except InvalidInputError as error:
            raise RefusedError(str(error)) from error
        source = search.spec.dataset.source if search.spec.dataset is not None else None
        for place in filter(None, (source.npz, source.idx, source.image_folder) if source is not None else ()):
            if place.startswith("s3://") and not self._around.may_read(self.owner.namespace, place):
                raise RefusedError(
                    f"spec.dataset.source: searches of namespace {self.owner.namespace} may not read {place}; "
                    "ask the administrator to map the namespace to its prefix (dataPrefixes)"
                )
        return resolve_paths(search.spec, DATA_FOLDER)

    def _changes(self, session: SearchSession) -> dict[str, Any] | None:
        """Return the accepted spec with what may change and did; None if nothing did. Notes what may not change."""
        spec = self.spec
        if spec is None or session.engine is None:
            return None
        accepted = dict(session.engine.spec_document)
        new = resolve_paths(spec, DATA_FOLDER).to_document()
        mutable, immutable = changed_fields(accepted, new)
        self._changed_fields = tuple(immutable)
        self._dirty.set()
        return with_mutable(accepted, new) if mutable else None

    async def _accept(self, session: SearchSession, spec: ArchitectureSearchSpec) -> None:
        if spec.suspend:
            text = "the search is suspended and has not begun"
            self._accepted = Finding.unknown(ConditionReason.SUSPENDED, text)
            self._dirty.set()
            await self._next_spec()
            raise _AgainError
        data = await self._described(session, spec) if needs_data(spec) else None
        await session.accept(spec, data)
        await self._tell("Normal", "Accepted", "the spec was accepted; the search begins")

    async def _described(self, session: SearchSession, spec: ArchitectureSearchSpec) -> DataDescription:
        """Ask an evaluator what the data are; begin anew when the spec changes meanwhile."""
        if session.desk is None:
            raise RuntimeError("the session is not open")
        self._wants_evaluators = True
        text = "an evaluator must say first what the data are and which parts it has"
        self._accepted = Finding.unknown(ConditionReason.AWAITING_EVALUATORS, text)
        self._dirty.set()
        asking = asyncio.create_task(session.desk.describe())
        news = asyncio.create_task(self._spec_news.wait())
        try:
            await asyncio.wait({asking, news}, return_when=asyncio.FIRST_COMPLETED)
            if not asking.done():
                raise _AgainError
            answer = asking.result()
        finally:
            asking.cancel()
            news.cancel()
            await asyncio.gather(asking, news, return_exceptions=True)
        missing = lacking(spec, {name for e in session.desk.evaluators() for name in e.capabilities})
        if missing:
            raise RefusedError(f"the evaluators' image lacks {', '.join(missing)}; use an image that has it")
        if answer.description is None:
            kind = StoreError if answer.transient else RefusedError
            raise kind(answer.error)
        return answer.description

    async def _refuse(self, error: RefusedError) -> None:
        self._wants_evaluators = False
        self._accepted = Finding.false(error.reason, str(error))
        self._dirty.set()
        await self._tell("Warning", error.reason, str(error))

    def _meet(self, trouble: Trouble) -> None:
        self._log.warning("the search cannot go on for now", reason=trouble.reason, message=trouble.message)
        self._trouble = trouble
        self._dirty.set()

    # --- the end --------------------------------------------------------------------------------------------------

    async def _finished(self, session: SearchSession) -> None:
        """Publish, let the evaluators go, and wait for a changed spec or the end of the resource's time."""
        if session.engine is None or session.engine.finished is None:
            return
        end = session.engine.finished
        fresh = self._report_uri is None
        if fresh:
            await session.publish()
            self._report_uri = self._uris()[1]
        self._wants_evaluators = False
        if session.desk is not None:
            for evaluator in session.desk.evaluators():
                session.desk.drain(evaluator.id, 0.0)
        self._dirty.set()
        if fresh:
            await self._tell("Normal" if end.state == "Complete" else "Warning", end.state, end.message)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._time_left(end.time)):
                await self._next_spec()
                return
        await self._kube.delete(SEARCHES, self.owner.namespace, self.owner.name, uid=self.owner.uid)
        await self._next_spec()

    def _time_left(self, finished_at: float) -> float | None:
        ttl = self.spec.ttl_seconds_after_finished if self.spec is not None else None
        return None if ttl is None else max(0.0, finished_at + ttl - self._around.now().timestamp())

    async def _hold_artifacts(self, spec: ArchitectureSearchSpec) -> None:
        """Put the finalizer on a resource whose artifacts go with it."""
        held = self.body["metadata"].get("finalizers") or []
        if spec.artifacts.retention is Retention.DELETE and FINALIZER not in held:
            await self._set_finalizers([*held, FINALIZER])

    async def _set_finalizers(self, finalizers: list[str]) -> None:
        version = self.body["metadata"]["resourceVersion"]
        metadata = {"finalizers": finalizers, "uid": self.owner.uid, "resourceVersion": version}
        try:
            self.body = await self._kube.merge_patch(
                SEARCHES, self.owner.namespace, self.owner.name, {"metadata": metadata}
            )
        except ConflictError:
            self.body = await self._kube.get(SEARCHES, self.owner.namespace, self.owner.name)
            raise

    async def _clean_up(self) -> None:
        """Remove the artifacts of a deleted resource that wants it so; then let it go."""
        wait = _FIRST_WAIT
        while FINALIZER in (self.body["metadata"].get("finalizers") or []):
            try:
                store = self._around.store(self.identity.root)
                await asyncio.to_thread(_empty, store)
                rest = [name for name in self.body["metadata"]["finalizers"] if name != FINALIZER]
                await self._set_finalizers(rest)
            except NotFoundError:
                return
            except (StoreError, KubeError) as error:
                self._log.warning("the artifacts could not be removed yet", error=str(error))
                await asyncio.sleep(wait)
                wait = min(2 * wait, _LONGEST_WAIT)

    async def _end_session(self, *, drain: bool) -> None:
        session, self.session = self.session, None
        if session is not None:
            await session.close(drain=drain)
            # Who waits for a turn that was never written must not wait for ever.
            self.feed.changed()

    # --- evaluators and status ------------------------------------------------------------------------------------

    async def _tend(self) -> None:
        wait = LOOK_SECONDS
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._dirty.wait()
            self._dirty.clear()
            try:
                wait = await self._tend_once()
            except NotFoundError:
                wait = LOOK_SECONDS  # the resource is on its way out, which the watch will say
            except (KubeError, InvalidInputError) as error:
                self._log.warning("evaluators or status could not be brought up to date", error=str(error))
                self._dirty.set()
                await asyncio.sleep(2 * STATUS_SECONDS)
            await asyncio.sleep(STATUS_SECONDS)

    async def _tend_once(self) -> float:
        """Bring evaluators and status up to date; return after how many seconds to look again."""
        wanted, desk = self._wanted(), self.session.desk if self.session is not None else None
        search, _ = self._look()
        if search is not None and (self._wants_evaluators is not None or search.spec.suspend):
            try:
                plan = await self.pool.reconcile(search, self._around.defaults(), wanted)
                if plan.action is JobAction.CONFLICT:
                    self._trouble = Trouble("JobConflict", plan.message)
                if plan.action in _TOLD:
                    await self._tell("Normal", _TOLD[plan.action], plan.message)
            except KubeError as error:
                if error.code in (400, 403, 422):
                    self._trouble = Trouble(error.reason, f"the evaluators' Job was refused: {error}")
                else:
                    raise
        if desk is not None:
            await self.pool.look_at_silent(desk, complete=self._around.synced())
        await self._patch_status(await self._situation(wanted))
        missing = wanted > self._connected()
        return PENDING_LOOK_SECONDS if missing else LOOK_SECONDS

    def _wanted(self) -> int:
        spec = self.spec
        if self._wants_evaluators is None and self.pool.job is not None:
            return int((self.pool.job.get("spec") or {}).get("parallelism") or 0)
        if spec is None or not self._wants_evaluators or spec.suspend or not needs_data(spec) or self._gone.is_set():
            return 0
        return spec.evaluators.replicas

    def _connected(self) -> int:
        desk = self.session.desk if self.session is not None else None
        return sum(evaluator.connected for evaluator in desk.evaluators()) if desk is not None else 0

    async def _situation(self, wanted: int) -> Situation:
        engine = self.session.engine if self.session is not None else None
        # What a status says is durable (protocol.md §5.3).
        await self.feed.durable()
        accepted = self._accepted
        artifacts, _ = self._uris()
        return Situation(
            spec=self.spec or self._as_far_as_readable(),
            generation=self.body["metadata"].get("generation"),
            accepted=accepted,
            pool=await self.pool.describe(wanted, self._connected()),
            engine=engine_facts(engine) if engine is not None else None,
            trouble=self._trouble,
            changed_fields=self._changed_fields,
            artifacts_uri=artifacts if engine is not None else self._status.get("artifactsUri"),
            report_uri=self._report_uri,
        )

    def _as_far_as_readable(self) -> ArchitectureSearchSpec:
        """Return the spec although something in it is wrong, if it has the right shape at all."""
        try:
            return parse_spec(self.body.get("spec") or {})
        except ValidationError:
            return parse_spec(_PLACEHOLDER)

    async def _patch_status(self, here: Situation) -> None:
        status = make_status(self._status, here, self._around.now())
        shown = Standing(status.state, *_why(status))
        if shown != self._shown:
            self._shown = shown
            self.feed.changed()
        patch = status_patch(self._status, status)
        if patch is None or self._gone.is_set():
            return
        patched = await self._kube.patch_status(
            SEARCHES, self.owner.namespace, self.owner.name, patch["status"], uid=self.owner.uid
        )
        self._status = patched.get("status") or {}

    def _uris(self) -> tuple[str, str]:
        return store_uris(self._around.bucket, self._around.prefix + self.identity.root)

    async def _tell(self, kind: kube_events.EventType, reason: str, message: str) -> None:
        await kube_events.tell(self._kube, self.owner, kind, reason, message)


def _why(status: ArchitectureSearchStatus) -> tuple[str, str]:
    """Return reason and message of the condition that explains the state's word."""
    kinds = {
        StateWord.COMPLETE: ConditionType.COMPLETE,
        StateWord.FAILED: ConditionType.FAILED,
        StateWord.SUSPENDED: ConditionType.SUSPENDED,
    }
    kind = kinds.get(status.state, ConditionType.PROGRESSING)
    return next(((c.reason, c.message) for c in status.conditions if c.type is kind), ("", ""))


def _empty(store: ObjectStore) -> None:
    store.delete_many(store.list(""))
