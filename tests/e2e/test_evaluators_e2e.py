"""Scenario (d): evaluators that go away while they train real networks."""

from __future__ import annotations

from typing import Any

import pytest

from tests.e2e.cluster_tools import Cluster, store_of, until
from tests.e2e.installation import Installation
from tests.e2e.search_tools import engine_of, outcomes, search, training

_KILL_WORKER = (
    "import os, signal\n"
    "for entry in os.listdir('/proc'):\n"
    "    if entry.isdigit():\n"
    "        try:\n"
    "            line = open(f'/proc/{entry}/cmdline').read().split(chr(0))\n"
    "        except OSError:\n"
    "            continue\n"
    "        if 'xnas_evaluator.worker' in line:\n"
    "            os.kill(int(entry), signal.SIGKILL)\n"
    "            print('killed', entry)\n"
)


def busy(cluster: Cluster, namespace: str) -> Any:
    """Both evaluators train."""
    return cluster.status(namespace, "train")["evaluations"]["running"] >= 2


@pytest.mark.timeout(420)
def test_evaluators_that_go_away_cost_what_they_should(cluster: Cluster, xnas: Installation, namespace: str) -> None:
    del xnas
    cluster.apply(search("train", namespace, training(18, seed=3, epochs=30, population=6, replicas=2)))
    until(lambda: busy(cluster, namespace), 90, "both evaluators train")

    first = cluster.pods_of(namespace, "train")[0]["metadata"]["name"]
    cluster.kubectl("exec", "-n", namespace, first, "--", "python", "-c", _KILL_WORKER)
    until(lambda: busy(cluster, namespace), 60, "both train again")

    # At once, so that it can neither finish nor hand back what it trains.
    cluster.delete("pod", namespace, first, "--force", "--grace-period=0")
    until(lambda: first not in _names(cluster, namespace) and busy(cluster, namespace), 120, "it was replaced")

    node = cluster.pods_of(namespace, "train")[0]["spec"]["nodeName"]
    try:
        cluster.kubectl(
            "drain", node, "--ignore-daemonsets", "--force", "--delete-emptydir-data", "--timeout=90s",
            "--pod-selector=xnas.dev/search=train", seconds=120,
        )  # fmt: skip
    finally:
        cluster.kubectl("uncordon", node)
    status = cluster.wait_for_state(namespace, "train", "Complete", 240)

    engine = engine_of(store_of(status))
    ends = outcomes(engine)
    assert ends["succeeded"] == 18
    assert ends.get("WorkerCrashed", 0) >= 1
    assert ends.get("Evicted", 0) >= 1, ends
    # What was drained finished its candidate in time, or handed it back.
    assert set(ends) <= {"succeeded", "WorkerCrashed", "Evicted", "Drained", "Cancelled"}, ends
    assert status["evaluations"]["failed"] == 0
    assert [task.failed for task in engine.ledger.tasks.values() if task.failed] == [1] * ends["WorkerCrashed"]


def _names(cluster: Cluster, namespace: str) -> list[str]:
    return [pod["metadata"]["name"] for pod in cluster.pods_of(namespace, "train")]
