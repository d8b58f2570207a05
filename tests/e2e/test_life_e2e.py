"""Scenarios (b), (f) and (j): the life of searches as `kubectl` sees and changes it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable

import pytest

from tests.e2e.cluster_tools import Cluster, CommandFailedError, Document, store_of, until
from tests.e2e.installation import Installation
from tests.e2e.search_tools import engine_of, search, tabular

STATUS_BYTES = 32 * 1024


def change(cluster: Cluster, namespace: str, name: str, **spec: object) -> None:
    """Patch fields of a search's spec."""
    cluster.kubectl("patch", "nas", name, "-n", namespace, "--type=merge", "-p", json.dumps({"spec": spec}))


def _evaluators_are(cluster: Cluster, namespace: str, wanted: Document) -> Callable[[], bool]:
    return lambda: cluster.status(namespace, "life")["evaluators"] == wanted


@pytest.mark.timeout(180)
def test_two_searches_in_two_namespaces_at_once(
    cluster: Cluster, xnas: Installation, namespace: str, other_namespace: str
) -> None:
    del xnas
    cluster.apply(
        search("same", namespace, tabular(400, seed=1)), search("same", other_namespace, tabular(400, seed=2))
    )
    found = []
    for place in (namespace, other_namespace):
        status = cluster.wait_for_state(place, "same", "Complete", 120)
        assert f"/{place}/same/" in status["artifactsUri"]
        engine = engine_of(store_of(status))
        assert len(engine.arrivals) == 400
        found.append([candidate.id for candidate in engine.candidates])
    assert found[0] != found[1]


@pytest.mark.timeout(300)
def test_suspend_resume_scale_raise_limits_delete(cluster: Cluster, xnas: Installation, namespace: str) -> None:
    del xnas
    cluster.apply(search("life", namespace, tabular(10_000)))
    cluster.wait_for_evaluations(namespace, "life", 20, 60)
    change(cluster, namespace, "life", suspend=True)
    cluster.wait_for_state(namespace, "life", "Suspended", 60)
    until(lambda: not cluster.pods_of(namespace, "life"), 60, "a suspended search has no evaluators")
    done = cluster.status(namespace, "life")["evaluations"]["finished"]
    assert done < 10_000

    change(cluster, namespace, "life", suspend=False, limits={"maxEvaluations": 15_000})
    cluster.wait_for_evaluations(namespace, "life", done + 50, 60)
    for replicas in (3, 1):
        change(cluster, namespace, "life", evaluators={"replicas": replicas})
        ready = {"desired": replicas, "ready": replicas}
        until(_evaluators_are(cluster, namespace, ready), 90, f"{replicas} evaluators are ready")
        assert len(cluster.pods_of(namespace, "life")) == replicas

    with pytest.raises(CommandFailedError, match="seed cannot be changed once the search exists"):
        change(cluster, namespace, "life", seed=99)

    cluster.delete("nas", namespace, "life")
    until(
        lambda: not cluster.items("architecturesearches,jobs,pods,configmaps,serviceaccounts", namespace,
                                  "xnas.dev/search=life"),
        60,
        "nothing is left of the search",
    )  # fmt: skip


@pytest.mark.timeout(300)
def test_the_status_of_16000_evaluations_stays_small(cluster: Cluster, xnas: Installation, namespace: str) -> None:
    del xnas
    spec = {
        "seed": 1,
        "searchSpace": {"name": "mobile", "parameters": {"stages": 5}},
        "objectives": [
            {"name": "parameters", "direction": "minimize"},
            {"name": "macs", "direction": "minimize"},
        ],
        "constraints": [{"metric": "parameters", "min": 1_000_000}],
        "limits": {"maxEvaluations": 16_000},
    }
    sizes: list[int] = []
    over = threading.Event()

    def look() -> None:
        while not over.is_set():
            sizes.append(len(json.dumps(cluster.status(namespace, "large"))))
            over.wait(0.5)

    cluster.apply(search("large", namespace, spec))
    looking = threading.Thread(target=look)
    looking.start()
    try:
        status = cluster.wait_for_state(namespace, "large", "Complete", 240)
    finally:
        over.set()
        looking.join()
    assert status["evaluations"]["finished"] == 16_000
    assert max(sizes) < STATUS_BYTES
    assert not cluster.items("jobs", namespace)
