"""Scenario (d): evaluators that go away while they train real networks."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import pytest

from tests.e2e.cluster_tools import Cluster, store_of, until
from tests.e2e.installation import Installation
from tests.e2e.search_tools import engine_of, outcomes, search, training
from xnas_core.search.engine import Engine

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


def engine(cluster: Cluster, namespace: str) -> Engine:
    """Return the search as its journal tells it; the status's counts are older."""
    return engine_of(store_of(cluster.status(namespace, "train")))


def busy(cluster: Cluster, namespace: str) -> bool:
    """Both evaluators that are there train."""
    there = {pod["metadata"]["name"] for pod in cluster.pods_of(namespace, "train")}
    running = [task.running() for task in engine(cluster, namespace).ledger.running()]
    return len(there) == 2 and there <= {attempt.evaluator for attempt in running if attempt is not None}


def until_it_ends_an_attempt(cluster: Cluster, namespace: str, reason: str, strike: Callable[[str], None]) -> None:
    """Strike an evaluator while it trains; once more where it had just finished."""
    for _ in range(3):
        until(lambda: busy(cluster, namespace), 120, "both evaluators train")
        strike(cluster.pods_of(namespace, "train")[0]["metadata"]["name"])
        with contextlib.suppress(AssertionError):
            until(lambda: outcomes(engine(cluster, namespace)).get(reason), 20, f"an attempt ended with {reason}")
            return
    raise AssertionError(f"no attempt ended with {reason}: {outcomes(engine(cluster, namespace))}")


@pytest.mark.timeout(420)
def test_evaluators_that_go_away_cost_what_they_should(cluster: Cluster, xnas: Installation, namespace: str) -> None:
    del xnas
    cluster.apply(search("train", namespace, training(18, seed=3, epochs=30, population=6, replicas=2)))

    def kill_worker(pod: str) -> None:
        cluster.kubectl("exec", "-n", namespace, pod, "--", "python", "-c", _KILL_WORKER)

    def delete(pod: str) -> None:
        # At once, so that it can neither finish nor hand back what it trains.
        cluster.delete("pod", namespace, pod, "--force", "--grace-period=0")

    until_it_ends_an_attempt(cluster, namespace, "WorkerCrashed", kill_worker)
    until_it_ends_an_attempt(cluster, namespace, "Evicted", delete)
    until(lambda: busy(cluster, namespace), 120, "it was replaced")

    node = cluster.pods_of(namespace, "train")[0]["spec"]["nodeName"]
    try:
        cluster.kubectl(
            "drain", node, "--ignore-daemonsets", "--force", "--delete-emptydir-data", "--timeout=90s",
            "--pod-selector=xnas.dev/search=train", seconds=120,
        )  # fmt: skip
    finally:
        cluster.kubectl("uncordon", node)
    status = cluster.wait_for_state(namespace, "train", "Complete", 240)

    done = engine(cluster, namespace)
    ends = outcomes(done)
    assert ends["succeeded"] == 18
    assert ends.get("WorkerCrashed", 0) >= 1
    assert ends.get("Evicted", 0) >= 1, ends
    # What was drained finished its candidate in time, or handed it back.
    assert set(ends) <= {"succeeded", "WorkerCrashed", "Evicted", "Drained", "Cancelled"}, ends
    assert status["evaluations"]["failed"] == 0
    assert [task.failed for task in done.ledger.tasks.values() if task.failed] == [1] * ends["WorkerCrashed"]
