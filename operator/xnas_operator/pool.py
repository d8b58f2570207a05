"""The evaluators of one search on the cluster: what was seen of them, and the Job that keeps them running."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import structlog

from xnas_core.api.resource import ArchitectureSearch
from xnas_core.dispatch.desk import SearchDesk
from xnas_operator import conditions
from xnas_operator.evidence import Sighting, explain
from xnas_operator.kube.client import KubeClient
from xnas_operator.kube.errors import ConflictError, ForbiddenError, KubeError, NotFoundError
from xnas_operator.kube.resources import CONFIG_MAPS, EVENTS, JOBS, NODES, SERVICE_ACCOUNTS, WORKLOADS, JsonObject
from xnas_operator.manifests.defaults import EvaluatorDefaults
from xnas_operator.manifests.job import DELETE_OPTIONS, JobAction, JobPlan, evaluator_job, plan_job
from xnas_operator.manifests.names import Owner, job_name
from xnas_operator.manifests.objects import ca_config_map, service_account

_log = structlog.get_logger(__name__)

_EVENTS_SECONDS = 10.0
"""How often Events are read while evaluators are missing."""
_NODE_SECONDS = 5.0
"""How often the node of a silent evaluator is looked at."""


class EvaluatorPool:
    """One search's evaluators. `job` and `pods` are fed by watches; `reconcile` makes the Job what is wanted.

    Args:
        starting: evaluators that are missing for so many seconds are just starting, and no Events are read for them.
    """

    def __init__(self, kube: KubeClient, owner: Owner, starting: float) -> None:
        self._kube = kube
        self._owner = owner
        self._starting = starting
        self.job: JsonObject | None = None
        self.pods: dict[str, JsonObject] = {}
        self._events: Sequence[JsonObject] = ()
        self._workload: JsonObject | None = None
        self._nodes: dict[str, _Node] = {}
        self._events_at = float("-inf")
        self._missing_since: float | None = None
        self._prepared: tuple[int, str] | None = None

    # --- what is seen ---------------------------------------------------------------------------------------------

    def saw_job(self, kind: str, job: JsonObject) -> None:
        """Take a watch event about a Job of this search."""
        if job["metadata"]["name"] == job_name(self._owner.name):
            self.job = None if kind == "DELETED" else job

    def saw_pod(self, kind: str, pod: JsonObject, desk: SearchDesk | None) -> None:
        """Take a watch event about a pod of this search; what it says of the evaluator's end goes to the desk."""
        name = pod["metadata"]["name"]
        if kind == "DELETED":
            last = self.pods.pop(name, pod)
            # A missed deletion leaves only the pod's name behind: then what was seen last is all there is.
            pod = pod if "status" in pod else last
        else:
            self.pods[name] = pod
        evidence = explain(Sighting(pod, job=self.job, job_gone=self.job is None))
        if kind == "DELETED":
            evidence = replace(evidence, gone=True) if evidence is not None else explain(Sighting(None, job=self.job))
        if evidence is not None and desk is not None:
            desk.report_end(name, evidence.reason, evidence.message, gone=evidence.gone)

    async def look_at_silent(self, desk: SearchDesk, *, complete: bool) -> None:
        """Look for why evaluators are silent: their pod, gone while nobody watched, or their node.

        Args:
            complete: all pods are known, so one that is not known is not there.
        """
        for evaluator in desk.evaluators():
            if evaluator.connected:
                continue
            pod = self.pods.get(evaluator.id)
            if pod is None:
                ours = evaluator.id.startswith(f"{job_name(self._owner.name)}-")
                seen = Sighting(None, job=self.job, job_gone=self.job is None) if ours and complete else None
            else:
                node = await self._node(str((pod.get("spec") or {}).get("nodeName") or ""))
                document = node.document if node is not None else None
                gone = node is not None and document is None
                seen = Sighting(pod, job=self.job, job_gone=self.job is None, node=document, node_gone=gone)
            evidence = explain(seen) if seen is not None else None
            if evidence is not None:
                desk.report_end(evaluator.id, evidence.reason, evidence.message, gone=evidence.gone)

    async def _node(self, name: str) -> _Node | None:
        now = asyncio.get_running_loop().time()
        known = self._nodes.get(name)
        if not name or (known is not None and now - known.read_at < _NODE_SECONDS):
            return known
        try:
            self._nodes[name] = _Node(await self._kube.get(NODES, "", name), now)
        except NotFoundError:
            self._nodes[name] = _Node(None, now)
        except KubeError as error:
            # Without the right to read nodes, a lost node counts as a loss without explanation.
            _log.debug("a node cannot be read", node=name, error=str(error))
            return None
        return self._nodes[name]

    # --- what is wanted -------------------------------------------------------------------------------------------

    async def reconcile(self, search: ArchitectureSearch, defaults: EvaluatorDefaults, wanted: int) -> JobPlan:
        """Do the next step towards so many evaluators; return what was done.

        Raises:
            KubeError: the API server refused or did not answer.
            InvalidInputError: see `evaluator_job`.
        """
        name, space = job_name(self._owner.name), self._owner.namespace
        if self.job is not None and not self._owned(self.job):
            # Nobody tells us when it goes: the watch hears of our Jobs, and gives each to the search that it names.
            self.job = await self._read_job(name)
        plan = plan_job(self.job, self._owner, wanted)
        if wanted:
            await self._prepare(search, defaults)
        match plan.action:
            case JobAction.CREATE:
                job = evaluator_job(search, defaults)
                # After a search's end there may be a use for fewer than it has.
                job["spec"] |= {"parallelism": wanted, "completions": wanted}
                self.job, created = await self._kube.create_or_get(JOBS, space, job)
                if not created:
                    return plan_job(self.job, self._owner, wanted)
            case JobAction.SCALE if self.job is not None:
                patch = {**(plan.patch or {}), "metadata": {"uid": self.job["metadata"]["uid"]}}
                self.job = await self._kube.merge_patch(JOBS, space, name, patch)
            case JobAction.DELETE | JobAction.REPLACE if self.job is not None:
                uid = self.job["metadata"]["uid"]
                try:
                    propagation = DELETE_OPTIONS["propagationPolicy"]
                    await self._kube.delete(JOBS, space, name, propagation=propagation, uid=uid)
                except ConflictError:
                    _log.info("the Job was replaced meanwhile", job=name)
            case _:
                pass
        return plan

    def _owned(self, job: JsonObject) -> bool:
        return any(ref.get("uid") == self._owner.uid for ref in job["metadata"].get("ownerReferences") or ())

    async def _read_job(self, name: str) -> JsonObject | None:
        try:
            return await self._kube.get(JOBS, self._owner.namespace, name)
        except NotFoundError:
            return None

    async def _prepare(self, search: ArchitectureSearch, defaults: EvaluatorDefaults) -> None:
        """Apply account and certificate authorities, once, and again when an authority has changed."""
        state = (hash((defaults.ca_pem, defaults.store_ca_pem)), self._owner.uid)
        if self._prepared == state:
            return
        space = self._owner.namespace
        await self._kube.apply(SERVICE_ACCOUNTS, space, service_account(search))
        await self._kube.apply(CONFIG_MAPS, space, ca_config_map(search, defaults))
        self._prepared = state

    async def describe(self, wanted: int, connected: int) -> conditions.Pool:
        """Return what is known of the pool, for its condition; reads Events now and then while evaluators miss."""
        if wanted > connected:
            await self._read_reasons()
        else:
            self._events, self._workload, self._missing_since = (), None, None
        return conditions.Pool(
            wanted, connected, self.job, tuple(self.pods.values()), workload=self._workload, events=self._events
        )

    async def _read_reasons(self) -> None:
        now = asyncio.get_running_loop().time()
        if self.job is None or now - self._events_at < _EVENTS_SECONDS:
            return
        if self._missing_since is None:
            self._missing_since = now
        if now - self._missing_since < self._starting and not _queued(self.job):
            return
        self._events_at = now
        space = self._owner.namespace
        try:
            names = {job_name(self._owner.name), *self.pods}
            found: list[JsonObject] = []
            for name in sorted(names)[:8]:
                found += (await self._kube.list(EVENTS, space, fields=f"involvedObject.name={name}")).items
            self._events = found
            if _queued(self.job):
                labels = f"kueue.x-k8s.io/job-uid={self.job['metadata']['uid']}"
                self._workload = next(iter((await self._kube.list(WORKLOADS, space, labels=labels)).items), None)
        except (NotFoundError, ForbiddenError):
            pass
        except KubeError as error:
            _log.debug("the reasons of waiting cannot be read", error=str(error))


@dataclass(frozen=True, slots=True)
class _Node:
    document: JsonObject | None
    read_at: float


def _queued(job: Mapping[str, Any]) -> bool:
    return bool((job.get("spec") or {}).get("suspend"))
