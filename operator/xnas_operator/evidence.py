"""What a cluster says about an evaluator that is gone or about to go: the cluster's rows of protocol.md §7. Pure.

The documents are read as the API server gives them; nothing in them is taken for granted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from xnas_core.tasks import EndReason
from xnas_operator.manifests.names import CONTAINER
from xnas_operator.text import cut

MESSAGE_BYTES = 2000

_LEFT = {
    0: "was told by the operator to end",
    4: "gave up, because the operator did not answer",
    5: "left, because the operator refused it",
    130: "drained after SIGINT",
    143: "drained after SIGTERM",
}
"""Exit codes of an evaluator that handed back what it ran, and left."""
_NODE_LOSS = {
    "DeletionByTaintManager": "its node was tainted NoExecute, as unreachable nodes are",
    "DeletionByPodGC": "its node is gone",
}
_NODE_REASONS = frozenset({"NodeLost", "NodeUnreachable"})
_KUBELET_EVICTIONS = frozenset({"Evicted", "Preempting", "Terminated", "NodeShutdown", "Shutdown"})
_INDEX = "batch.kubernetes.io/job-completion-index"


@dataclass(frozen=True, slots=True)
class Evidence:
    """Why an evaluator ends.

    Attributes:
        reason: for the attempts that it runs.
        message: for people.
        gone: it has ended; otherwise it is about to, and may still finish or hand back what it runs.
    """

    reason: EndReason
    message: str
    gone: bool


@dataclass(frozen=True, slots=True)
class Sighting:
    """What was seen of an evaluator's pod.

    Attributes:
        pod: as last seen; None: the API server has no such pod.
        job: the Job that it belongs to; None: not read.
        job_gone: the API server has no such Job.
        node: its node; None: not read.
        node_gone: the API server has no such node.
    """

    pod: Mapping[str, Any] | None
    job: Mapping[str, Any] | None = None
    job_gone: bool = False
    node: Mapping[str, Any] | None = None
    node_gone: bool = False


def explain(seen: Sighting) -> Evidence | None:
    """Return why an evaluator ended or is about to, or None while nothing speaks for its end.

    A container that ended before anyone asked its pod to go ended for a reason of its own: that is looked at first.
    """
    pod = seen.pod
    if pod is None:
        return _without_pod(seen)
    end, gone = container_end(pod), _ended(pod)
    told = _disruption(seen, pod)
    if end is not None:
        own = _own_end(end)
        if own.reason is not EndReason.DRAINED and (told is None or _before(end, told)):
            return own
        # After SIGTERM the exit says only that the pod was asked to go; who asked says why.
        return own if told is None else Evidence(told.reason, _bounded(told.message), True)
    if told is not None:
        return Evidence(told.reason, _bounded(told.message), gone)
    if gone:
        words = _pod_words(pod) or ", and nothing says why"
        return Evidence(EndReason.LOST, _bounded(f"the pod ended{words}"), True)
    return None


def container_end(pod: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return how the evaluator's container ended (`state.terminated`), or None while it has not."""
    for container in _status(pod).get("containerStatuses") or ():
        if container.get("name") == CONTAINER:
            found: Mapping[str, Any] | None = (container.get("state") or {}).get("terminated")
            return found
    return None


def describe_end(end: Mapping[str, Any]) -> str:
    """Return a container's end in words: "ended with exit code 1 (Error): last words"."""
    code, reason, words = end.get("exitCode"), end.get("reason"), str(end.get("message") or "").strip()
    text = f"ended with exit code {code}" + (f" ({reason})" if reason else "")
    return f"{text}: {words}" if words else text


@dataclass(frozen=True, slots=True)
class _Told:
    """Someone asked the pod to go, at a time (None: not known)."""

    reason: EndReason
    message: str
    time: datetime | None


def _disruption(seen: Sighting, pod: Mapping[str, Any]) -> _Told | None:
    """Return who asked the pod to go, the one who says most about it first."""
    meta, status = pod.get("metadata") or {}, _status(pod)
    asked = _asked_at(meta)
    disruption = _condition(status, "DisruptionTarget", "True")
    if disruption is not None:
        why, words = str(disruption.get("reason", "")), disruption.get("message") or disruption.get("reason")
        time = _time(disruption.get("lastTransitionTime"))
        if why in _NODE_LOSS:
            return _Told(EndReason.NODE_LOST, f"{_NODE_LOSS[why]}: {words}", time)
        return _Told(EndReason.EVICTED, f"the pod was evicted: {words}", time)
    # Job and pod come from two watches, so a running pod may be newer than the Job that is known. One that is not asked
    # to go does not go, whatever the Job says.
    scaled = _scaled_down(seen, pod) if asked is not None or _ended(pod) else None
    if scaled is not None:
        return _Told(EndReason.SCALED_DOWN, scaled, asked)
    lost = _node_lost(seen, status)
    if lost is not None:
        return _Told(EndReason.NODE_LOST, lost, None)
    if status.get("reason") in _KUBELET_EVICTIONS:
        return _Told(EndReason.EVICTED, f"the kubelet ended the pod{_pod_words(pod)}", None)
    if meta.get("deletionTimestamp"):
        return _Told(EndReason.EVICTED, "the pod was deleted", asked)
    return None


