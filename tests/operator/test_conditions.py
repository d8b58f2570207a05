"""Why nothing runs, in the words of scheduler, kubelet, API server and Kueue; how conditions are kept."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from xnas_core.api.status import Condition, ConditionReason, ConditionStatus, ConditionType
from xnas_operator.conditions import (
    MESSAGE_BYTES,
    ORDER,
    Finding,
    Pool,
    evaluators_ready,
    merge_conditions,
    read_conditions,
)
from xnas_operator.text import json_bytes

JOB: dict[str, Any] = {
    "kind": "Job",
    "metadata": {"name": "fashion-evaluators", "uid": "job-uid", "labels": {}},
    "spec": {"parallelism": 2, "completions": 2},
}
SCHEDULER = "0/3 nodes are available: 1 Insufficient nvidia.com/gpu, 2 node(s) had untolerated taint {gpu: }."
PULL = 'failed to pull and unpack image "example.org/x:1": not found'
QUOTA = (
    'Error creating: pods "fashion-evaluators-0-abcde" is forbidden: exceeded quota: team, requested: cpu=500m, '
    "used: cpu=4, limited: cpu=4"
)
STANDARD = (
    'Error creating: pods "fashion-evaluators-0-x" is forbidden: violates PodSecurity "restricted:latest": hostPath'
)


def pod(name: str = "p0", phase: str = "Pending", **status: Any) -> dict[str, Any]:
    meta = {"name": name, "uid": f"uid-{name}", "creationTimestamp": "2026-03-01T10:00:00Z"}
    return {"metadata": meta, "status": {"phase": phase, **status}}


def unscheduled(name: str = "p0", message: str = SCHEDULER) -> dict[str, Any]:
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    return pod(name, conditions=[condition])


def waiting(reason: str, message: str = "", name: str = "p0", part: str = "containerStatuses") -> dict[str, Any]:
    state = {"waiting": {"reason": reason, **({"message": message} if message else {})}}
    statuses: Any = [{"name": "evaluator", "image": "example.org/x:1", "state": state}]
    return pod(name, **{part: statuses})


def failed(code: int, message: str = "", at: str = "2026-03-01T10:01:00Z", name: str = "p0") -> dict[str, Any]:
    terminated = {"exitCode": code, "reason": "Error", "message": message, "finishedAt": at}
    return pod(name, "Failed", containerStatuses=[{"name": "evaluator", "state": {"terminated": terminated}}])


def event(reason: str, message: str, about: str = "job-uid", kind: str = "Job", at: str = "10:05:00") -> dict[str, Any]:
    return {
        "type": "Warning",
        "reason": reason,
        "message": message,
        "involvedObject": {"kind": kind, "uid": about},
        "lastTimestamp": f"2026-03-01T{at}Z",
    }


def queued(**labels: str) -> dict[str, Any]:
    return {**JOB, "metadata": {**JOB["metadata"], "labels": labels}, "spec": {**JOB["spec"], "suspend": True}}


QUEUE = {"kueue.x-k8s.io/queue-name": "team-a"}
WORKLOAD = {
    "status": {
        "conditions": [
            {
                "type": "QuotaReserved",
                "status": "False",
                "reason": "Pending",
                "message": "couldn't assign flavors to pod set main: insufficient unused quota for cpu, 1 more needed",
            }
        ]
    }
}
MOUNT = 'MountVolume.SetUp failed for volume "xnas-ca" : configmap "fashion-ca" not found'

ROWS: list[tuple[str, Pool, ConditionReason, str]] = [
    ("no Job yet", Pool(2, 0), ConditionReason.EVALUATORS_STARTING, "Job is being created"),
    ("no pods yet", Pool(2, 0, JOB), ConditionReason.EVALUATORS_STARTING, "pods are starting"),
    ("replicas 0", Pool(0, 0), ConditionReason.SCALED_TO_ZERO, "replicas is 0"),
    ("unschedulable", Pool(2, 0, JOB, [unscheduled(), unscheduled("p1")]), ConditionReason.UNSCHEDULABLE, SCHEDULER),
    (
        "no claim",
        Pool(1, 0, JOB, [unscheduled(message='persistentvolumeclaim "images" not found')]),
        ConditionReason.UNSCHEDULABLE, 'persistentvolumeclaim "images" not found',
    ),
    ("image", Pool(1, 0, JOB, [waiting("ErrImagePull", PULL)]), ConditionReason.IMAGE_PULL_FAILED, PULL),
    (
        "image of an init container",
        Pool(1, 0, JOB, [waiting("ImagePullBackOff", PULL, part="initContainerStatuses")]),
        ConditionReason.IMAGE_PULL_FAILED, PULL,
    ),
    (
        "image, without words",
        Pool(1, 0, JOB, [waiting("ErrImageNeverPull")]), ConditionReason.IMAGE_PULL_FAILED, "example.org/x:1",
    ),
    (
        "config",
        Pool(1, 0, JOB, [waiting("CreateContainerConfigError", 'secret "s" not found')]),
        ConditionReason.CONTAINER_CONFIG_INVALID, 'CreateContainerConfigError: secret "s" not found',
    ),
    (
        "quota",
        Pool(2, 0, JOB, events=[event("FailedCreate", QUOTA)]), ConditionReason.QUOTA_EXCEEDED, "exceeded quota: team",
    ),
    (
        "pod security",
        Pool(2, 0, JOB, events=[event("FailedCreate", STANDARD)]), ConditionReason.PODS_REFUSED, "violates PodSecurity",
    ),
    (
        "quota, one pod made it, and cannot be scheduled",
        Pool(2, 0, JOB, [unscheduled()], events=[event("FailedCreate", QUOTA)]),
        ConditionReason.QUOTA_EXCEEDED, "exceeded quota",
    ),
    (
        "quota, over since",
        Pool(3, 0, JOB, [pod()], events=[event("FailedCreate", QUOTA, at="09:59:00")]),
        ConditionReason.EVALUATORS_STARTING, "pods are starting",
    ),
    ("Kueue", Pool(2, 0, queued(**QUEUE), workload=WORKLOAD), ConditionReason.QUEUED, "insufficient unused quota"),
    ("Kueue, workload not read", Pool(2, 0, queued(**QUEUE)), ConditionReason.QUEUED, "waits in the queue team-a"),
    ("someone suspended the Job", Pool(2, 0, queued()), ConditionReason.JOB_SUSPENDED, "fashion-evaluators"),
    ("starting", Pool(1, 0, JOB, [waiting("ContainerCreating")]), ConditionReason.EVALUATORS_STARTING, "are starting"),
    ("not connected", Pool(1, 0, JOB, [pod(phase="Running")]), ConditionReason.EVALUATORS_STARTING, "are starting"),
    (
        "volume",
        Pool(1, 0, JOB, [waiting("ContainerCreating")], events=[event("FailedMount", MOUNT, "uid-p0", "Pod")]),
        ConditionReason.EVALUATORS_STARTING, f"FailedMount: {MOUNT}",
    ),
    (
        "a warning about a pod that is no more",
        Pool(1, 0, JOB, [waiting("ContainerCreating")], events=[event("FailedMount", MOUNT, "uid-p9", "Pod")]),
        ConditionReason.EVALUATORS_STARTING, "pods are starting",
    ),
    (
        "crashing",
        Pool(1, 0, JOB, [failed(1, "ImportError: torch"), failed(5, "refused", "2026-03-01T09:00:00Z", "p1")]),
        ConditionReason.EVALUATORS_FAILING, "p0, ended with exit code 1 (Error): ImportError: torch",
    ),
    (
        "the gravest first",
        Pool(3, 0, JOB, [unscheduled(), waiting("ContainerCreating", name="p1"), waiting("ErrImagePull", PULL, "p2")]),
        ConditionReason.IMAGE_PULL_FAILED, PULL,
    ),
]  # fmt: skip


@pytest.mark.parametrize(("pool", "reason", "says"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
def test_why_nothing_runs(pool: Pool, reason: ConditionReason, says: str) -> None:
    found = evaluators_ready(pool)
    assert (found.status, found.reason) == (ConditionStatus.FALSE, reason)
    assert says in found.message
    if pool.desired:
        assert found.message.startswith(f"0 of {pool.desired} evaluators connected; ")


def test_one_evaluator_is_enough_and_the_others_reason_is_still_said() -> None:
    some = evaluators_ready(Pool(3, 1, JOB, [pod("a", "Running"), unscheduled("b"), unscheduled("c")]))
    assert (some.status, some.reason) == (ConditionStatus.TRUE, ConditionReason.EVALUATORS_CONNECTED)
    assert some.message == f"1 of 3 evaluators connected; 2 pods cannot be scheduled: {SCHEDULER}"
    assert evaluators_ready(Pool(1, 1, JOB, [pod("a", "Running")])).message == "1 of 1 evaluators connected"
    # Evaluators from outside the cluster need no Job.
    assert evaluators_ready(Pool(0, 1)).status is ConditionStatus.TRUE


def test_a_refusal_repeated_for_another_pod_changes_no_word() -> None:
    again = QUOTA.replace("fashion-evaluators-0-abcde", "fashion-evaluators-1-fghij")
    first, second = (evaluators_ready(Pool(2, 0, JOB, events=[event("FailedCreate", text)])) for text in (QUOTA, again))
    assert first == second
    assert first.message.endswith(
        "refuses pods: exceeded quota: team, requested: cpu=500m, used: cpu=4, limited: cpu=4"
    )


def test_events_of_either_api_are_read() -> None:
    new = {
        "type": "Warning",
        "reason": "FailedCreate",
        "note": QUOTA,
        "regarding": {"kind": "Job", "uid": "job-uid"},
        "series": {"lastObservedTime": "2026-03-01T10:05:00.000000Z", "count": 4},
        "eventTime": "2026-03-01T09:00:00.000000Z",
    }
    old = event("FailedCreate", "something earlier", at="09:30:00")
    found = evaluators_ready(Pool(2, 0, JOB, [pod()], events=[new, old]))
    assert "exceeded quota" in found.message


# --- keeping conditions -----------------------------------------------------------------------------------------------

T0 = datetime(2026, 3, 1, 10, tzinfo=UTC)
READY = ConditionType.EVALUATORS_READY


def test_the_time_changes_only_with_the_status() -> None:
    first = merge_conditions([], {READY: Finding.false("Queued", "a")}, 1, T0)
    same = merge_conditions(first, {READY: Finding.false("Unschedulable", "b")}, 2, T0 + timedelta(seconds=5))
    turned = merge_conditions(same, {READY: Finding.true("EvaluatorsConnected", "c")}, 2, T0 + timedelta(seconds=9))
    assert same[0].last_transition_time == T0
    assert (same[0].reason, same[0].message, same[0].observed_generation) == ("Unschedulable", "b", 2)
    assert turned[0].last_transition_time == T0 + timedelta(seconds=9)


def test_the_order_is_fixed_and_what_was_not_looked_at_stays() -> None:
    kept = Condition(type=ConditionType.SPEC_CHANGED, status=ConditionStatus.TRUE, reason="X", last_transition_time=T0)
    findings = dict.fromkeys(reversed(ORDER), Finding.unknown("R", ""))
    del findings[ConditionType.SPEC_CHANGED]
    merged = merge_conditions([kept], findings, 1, T0)
    assert [condition.type for condition in merged] == list(ORDER)
    assert merged[-1] == kept


def test_long_messages_are_cut_in_bytes() -> None:
    (condition,) = merge_conditions([], {READY: Finding.false("R", "\U0001f600\n" * 9000)}, 1, T0)
    assert json_bytes(condition.message) <= MESSAGE_BYTES
    assert condition.message.endswith("...")


def test_conditions_of_another_version_are_left_out() -> None:
    (ours,) = merge_conditions([], {READY: Finding.false("R", "m")}, 1, T0)
    documents = [ours.to_document(), {"type": "Newfangled", "status": "True"}, "nonsense"]
    assert read_conditions(documents) == [ours]
    assert read_conditions(None) == []
