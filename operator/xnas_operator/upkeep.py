"""Evaluators and status follow the search: looked at when something happened, written at most once a second."""

from __future__ import annotations

import asyncio
import contextlib
import math

import structlog
from pydantic import ValidationError

from xnas_core.api import ArchitectureSearchSpec
from xnas_core.api.resource import ArchitectureSearch
from xnas_core.api.status import ArchitectureSearchStatus, ConditionReason, ConditionType, StateWord
from xnas_core.errors import InvalidInputError
from xnas_core.search.acceptance import needs_data
from xnas_core.search.engine import Engine
from xnas_core.search.problem import parse_spec
from xnas_core.service.feed import EngineFeed
from xnas_core.service.values import Standing
from xnas_operator.facts import EngineFacts, engine_facts, late_work
from xnas_operator.known import Known, Surroundings
from xnas_operator.kube.errors import KubeError, NotFoundError
from xnas_operator.kube.resources import SEARCHES
from xnas_operator.manifests.job import JobAction
from xnas_operator.manifests.names import Owner
from xnas_operator.metrics import SLOT_STATES
from xnas_operator.pool import EvaluatorPool
from xnas_operator.spec_reading import SpecReader
from xnas_operator.status import Situation, Trouble, make_status

_log = structlog.get_logger(__name__)

_COUNTS = frozenset({"evaluations", "generation", "hypervolume", "front", "frontSize"})
_OF_ENGINE = _COUNTS | {"startTime", "completionTime"}
_TOLD = {
    JobAction.CREATE: "EvaluatorsCreated",
    JobAction.SCALE: "EvaluatorsScaled",
    JobAction.DELETE: "EvaluatorsDeleted",
    JobAction.REPLACE: "EvaluatorsReplaced",
}
_SILENT = "the store has not taken the search's last events yet; nothing goes on until it does, and nothing is lost"
_PLACEHOLDER = {"searchSpace": {"name": "unknown"}, "objectives": [{"name": "unknown", "direction": "maximize"}]}
"""Stands in the status for a spec that cannot be read at all."""


