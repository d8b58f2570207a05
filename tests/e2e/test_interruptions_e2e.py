"""Scenarios (c), (e) and (i): whatever is interrupted, the result is that of a search never interrupted."""

from __future__ import annotations

import random
import time
from typing import Any

import pytest

from tests.e2e.cluster_tools import Cluster, store_of, until
from tests.e2e.installation import Installation
from tests.e2e.search_tools import decisions, engine_of, run_here, search, table, tabular

EVALUATIONS = 4500


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Any, ...]]:
    """The search on this machine, never interrupted."""
    spec = tabular(EVALUATIONS, folder=str(table().parent))
    spec["evaluators"].pop("template")
    return decisions(engine_of(run_here(search("here", "default", spec), tmp_path_factory.mktemp("here"))))


@pytest.fixture
def running(cluster: Cluster, namespace: str) -> str:
    """The same search on the cluster, begun."""
    cluster.apply(search("there", namespace, tabular(EVALUATIONS, slots=1)))
    cluster.wait_for_evaluations(namespace, "there", 50, 60)
    return namespace


def ends_like(undisturbed: list[tuple[Any, ...]], cluster: Cluster, namespace: str) -> None:
    """The search completes with the same candidates, values and front."""
    status = cluster.wait_for_state(namespace, "there", "Complete", 240)
    assert decisions(engine_of(store_of(status))) == undisturbed


@pytest.mark.timeout(420)
def test_an_operator_killed_five_times(
    cluster: Cluster, xnas: Installation, running: str, undisturbed: list[tuple[Any, ...]]
) -> None:
    moments = random.Random(7)
    for _ in range(5):
        done = cluster.status(running, "there")["evaluations"]["finished"]
        if done >= EVALUATIONS * 0.9:
            pytest.fail(f"the search is too quick to be interrupted five times: {done} are finished; raise EVALUATIONS")
        time.sleep(moments.uniform(0.0, 3.0))
        xnas.kill_operator()
        cluster.wait_for_evaluations(running, "there", done + 50, 90)
    ends_like(undisturbed, cluster, running)


@pytest.mark.timeout(420)
def test_the_store_and_the_api_server_are_away_for_a_while(
    testcluster: Cluster, xnas: Installation, running: str, undisturbed: list[tuple[Any, ...]]
) -> None:
    cluster = testcluster
    restarts = _restarts(xnas)
    cluster.outage("s3", "down")
    try:
        # Whether the operator writes just then, and so can tell, is chance.
        time.sleep(30)
        done = cluster.status(running, "there")["evaluations"]["finished"]
    finally:
        cluster.outage("s3", "up")
    assert done < EVALUATIONS
    cluster.wait_for_evaluations(running, "there", done + 100, 120)

    cluster.outage("api-down")
    try:
        time.sleep(20)
    finally:
        cluster.outage("api-up")
    ends_like(undisturbed, cluster, running)
    # Without the API server the lease cannot be renewed, so the operator may end itself, once.
    assert _restarts(xnas) <= restarts + 1


@pytest.mark.timeout(300)
def test_helm_upgrade_in_mid_search(
    cluster: Cluster, xnas: Installation, running: str, undisturbed: list[tuple[Any, ...]]
) -> None:
    pods = {pod["metadata"]["uid"] for pod in cluster.pods_of(running, "there")}
    before = xnas.active_pod()
    xnas.install("logLevel=debug")
    try:
        until(lambda: xnas.active_pod() != before, 60, "another operator is active")
        # The pool is left alone: its pods go on.
        assert {pod["metadata"]["uid"] for pod in cluster.pods_of(running, "there")} == pods
        ends_like(undisturbed, cluster, running)
    finally:
        xnas.install()


def _restarts(xnas: Installation) -> int:
    return sum(c["restartCount"] for pod in xnas.operator_pods() for c in pod["status"].get("containerStatuses", ()))
