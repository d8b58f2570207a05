"""The chart's bundled MinIO, switched on by one value: `helm test`, and a search from apply to report,
with nothing outside the cluster.

Where MinIO's image cannot be pulled, XNAS_E2E_MINIO_IMAGE names a stand-in (s3_stand_in): then the chart's part is
tested, not MinIO.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.cluster_tools import Cluster
from tests.e2e.installation import Installation
from tests.e2e.search_tools import search, training


@pytest.fixture
def with_own_store(xnas: Installation) -> Iterator[Installation]:
    """The release with its own store, and as it was afterwards."""
    xnas.install_with_own_store()
    yield xnas
    xnas.install()


@pytest.mark.timeout(420)
def test_a_search_runs_on_the_chart_s_own_store(
    cluster: Cluster, with_own_store: Installation, namespace: str, tmp_path: Path
) -> None:
    with_own_store.try_out()
    spec = {**training(6, seed=3, epochs=1, population=4, replicas=1), "explanations": {"methods": ["saliency"]}}
    cluster.apply(search("own", namespace, spec))
    status = cluster.wait_for_state(namespace, "own", "Complete", 180)
    assert status["evaluations"]["finished"] == 6

    cluster.kubectl("create", "serviceaccount", "reader", "-n", namespace)
    cluster.kubectl("create", "rolebinding", "reader", "-n", namespace, "--clusterrole=view",
                    f"--serviceaccount={namespace}:reader")  # fmt: skip
    with with_own_store.client(with_own_store.token(namespace, "reader"), tmp_path) as client:
        front = [member.id for member in client.front(namespace, "own").members]
        report = client.artifact(namespace, "own", "report.html").decode()
    assert front
    assert all(member in report for member in front)
    assert report.count("data:image/png;base64") >= len(front)
