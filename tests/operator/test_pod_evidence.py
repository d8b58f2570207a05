"""What ended an evaluator (protocol.md §7): a row for each row of that table which the cluster can produce."""

from __future__ import annotations

import re
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xnas_core.tasks import EndReason, FailureClass, classify
from xnas_operator.evidence import Evidence, Sighting, container_end, explain
from xnas_operator.text import cut, json_bytes

ROOT = Path(__file__).parents[2]
PROTOCOL = (ROOT / "docs/protocol.md").read_text(encoding="utf-8")
EARLY, LATE = "2026-03-01T10:00:00Z", "2026-03-01T10:05:00Z"


def pod(**status: Any) -> dict[str, Any]:
    """An evaluator's pod as the API server gives it, number 2 of its Job, running unless said otherwise."""
    base: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "fashion-evaluators-2-x7k2p",
            "generateName": "fashion-evaluators-2-",
            "namespace": "team-a",
            "uid": "5f0c2b8e-2f9c-4a55-8f57-0f6b6b6f2f11",
            "creationTimestamp": "2026-03-01T09:00:00Z",
            "labels": {"batch.kubernetes.io/job-completion-index": "2", "xnas.dev/search": "fashion"},
            "annotations": {"batch.kubernetes.io/job-completion-index": "2"},
            "finalizers": ["batch.kubernetes.io/job-tracking"],
        },
        "spec": {"nodeName": "node-2", "restartPolicy": "Never"},
        "status": {
            "phase": "Running",
            "conditions": [
                {"type": "PodScheduled", "status": "True", "lastTransitionTime": "2026-03-01T09:00:00Z"},
                {"type": "Ready", "status": "True", "lastTransitionTime": "2026-03-01T09:00:05Z"},
            ],
            "containerStatuses": [
                {"name": "sidecar", "state": {"terminated": {"exitCode": 9, "reason": "Error"}}},
                {"name": "evaluator", "state": {"running": {"startedAt": "2026-03-01T09:00:04Z"}}, "restartCount": 0},
            ],
        },
    }
    base["status"].update(deepcopy(status))
    return base


def ended(code: int, reason: str = "Error", message: str = "", at: str = LATE, **status: Any) -> dict[str, Any]:
    terminated = {"exitCode": code, "reason": reason, "finishedAt": at, "startedAt": "2026-03-01T09:00:04Z"}
    if message:
        terminated["message"] = message
    statuses = [{"name": "evaluator", "state": {"terminated": terminated}}]
    return pod(phase="Failed" if code else "Succeeded", containerStatuses=statuses, **status)


def disrupted(document: dict[str, Any], reason: str, message: str, at: str = EARLY) -> dict[str, Any]:
    document["status"]["conditions"].append(
        {"type": "DisruptionTarget", "status": "True", "reason": reason, "message": message, "lastTransitionTime": at}
    )
    return document


def deleted(document: dict[str, Any], asked: str = EARLY, grace: int = 45) -> dict[str, Any]:
    minutes, seconds = int(asked[14:16]), int(asked[17:19]) + grace
    stamp = f"{asked[:14]}{minutes + seconds // 60:02}:{seconds % 60:02}Z"
    document["metadata"].update(deletionTimestamp=stamp, deletionGracePeriodSeconds=grace)
    return document


def job(completions: int = 4, **changes: Any) -> dict[str, Any]:
    spec = {"parallelism": completions, "completions": completions, "completionMode": "Indexed"}
    return {"kind": "Job", "metadata": changes.pop("metadata", {}), "spec": {**spec, **changes}}


def node(ready: str, message: str = "Kubelet stopped posting node status.") -> dict[str, Any]:
    condition = {"type": "Ready", "status": ready, "reason": "NodeStatusUnknown", "message": message}
    return {"kind": "Node", "metadata": {"name": "node-2"}, "status": {"conditions": [condition]}}


EVICTION = "Eviction API: evicting"
UNKNOWN = "The container could not be located when the pod was terminated"

