"""Why nothing runs, in the words of whoever holds it up; and how conditions are kept (Kubernetes API conventions)."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from xnas_core.api.status import Condition, ConditionReason, ConditionStatus, ConditionType
from xnas_operator.evidence import container_end, describe_end
from xnas_operator.text import cut

MESSAGE_BYTES = 768
"""Of one condition's message, as JSON: seven of them leave room for the rest of a status of 32 KiB."""

ORDER = tuple(ConditionType)
"""The fixed order of conditions in a status."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What holds of one condition type now: a Condition without its times."""

    status: ConditionStatus
    reason: str
    """A ConditionReason, or an XnasError's `reason`."""
    message: str

    @staticmethod
    def true(reason: str, message: str) -> Finding:
        """Return a finding that the condition holds."""
        return Finding(ConditionStatus.TRUE, reason, message)

    @staticmethod
    def false(reason: str, message: str) -> Finding:
        """Return a finding that the condition does not hold."""
        return Finding(ConditionStatus.FALSE, reason, message)

    @staticmethod
    def unknown(reason: str, message: str) -> Finding:
        """Return a finding that it cannot be known yet."""
        return Finding(ConditionStatus.UNKNOWN, reason, message)


def merge_conditions(
    old: Sequence[Condition], now: Mapping[ConditionType, Finding], generation: int | None, time: datetime
) -> list[Condition]:
    """Return the conditions after a look, in the fixed order.

    `lastTransitionTime` changes only when the status does. A type that was not looked at stays as it is.

    Args:
        old: the conditions before.
        now: what was found.
        generation: metadata.generation that was looked at.
        time: of the look.
    """
    before = {condition.type: condition for condition in old}
    merged = []
    for kind in ORDER:
        last, found = before.get(kind), now.get(kind)
        if found is None:
            merged += [last] if last is not None else []
            continue
        same = last is not None and last.status is found.status
        merged.append(
            Condition(
                type=kind,
                status=found.status,
                reason=str(found.reason),
                message=cut(found.message, MESSAGE_BYTES),
                observed_generation=generation,
                last_transition_time=last.last_transition_time if same and last is not None else time,
            )
        )
    return merged


def read_conditions(documents: Any) -> list[Condition]:
    """Return the conditions of a status document; what another version wrote and this one cannot read is left out."""
    found = []
    for document in documents if isinstance(documents, list) else ():
        try:
            found.append(Condition.model_validate_json(json.dumps(document)))
        except ValidationError:
            continue
    return found


@dataclass(frozen=True, slots=True)
class Pool:
    """What is known of a search's evaluators.

    Attributes:
        desired: evaluators wanted now; 0 when suspended or over.
        connected: evaluators with a living stream.
        job: the Job, or None.
        pods: its pods, those that have ended included.
        workload: Kueue's Workload of the Job, if there is one and it was read.
        events: recent Events about the Job and its pods.
    """

    desired: int
    connected: int
    job: Mapping[str, Any] | None = None
    pods: Sequence[Mapping[str, Any]] = ()
    workload: Mapping[str, Any] | None = None
    events: Sequence[Mapping[str, Any]] = ()


def evaluators_ready(pool: Pool) -> Finding:
    """Return the EvaluatorsReady condition of a pool that is wanted.

    Whoever has no pool for another reason (suspended, over, nothing to train) says so itself.
    """
    if pool.desired < 1 and pool.connected < 1:
        return Finding.false(ConditionReason.SCALED_TO_ZERO, "evaluators.replicas is 0; raise it to go on")
    count = f"{pool.connected} of {pool.desired} evaluators connected"
    waiting = _why(pool) if pool.connected < pool.desired else None
    if pool.connected:
        text = f"{count}; {waiting.message}" if waiting is not None else count
        return Finding.true(ConditionReason.EVALUATORS_CONNECTED, text)
    if waiting is None:
        waiting = Finding.false(ConditionReason.EVALUATORS_STARTING, "the evaluators' Job is being created")
    return Finding.false(waiting.reason, f"{count}; {waiting.message}")


def _why(pool: Pool) -> Finding | None:
    """Return the gravest thing that keeps evaluators from connecting, or None before there is a Job."""
    if pool.job is None:
        return None
    if (pool.job.get("spec") or {}).get("suspend"):
        return _queued(pool.job, pool.workload)
    alive = [pod for pod in pool.pods if _alive(pod)]
    found = [problem for pod in alive if (problem := _pod_problem(pod)) is not None]
    refusal = _refusal(pool) if len(alive) < pool.desired else None
    for reason in _GRAVITY:
        same = [message for kind, message in found if kind is reason]
        if same:
            # The commonest words, and of equally common ones the first: pods fail alike.
            message, times = Counter(same).most_common(1)[0]
            pods = "1 pod" if times == 1 else f"{times} pods"
            return Finding.false(reason, f"{pods} {_VERBS[reason]}: {message}")
        if reason is ConditionReason.QUOTA_EXCEEDED and refusal is not None:
            return refusal
    failure = _last_failure(pool.pods)
    if failure is not None and not alive:
        return Finding.false(ConditionReason.EVALUATORS_FAILING, failure)
    warning = _newest(_warnings(pool.events, alive))
    if warning is not None:
        return Finding.false(
            ConditionReason.EVALUATORS_STARTING, f"pods are starting; {warning['reason']}: {_words(warning)}"
        )
    return Finding.false(ConditionReason.EVALUATORS_STARTING, "pods are starting")