class Upkeep:
    """Of one search.

    Args:
        uris: where the search's artifacts and its report lie.
    """

    def __init__(
        self,
        around: Surroundings,
        owner: Owner,
        known: Known,
        reader: SpecReader,
        pool: EvaluatorPool,
        feed: EngineFeed,
        uris: tuple[str, str],
    ) -> None:
        self._around = around
        self._owner = owner
        self._known = known
        self._reader = reader
        self._pool = pool
        self._feed = feed
        self._uris = uris
        self._facts: EngineFacts | None = None
        self._patched_at = float("-inf")
        self._turned_at = float("inf")
        """When something other than counts was written last, or anything for the first time."""
        self._late_most = 0
        self.shown = Standing(StateWord.PENDING)

    def look_at(self, engine: Engine) -> None:
        """Take the facts of a search that is put away now, all of whose events are durable."""
        self._facts = engine_facts(engine)

    async def run(self) -> None:
        """Go on until cancelled."""
        wait = self._around.pace.look
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._known.dirty.wait()
            self._known.dirty.clear()
            try:
                wait = await self._look()
            except NotFoundError:
                wait = self._around.pace.look  # the resource is on its way out, which the watch will say
            except (KubeError, InvalidInputError) as error:
                _log.warning("evaluators or status could not be brought up to date", error=str(error))
                self._known.dirty.set()
                await asyncio.sleep(2 * self._around.pace.status)
            await asyncio.sleep(self._around.pace.status)

    async def _look(self) -> float:
        """Bring evaluators and status up to date; return after how many seconds to look again."""
        wanted, known = self._wanted(), self._known
        search = self._search()
        if search is not None and (known.wants_evaluators is not None or search.spec.suspend):
            try:
                plan = await self._pool.reconcile(search, self._around.defaults(), wanted)
                in_the_way = wanted and plan.action is JobAction.CONFLICT
                known.job_trouble = Trouble("JobConflict", plan.message) if in_the_way else None
                if plan.action in _TOLD:
                    await self._around.tell(self._owner, "Normal", _TOLD[plan.action], plan.message)
            except KubeError as error:
                if error.code not in (400, 403, 422):
                    raise
                known.job_trouble = Trouble(error.reason, f"the evaluators' Job was refused: {error}")
        if known.session is not None and known.session.desk is not None:
            await self._pool.look_at_silent(known.session.desk, complete=self._around.synced())
        later = await self._patch_status(await self._situation(wanted))
        self._measure()
        missing = wanted > self._connected()
        return min(later, self._around.pace.pending_look if missing else self._around.pace.look)

    def _search(self) -> ArchitectureSearch | None:
        return self._reader.going_on(self._known.body, self._feed.accepted_document)

    def _wanted(self) -> int:
        known, search = self._known, self._search()
        spec = search.spec if search is not None else None
        if known.gone.is_set() or (spec is not None and spec.suspend):
            return 0
        if known.wants_evaluators is None and self._pool.job is not None:
            return int((self._pool.job.get("spec") or {}).get("parallelism") or 0)
        if spec is None or not known.wants_evaluators or not needs_data(spec):
            return 0
        return int(min(spec.evaluators.replicas, self._most_useful()))

    def _most_useful(self) -> float:
        """Return how many evaluators have a use: no bound while the search goes on, afterwards one for each task.

        It only grows until no task is left: an evaluator that goes would hand back what it does.
        """
        session = self._known.session
        if session is None or session.engine is None or session.engine.finished is None:
            return math.inf
        need = max(late_work(session.engine), min(1, len(session.inbox)))
        self._late_most = max(self._late_most, need) if need else 0
        return self._late_most

    def _connected(self) -> int:
        desk = self._known.session.desk if self._known.session is not None else None
        return sum(evaluator.connected for evaluator in desk.evaluators()) if desk is not None else 0

    async def _situation(self, wanted: int) -> Situation:
        known = self._known
        trouble = known.trouble or known.job_trouble
        try:
            # What a status says is durable (protocol.md §5.3).
            async with asyncio.timeout(self._around.pace.patience):
                await self._feed.durable()
            if self._feed.engine is not None:
                self._facts = engine_facts(self._feed.engine)
        except TimeoutError:
            trouble = trouble or Trouble(ConditionReason.STORE_UNAVAILABLE, _SILENT)
        artifacts, _ = self._uris
        return Situation(
            spec=self._reader.spec(known.body) or self._as_far_as_readable(),
            generation=known.body["metadata"].get("generation"),
            accepted=known.accepted,
            pool=await self._pool.describe(wanted, self._connected()),
            engine=self._facts,
            trouble=trouble,
            changed_fields=known.changed_fields,
            artifacts_uri=artifacts if self._facts is not None else known.status.get("artifactsUri"),
            report_uri=known.report_uri,
        )

    def _as_far_as_readable(self) -> ArchitectureSearchSpec:
        """Return the spec although something in it is wrong, if it has the right shape at all."""
        try:
            return parse_spec(self._known.body.get("spec") or {})
        except ValidationError:
            return parse_spec(_PLACEHOLDER)

    async def _patch_status(self, here: Situation) -> float:
        """Write what has changed; return after how many seconds to look again, if it was left for later."""
        known = self._known
        status = make_status(known.status, here, self._around.now())
        shown = Standing(status.state, *_why(status))
        if shown != self.shown:
            self.shown = shown
            self._feed.changed()
        document = status.to_document()
        if here.engine is None and known.status.get("startTime"):
            # The journal was not read yet, after a restart: what it said stands.
            document |= {key: known.status[key] for key in _OF_ENGINE if key in known.status}
        changed = {key for key in document.keys() | known.status.keys() if document.get(key) != known.status.get(key)}
        if not changed or known.gone.is_set():
            return self._around.pace.look
        now = asyncio.get_running_loop().time()
        pace, only_counts = self._around.pace, changed <= _COUNTS
        wait = min(max(pace.counts, self._patched_at - self._turned_at), pace.longest_counts)
        due = self._patched_at + wait - now
        if only_counts and due > 0:
            return due
        if not only_counts or math.isinf(self._patched_at):
            self._turned_at = now
        self._patched_at = now
        space, name = self._owner.namespace, self._owner.name
        patched = await self._around.kube.replace_status(SEARCHES, space, name, document, uid=self._owner.uid)
        known.status = patched.get("status") or {}
        return self._around.pace.look

    def _measure(self) -> None:
        """Let the metrics follow."""
        metrics, owner = self._around.metrics, self._owner
        session = self._known.session
        if self._known.gone.is_set():
            return
        metrics.standing(owner, self.shown.state.value)
        if self._facts is not None:
            progress = self._facts.progress
            metrics.front(owner, progress.front_size, progress.hypervolume)
            counts = dict.fromkeys(SLOT_STATES, 0)
            for view in session.desk.evaluators() if session is not None and session.desk is not None else ():
                busy = view.busy if view.connected else 0
                counts["busy"] += busy
                counts["free" if view.connected else "disconnected"] += view.slots - busy
            metrics.slots(owner, counts)


def _why(status: ArchitectureSearchStatus) -> tuple[str, str]:
    """Return reason and message of the condition that explains the state's word."""
    kinds = {
        StateWord.COMPLETE: ConditionType.COMPLETE,
        StateWord.FAILED: ConditionType.FAILED,
        StateWord.SUSPENDED: ConditionType.SUSPENDED,
    }
    kind = kinds.get(status.state, ConditionType.PROGRESSING)
    return next(((c.reason, c.message) for c in status.conditions if c.type is kind), ("", ""))