def _scaled_down(seen: Sighting, pod: Mapping[str, Any] | None) -> str | None:
    if seen.job_gone:
        return "its Job was deleted"
    if seen.job is None:
        return None
    if (seen.job.get("metadata") or {}).get("deletionTimestamp"):
        return "its Job is being deleted"
    spec = seen.job.get("spec") or {}
    if spec.get("suspend"):
        return "its Job was suspended"
    index = None if pod is None else _index(pod)
    completions = spec.get("completions")
    if index is not None and isinstance(completions, int) and index >= completions:
        return f"its Job was scaled down to {completions}, and this was number {index} from 0"
    return None


def _node_lost(seen: Sighting, status: Mapping[str, Any]) -> str | None:
    if status.get("reason") in _NODE_REASONS:
        return f"its node is lost: {status.get('message') or status['reason']}"
    if seen.node_gone:
        return "its node is gone"
    ready = _condition(_status(seen.node or {}), "Ready", "Unknown")
    if ready is None:
        return None
    name = ((seen.node or {}).get("metadata") or {}).get("name", "")
    return f"its node {name} is lost: {ready.get('message') or 'the kubelet no longer reports'}"


def _own_end(end: Mapping[str, Any]) -> Evidence:
    code, reason = end.get("exitCode"), end.get("reason")
    if reason == "OOMKilled":
        text = "the kernel killed the evaluator: its container had no memory left; raise resources.limits.memory"
        return Evidence(EndReason.OUT_OF_MEMORY, text, True)
    if reason == "ContainerStatusUnknown" or (reason == "Unknown" and code == 255):
        # What a kubelet says of containers that it no longer finds: the node was restarted under them.
        return Evidence(EndReason.NODE_LOST, _bounded(f"its node lost the container; it {describe_end(end)}"), True)
    if code in _LEFT:
        return Evidence(EndReason.DRAINED, _bounded(f"the evaluator {_LEFT[code]}"), True)
    return Evidence(EndReason.LOST, _bounded(f"the evaluator {describe_end(end)}"), True)


def _without_pod(seen: Sighting) -> Evidence:
    """Explain a pod that nobody saw go: pods leave the API only by deletion."""
    scaled = _scaled_down(seen, None)
    if scaled is not None:
        return Evidence(EndReason.SCALED_DOWN, scaled, True)
    if seen.node_gone:
        return Evidence(EndReason.NODE_LOST, "its node is gone, and the pod with it", True)
    return Evidence(EndReason.EVICTED, "the pod was deleted", True)


def _ended(pod: Mapping[str, Any]) -> bool:
    return container_end(pod) is not None or _status(pod).get("phase") in ("Succeeded", "Failed")


def _status(document: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = document.get("status") or {}
    return found


def _conditions(status: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield from status.get("conditions") or ()


def _condition(status: Mapping[str, Any], kind: str, value: str) -> Mapping[str, Any] | None:
    return next((c for c in _conditions(status) if c.get("type") == kind and c.get("status") == value), None)


def _index(pod: Mapping[str, Any]) -> int | None:
    meta = pod.get("metadata") or {}
    text = (meta.get("labels") or {}).get(_INDEX) or (meta.get("annotations") or {}).get(_INDEX)
    return int(text) if isinstance(text, str) and text.isdecimal() else None


def _asked_at(meta: Mapping[str, Any]) -> datetime | None:
    """Return when the pod's deletion was asked for: the timestamp is that plus the grace period."""
    time = _time(meta.get("deletionTimestamp"))
    grace = meta.get("deletionGracePeriodSeconds")
    return time - timedelta(seconds=grace) if time is not None and isinstance(grace, int) else time


def _before(end: Mapping[str, Any], told: _Told) -> bool:
    """Return whether a container ended before its pod was asked to go; times have whole seconds.

    Where that time is not known: a Job that is scaled down deletes only pods that run, and a lost node reports no ends,
    so an end that is known came first. A kubelet that evicts a pod ends its containers itself.
    """
    if told.time is None:
        return told.reason is not EndReason.EVICTED
    finished = _time(end.get("finishedAt"))
    return finished is not None and finished < told.time


def _time(text: Any) -> datetime | None:
    try:
        return datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None


def _pod_words(pod: Mapping[str, Any]) -> str:
    status = _status(pod)
    words = ": ".join(str(status[key]) for key in ("reason", "message") if status.get(key))
    return f": {words}" if words else ""


def _bounded(message: str) -> str:
    return cut(message, MESSAGE_BYTES)