_GRAVITY = (
    ConditionReason.IMAGE_PULL_FAILED,
    ConditionReason.CONTAINER_CONFIG_INVALID,
    ConditionReason.QUOTA_EXCEEDED,
    ConditionReason.UNSCHEDULABLE,
)
"""What a person must mend comes before what time may mend."""
_VERBS = {
    ConditionReason.IMAGE_PULL_FAILED: "cannot get an image",
    ConditionReason.CONTAINER_CONFIG_INVALID: "cannot be started",
    ConditionReason.UNSCHEDULABLE: "cannot be scheduled",
}
_IMAGE = frozenset({
    "ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError",
    "RegistryUnavailable", "SignatureValidationFailed",
})  # fmt: skip
_CONFIG = frozenset({
    "CreateContainerConfigError", "CreateContainerError", "RunContainerError", "PreCreateHookError",
    "PostStartHookError", "CrashLoopBackOff",
})  # fmt: skip


def _queued(job: Mapping[str, Any], workload: Mapping[str, Any] | None) -> Finding:
    labels = (job.get("metadata") or {}).get("labels") or {}
    queue = labels.get("kueue.x-k8s.io/queue-name")
    if queue is None:
        name = (job.get("metadata") or {}).get("name")
        return Finding.false(
            ConditionReason.JOB_SUSPENDED,
            f"someone has suspended the Job {name}; set its spec.suspend to false (to pause a search, set its own)",
        )
    words = f"Kueue has not admitted the Job; it waits in the queue {queue}"
    conditions = ((workload or {}).get("status") or {}).get("conditions") or ()
    for kind, status in (("QuotaReserved", "False"), ("Evicted", "True"), ("Admitted", "False")):
        for condition in conditions:
            if condition.get("type") == kind and condition.get("status") == status and condition.get("message"):
                return Finding.false(ConditionReason.QUEUED, f"{words}: {condition['message']}")
    return Finding.false(ConditionReason.QUEUED, words)


def _alive(pod: Mapping[str, Any]) -> bool:
    phase = (pod.get("status") or {}).get("phase")
    return phase not in ("Succeeded", "Failed") and not (pod.get("metadata") or {}).get("deletionTimestamp")


def _pod_problem(pod: Mapping[str, Any]) -> tuple[ConditionReason, str] | None:
    status = pod.get("status") or {}
    for condition in status.get("conditions") or ():
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            return ConditionReason.UNSCHEDULABLE, condition.get("message") or condition.get("reason") or "no reason"
    for part in ("initContainerStatuses", "containerStatuses"):
        for container in status.get(part) or ():
            waiting = (container.get("state") or {}).get("waiting") or {}
            reason, words = waiting.get("reason"), waiting.get("message")
            text = f"{reason}: {words}" if words else f"{reason} ({container.get('image')})"
            if reason in _IMAGE:
                return ConditionReason.IMAGE_PULL_FAILED, words or text
            if reason in _CONFIG:
                return ConditionReason.CONTAINER_CONFIG_INVALID, text
    return None


_POD_NAME = re.compile(r'^Error creating: (pods "[^"]*" is forbidden: )?')
"""Left out of a refusal: each try has another name, and a message that changes costs a patch."""


def _refusal(pool: Pool) -> Finding | None:
    """Return why the Job controller could not create pods, in the API server's words."""
    failed = [event for event in pool.events if event.get("reason") == "FailedCreate"]
    event = _newest(event for event in failed if _about(event).get("kind") == "Job")
    if event is None:
        return None
    made = [pod for pod in pool.pods if str((pod.get("metadata") or {}).get("creationTimestamp", "")) > _when(event)]
    if made:
        return None  # it has gone well since
    message = _words(event)
    over = "exceeded quota" in message
    reason = ConditionReason.QUOTA_EXCEEDED if over else ConditionReason.PODS_REFUSED
    return Finding.false(reason, f"the API server refuses pods: {_POD_NAME.sub('', message)}")


def _last_failure(pods: Sequence[Mapping[str, Any]]) -> str | None:
    ends = [(end, pod) for pod in pods if (end := container_end(pod)) is not None]
    if not ends:
        return None
    end, pod = max(ends, key=lambda pair: str(pair[0].get("finishedAt", "")))
    name = (pod.get("metadata") or {}).get("name")
    return f"the last evaluator to end, {name}, {describe_end(end)}; the Job starts another after a pause that grows"


def _warnings(events: Sequence[Mapping[str, Any]], pods: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    uids = {(pod.get("metadata") or {}).get("uid") for pod in pods}
    for event in events:
        if event.get("type") == "Warning" and _about(event).get("uid") in uids:
            yield event


def _newest(events: Iterable[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    return max(events, key=_when, default=None)


def _about(event: Mapping[str, Any]) -> Mapping[str, Any]:
    about: Mapping[str, Any] = event.get("involvedObject") or event.get("regarding") or {}
    return about


def _words(event: Mapping[str, Any]) -> str:
    return str(event.get("message") or event.get("note") or event.get("reason"))


def _when(event: Mapping[str, Any]) -> str:
    """Return when an event was last seen: RFC 3339 in UTC, so that text order is time order."""
    series = (event.get("series") or {}).get("lastObservedTime")
    return str(
        series
        or event.get("lastTimestamp")
        or event.get("eventTime")
        or (event.get("metadata") or {}).get("creationTimestamp")
        or ""
    )
