"""The Indexed Job that keeps a search's evaluators running, and what to do with the one that is there.

The Job contract: parallelism and completions are one number; the highest indexes go first; a Job's template never
changes once it exists; `suspend` belongs to Kueue and is never in a document of ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from xnas_core.api.base import API_VERSION, KIND
from xnas_core.api.resource import ArchitectureSearch
from xnas_core.errors import InvalidInputError
from xnas_operator.manifests.defaults import EvaluatorDefaults
from xnas_operator.manifests.merge import merge
from xnas_operator.manifests.names import CONTAINER, Owner, job_name, metadata
from xnas_operator.manifests.pod import base_template
from xnas_operator.manifests.protection import check_template, check_unchanged
from xnas_operator.manifests.quantity import memory_bytes

QUEUE_LABEL = "kueue.x-k8s.io/queue-name"
NEVER_GIVE_UP = 2**31 - 1
"""The largest backoffLimit: evaluators come back for as long as the search lives. Attempts are counted elsewhere."""
LEFT_BY_ITSELF = (4, 130, 143)
"""Exit codes with which an evaluator says that it left: the server was gone, SIGINT, SIGTERM. In ascending order."""
DELETE_OPTIONS: Mapping[str, Any] = {"propagationPolicy": "Foreground"}
"""Of the Job: it stays, marked as deleted, until its pods are gone. So they can still be explained, and the next Job
does not ask for GPUs that the last one holds."""
_AGENT_MIB = 160
"""What the agent itself needs of a memory limit; measured: 66, without torch."""
_SMALLEST_LIMIT_MIB = 64


def evaluator_job(search: ArchitectureSearch, defaults: EvaluatorDefaults) -> dict[str, Any]:
    """Return the Job of a search's evaluators.

    Raises:
        InvalidInputError: a template changes what it may not, or is no pod template (the message names the field);
            replicas is 0, for which there is no Job; the search has not been on an API server.
    """
    owner, spec = Owner.of(search), search.spec
    replicas = spec.evaluators.replicas
    if replicas < 1:
        raise InvalidInputError("evaluators.replicas is 0: such a search has no Job; delete the one that is there")
    meta = metadata(owner, job_name(owner.name))
    if spec.evaluators.queue_name is not None:
        meta["labels"] = {**meta["labels"], QUEUE_LABEL: spec.evaluators.queue_name}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": meta,
        "spec": {
            "completionMode": "Indexed",
            "parallelism": replicas,
            "completions": replicas,
            "backoffLimit": NEVER_GIVE_UP,
            "podFailurePolicy": {
                "rules": [
                    {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
                    {
                        "action": "Ignore",
                        "onExitCodes": {"containerName": CONTAINER, "operator": "In", "values": list(LEFT_BY_ITSELF)},
                    },
                ]
            },
            # The only value that Kubernetes allows beside a podFailurePolicy, and what we want: a replacement made
            # while the old pod still drains would ask for a GPU that is not free. Its price: the pod of a node that is
            # lost is Terminating, not Failed, so its index comes back only with the node, or once pod or node is
            # removed from the API (by the cloud's node controller, or by hand).
            "podReplacementPolicy": "Failed",
            "template": pod_template(search, defaults),
        },
    }


def pod_template(search: ArchitectureSearch, defaults: EvaluatorDefaults) -> dict[str, Any]:
    """Return the evaluators' pod template: ours, under the settings' template, under the search's.

    Raises:
        InvalidInputError: see `evaluator_job`.
    """
    base = base_template(Owner.of(search), search.spec, defaults)
    merged: dict[str, Any] = base
    layers = (
        (defaults.template, "evaluator.template (the operator's settings)"),
        (search.spec.evaluators.template, "spec.evaluators.template"),
    )
    for template, where in layers:
        check_template(template, where)
        merged = merge(merged, template, where)
        check_unchanged(base, merged, where)
    return _with_memory_limit(merged, search.spec.evaluators.slots_per_evaluator)


def _with_memory_limit(template: dict[str, Any], slots: int) -> dict[str, Any]:
    """Tell the agent of the container's memory limit, if there is one.

    It then ends the worker that outgrows its share. The kernel would kill the whole container, and a Job waits longer
    before each new pod.
    """
    containers = template["spec"]["containers"]
    index = next(i for i, container in enumerate(containers) if container["name"] == CONTAINER)
    limits = (containers[index].get("resources") or {}).get("limits")
    limit = memory_bytes(limits.get("memory")) if isinstance(limits, Mapping) else None
    share = 0 if limit is None else (limit // 2**20 - _AGENT_MIB) // slots
    if share < _SMALLEST_LIMIT_MIB:
        return template
    told = {**containers[index], "args": [*containers[index]["args"], "--memory-limit-mb", str(share)]}
    return {
        **template,
        "spec": {**template["spec"], "containers": [*containers[:index], told, *containers[index + 1 :]]},
    }


def job_change(current_job: Mapping[str, Any], wanted_replicas: int) -> dict[str, Any] | None:
    """Return the merge patch that scales a Job, or None when nothing is to change.

    Both numbers in one patch: the API server lets completions change only together with parallelism, to the same value.
    """
    spec = current_job.get("spec") or {}
    if spec.get("parallelism") == wanted_replicas and spec.get("completions") == wanted_replicas:
        return None
    return {"spec": {"parallelism": wanted_replicas, "completions": wanted_replicas}}


class JobAction(StrEnum):
    """What to do with a search's Job."""

    NOTHING = "Nothing"
    CREATE = "Create"
    SCALE = "Scale"
    DELETE = "Delete"
    """No evaluator is wanted."""
    REPLACE = "Replace"
    """It ended though the search lives: delete it; the next look creates another."""
    WAIT = "Wait"
    """It is on its way out; look again when it is gone."""
    CONFLICT = "Conflict"
    """Something else has its name; nothing is done to it."""