ROWS: list[tuple[str, Sighting, EndReason | None, bool, str]] = [
    # the evaluator's pod has DisruptionTarget or a deletion timestamp
    ("drain", Sighting(disrupted(pod(), "EvictionByEvictionAPI", EVICTION)), EndReason.EVICTED, False, EVICTION),
    (
        "preempted by a pod of higher priority",
        Sighting(deleted(disrupted(pod(), "PreemptionByScheduler", "default-scheduler: preempting to accommodate"))),
        EndReason.EVICTED, False, "preempting to accommodate",
    ),
    (
        "evicted, and has drained since",
        Sighting(deleted(disrupted(ended(143), "EvictionByEvictionAPI", EVICTION))), EndReason.EVICTED, True, EVICTION,
    ),
    (
        "evicted, and killed when its time was over",
        Sighting(deleted(disrupted(ended(137), "EvictionByEvictionAPI", EVICTION))), EndReason.EVICTED, True, EVICTION,
    ),
    (
        "node pressure or node shutdown",
        Sighting(disrupted(ended(143, reason="Error"), "TerminationByKubelet", "The node was low on resource: memory")),
        EndReason.EVICTED, True, "low on resource: memory",
    ),
    (
        "node shutdown, without the condition",
        Sighting(pod(phase="Failed", reason="Terminated", message="Pod was terminated in response to shutdown")),
        EndReason.EVICTED, True, "in response to shutdown",
    ),
    ("kubectl delete pod", Sighting(deleted(pod())), EndReason.EVICTED, False, "deleted"),
    ("deleted, and drained", Sighting(deleted(ended(143))), EndReason.EVICTED, True, "deleted"),
    ("deleted, and killed", Sighting(deleted(ended(137))), EndReason.EVICTED, True, "deleted"),
    ("deleted with force: no pod is left", Sighting(None, job()), EndReason.EVICTED, True, "deleted"),
    # its node is lost
    (
        "taint manager",
        Sighting(deleted(disrupted(pod(), "DeletionByTaintManager", "Taint manager: deleting due to NoExecute taint"))),
        EndReason.NODE_LOST, False, "NoExecute",
    ),
    (
        "pod garbage collector",
        Sighting(disrupted(pod(phase="Failed"), "DeletionByPodGC", "PodGC: node no longer exists")),
        EndReason.NODE_LOST, True, "no longer exists",
    ),
    ("node Ready Unknown", Sighting(pod(), job(), node=node("Unknown")), EndReason.NODE_LOST, False, "stopped posting"),
    (
        "pod reason NodeLost",
        Sighting(pod(reason="NodeLost", message="Node node-2 which was running pod is unresponsive")),
        EndReason.NODE_LOST, False, "unresponsive",
    ),
    ("node object gone", Sighting(pod(), job(), node_gone=True), EndReason.NODE_LOST, False, "node is gone"),
    ("node and pod gone", Sighting(None, job(), node_gone=True), EndReason.NODE_LOST, True, "node is gone"),
    (
        "node restarted under the container",
        Sighting(ended(137, "ContainerStatusUnknown", UNKNOWN)),
        EndReason.NODE_LOST, True, "could not be located",
    ),
    ("node rebooted", Sighting(ended(255, "Unknown")), EndReason.NODE_LOST, True, "lost the container"),
    # its Job was suspended or scaled down
    ("suspended", Sighting(deleted(pod()), job(suspend=True)), EndReason.SCALED_DOWN, False, "suspended"),
    ("suspended, drained", Sighting(deleted(ended(143)), job(suspend=True)), EndReason.SCALED_DOWN, True, "suspended"),
    ("scaled down", Sighting(deleted(pod()), job(2)), EndReason.SCALED_DOWN, False, "scaled down to 2"),
    ("scaled down, drained", Sighting(deleted(ended(143)), job(1)), EndReason.SCALED_DOWN, True, "scaled down to 1"),
    (
        "Job deleted by us",
        Sighting(deleted(pod()), job(metadata={"deletionTimestamp": EARLY})),
        EndReason.SCALED_DOWN, False, "being deleted",
    ),
    ("Job and pod gone", Sighting(None, job_gone=True), EndReason.SCALED_DOWN, True, "Job was deleted"),
    # the kernel killed it for memory
    ("out of memory", Sighting(ended(137, "OOMKilled"), job()), EndReason.OUT_OF_MEMORY, True, "limits.memory"),
    # the evaluator drained
    ("SIGTERM from elsewhere", Sighting(ended(143), job()), EndReason.DRAINED, True, "SIGTERM"),
    ("told to end by the operator", Sighting(ended(0, "Completed"), job()), EndReason.DRAINED, True, "told"),
    ("operator gone too long", Sighting(ended(4), job()), EndReason.DRAINED, True, "did not answer"),
    ("operator refused it", Sighting(ended(5), job()), EndReason.DRAINED, True, "refused"),
    ("SIGINT from elsewhere", Sighting(ended(130), job()), EndReason.DRAINED, True, "SIGINT"),
    # gone, and nothing says why
    ("crashed", Sighting(ended(1, message="ImportError: x"), job()), EndReason.LOST, True, "ImportError: x"),
    ("killed", Sighting(ended(137), job()), EndReason.LOST, True, "exit code 137 (Error)"),
    ("bad setting", Sighting(ended(2), job()), EndReason.LOST, True, "exit code 2"),
    ("no container", Sighting(pod(phase="Failed", containerStatuses=[])), EndReason.LOST, True, "nothing"),
    (
        "refused by the kubelet",
        Sighting(pod(phase="Failed", containerStatuses=[], reason="UnexpectedAdmissionError", message="no GPU")),
        EndReason.LOST, True, "no GPU",
    ),
    # nothing speaks for an end
    ("running", Sighting(pod(), job(3), node=node("True")), None, False, ""),
    ("running, Job not read", Sighting(pod()), None, False, ""),
    ("running, Job not seen yet", Sighting(pod(), job_gone=True), None, False, ""),
    ("running, an old Job seen: suspended", Sighting(pod(), job(suspend=True)), None, False, ""),
    ("running, an old Job seen: smaller", Sighting(pod(), job(1)), None, False, ""),
    ("pending", Sighting(pod(phase="Pending", containerStatuses=[])), None, False, ""),
    ("node not ready, but heard of", Sighting(pod(), node=node("False")), None, False, ""),
]  # fmt: skip


