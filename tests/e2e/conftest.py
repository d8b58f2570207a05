"""The cluster, the release and a namespace of its own for each test. `make e2e` runs these; `make test` does not."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from tests.absent import absent
from tests.e2e.cluster_tools import Cluster, missing_parts, until
from tests.e2e.installation import Installation
from tests.e2e.search_tools import table, table_config_map

HERE = Path(__file__).parent


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark what is in this folder; leave it out unless it is asked for."""
    ours = [item for item in items if HERE in Path(item.fspath).parents]
    for item in ours:
        item.add_marker(pytest.mark.e2e)
    if "e2e" not in str(config.getoption("markexpr")):
        config.hook.pytest_deselected(items=ours)
        items[:] = [item for item in items if item not in ours]


@pytest.fixture(scope="session")
def cluster() -> Cluster:
    """The cluster of KUBECONFIG."""
    missing = missing_parts()
    if missing:
        pytest.fail(f"the cluster tests need a cluster and an S3 server; missing: {', '.join(missing)}")
    return Cluster()


@pytest.fixture(scope="session")
def xnas(cluster: Cluster) -> Iterator[Installation]:
    """XNAS, installed once for all tests."""
    installation = Installation(cluster, "xnas-e2e")
    installation.install()
    yield installation
    for kind in ("pods", "events"):
        print(cluster.kubectl("get", kind, "-n", installation.namespace))
    installation.uninstall()


@pytest.fixture
def namespace(cluster: Cluster, xnas: Installation) -> Iterator[str]:
    """A namespace with the benchmark table, removed afterwards."""
    with _namespace(cluster) as name:
        yield name


@pytest.fixture
def other_namespace(cluster: Cluster, xnas: Installation) -> Iterator[str]:
    """Another one."""
    with _namespace(cluster) as name:
        yield name


@pytest.fixture
def testcluster(cluster: Cluster) -> Cluster:
    """The cluster, if its parts can be stopped."""
    if cluster.tool is None:
        absent("parts of this cluster cannot be stopped; set XNAS_E2E_TESTCLUSTER to a program that does")
    return cluster


@contextmanager
def _namespace(cluster: Cluster) -> Iterator[str]:
    name = f"e2e-{uuid.uuid4().hex[:8]}"
    cluster.kubectl("create", "namespace", name)
    if not table().exists():
        pytest.fail(f"the table {table()} is absent; set XNAS_SHARED_DATA to the folder that holds nas-bench-201/")
    document = table_config_map()
    document["metadata"]["namespace"] = name
    # Too large for the annotation that `apply` would keep.
    cluster.kubectl("create", "-f", "-", given=yaml.safe_dump(document))
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false")
    until(
        lambda: not cluster.items("architecturesearches,pods,jobs", name),
        60,
        f"nothing is left in {name}",
    )