@dataclass(frozen=True, slots=True)
class JobPlan:
    """What to do, with what patch (SCALE only), and why."""

    action: JobAction
    message: str
    patch: Mapping[str, Any] | None = None


def plan_job(current: Mapping[str, Any] | None, owner: Owner, wanted_replicas: int) -> JobPlan:
    """Return what to do with the Job of a search.

    A Job's template is never compared: an upgrade of operator, settings or image leaves running pools alone.

    Args:
        current: the Job of that name as the API server has it; None if there is none.
        owner: the search.
        wanted_replicas: evaluators wanted now: 0 when the search is suspended, over, or needs none.
    """
    if current is None:
        if wanted_replicas < 1:
            return JobPlan(JobAction.NOTHING, "no evaluators are wanted, and there are none")
        return JobPlan(JobAction.CREATE, _wanted(wanted_replicas))
    meta = current.get("metadata") or {}
    name = f"the Job {meta.get('name')}"
    controller: Mapping[str, Any] = next(
        (ref for ref in meta.get("ownerReferences") or () if ref.get("controller")), {}
    )
    if controller.get("uid") != owner.uid:
        earlier = controller.get("kind") == KIND and controller.get("apiVersion") == API_VERSION
        if earlier and controller.get("name") == owner.name:
            return JobPlan(JobAction.WAIT, f"{name} belongs to an earlier search of this name and is being removed")
        return JobPlan(JobAction.CONFLICT, f"{name} exists and is not ours; delete it, or give the search another name")
    if meta.get("deletionTimestamp"):
        return JobPlan(JobAction.WAIT, f"{name} is being deleted")
    if wanted_replicas < 1:
        return JobPlan(JobAction.DELETE, "no evaluators are wanted")
    if (end := job_end(current)) is not None:
        return JobPlan(JobAction.REPLACE, f"{name} ended while the search goes on ({end})")
    patch = job_change(current, wanted_replicas)
    if patch is not None:
        before = (current.get("spec") or {}).get("parallelism")
        return JobPlan(JobAction.SCALE, f"{_wanted(wanted_replicas)} in place of {before}", patch)
    return JobPlan(JobAction.NOTHING, f"{_wanted(wanted_replicas)}, as before")


def _wanted(replicas: int) -> str:
    return f"{replicas} evaluators are wanted" if replicas > 1 else "1 evaluator is wanted"


def job_end(job: Mapping[str, Any]) -> str | None:
    """Return how a Job ended, or None while it has not."""
    for condition in (job.get("status") or {}).get("conditions") or ():
        if condition.get("status") == "True" and condition.get("type") in ("Complete", "Failed"):
            reason = condition.get("reason") or condition["type"]
            return f"{reason}: {condition['message']}" if condition.get("message") else reason
    return None