@pytest.mark.parametrize(("seen", "reason", "gone", "says"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
def test_rows(seen: Sighting, reason: EndReason | None, gone: bool, says: str) -> None:
    found = explain(seen)
    if reason is None:
        assert found is None
        return
    assert found is not None
    assert (found.reason, found.gone) == (reason, gone)
    assert says in found.message


def test_the_protocol_s_table_of_exit_codes_is_what_is_made_of_them() -> None:
    table = PROTOCOL.partition("| exit code or reason of")[2].partition("\n\n")[0]
    rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table.splitlines()[2:]]
    assert len(rows) == 7
    for what, _, reason in rows[:-1]:
        for word in re.findall(r"`(\w+)`", what.replace("with reason `Unknown`", "")):
            code, why = (int(word), "Unknown" if word == "255" else "Error") if word.isdecimal() else (137, word)
            assert _reason(Sighting(ended(code, why), job())) is EndReason(reason.strip("`")), word
    for code in (1, 2, 3, 126, 137, 139, 255):
        assert _reason(Sighting(ended(code), job())) is EndReason(rows[-1][2].strip("`"))


def test_the_agent_s_own_exit_codes_are_in_the_table() -> None:
    """Each code that an agent chooses has its row; 2, a wrong setting, is among all others."""
    table = PROTOCOL.partition("| exit code or reason of")[2].partition("\n\n")[0]
    source = (ROOT / "evaluator/xnas_evaluator/agent/run.py").read_text()
    codes = {int(code) for code in re.findall(r"^EXIT_\w+ = (\d+)$", source, re.MULTILINE)}
    assert codes == {0, 2, 4, 5}
    assert all(f"`{code}`" in table for code in (*codes, 130, 143))


def test_every_row_of_the_protocol_that_a_cluster_gives_is_here() -> None:
    produced = {row[2] for row in ROWS} - {None}
    assert produced == {
        EndReason.EVICTED, EndReason.NODE_LOST, EndReason.SCALED_DOWN, EndReason.OUT_OF_MEMORY, EndReason.DRAINED,
        EndReason.LOST,
    }  # fmt: skip
    preempted = {reason for reason in produced if reason and classify(reason) is FailureClass.PREEMPTED}
    assert preempted == {EndReason.EVICTED, EndReason.NODE_LOST, EndReason.SCALED_DOWN, EndReason.DRAINED}


CRASHES = [("OOMKilled", 137, EndReason.OUT_OF_MEMORY), ("Error", 1, EndReason.LOST)]


@pytest.mark.parametrize(("reason", "code", "own"), CRASHES)
def test_what_comes_first_explains_the_end(reason: str, code: int, own: EndReason) -> None:
    """A pod that had failed by itself and is then cleaned up must not pass for one that was evicted."""
    before, after = ended(code, reason, at=EARLY), ended(code, reason, at=LATE)
    asked_late = Sighting(deleted(deepcopy(before), asked=LATE), job())
    assert _reason(asked_late) is own
    assert _reason(Sighting(disrupted(deepcopy(before), "EvictionByEvictionAPI", "x", at=LATE))) is own
    assert _reason(Sighting(deepcopy(before), job(1))) is own, "scaled down after it had failed"
    assert _reason(Sighting(deepcopy(before), job(), node=node("Unknown"))) is own
    assert _reason(Sighting(deleted(deepcopy(after), asked=EARLY), job())) is EndReason.EVICTED
    assert _reason(replace(asked_late, job=job(1))) is own


def _reason(seen: Sighting) -> EndReason | None:
    found = explain(seen)
    return found.reason if found else None


def test_only_our_container_counts() -> None:
    assert container_end(pod()) is None
    still = pod(containerStatuses=[{"name": "evaluator", "state": {"terminated": {"exitCode": 1}}}])
    assert explain(Sighting(still)) == Evidence(EndReason.LOST, "the evaluator ended with exit code 1", True)


def test_last_words_are_cut() -> None:
    found = explain(Sighting(ended(1, message="word\n" * 5000)))
    assert found is not None
    assert found.message.endswith("word...") or found.message.endswith("...")
    assert json_bytes(found.message) <= 2000
    assert "\n" not in found.message


@given(st.sampled_from(ROWS), st.sampled_from(["metadata", "status", "spec"]))
def test_parts_that_are_missing_do_no_harm(row: Any, part: str) -> None:
    seen = deepcopy(row[1])
    for document in (seen.pod, seen.job, seen.node):
        if document is not None:
            document.pop(part, None)
    explain(seen)


@given(st.text(), st.integers(min_value=3, max_value=60))
def test_cut_keeps_to_its_bound_and_keeps_short_texts(text: str, most: int) -> None:
    short = cut(text, most)
    assert json_bytes(short) <= most
    plain = " ".join(text.encode("utf-8", "replace").decode().split())
    assert short == plain if json_bytes(plain) <= most else short.endswith("...")
