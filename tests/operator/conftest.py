"""A Kubernetes API for tests: the fake one, or the cluster that KUBECONFIG leads to."""

from __future__ import annotations

import os
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import yaml

from tests.operator.api_site import CRD_FILE, CRDS, NAMESPACES, QUICK, Site
from xnas_core.testing.fake_api import FakeApi
from xnas_operator.kube import KubeClient


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[FakeApi]:
    """The fake API server, with the namespaces default, team and other."""
    async with FakeApi(namespaces=["default", "team", "other"]) as server:
        yield server


@pytest.fixture
async def kube(api: FakeApi, tmp_path: Path) -> AsyncIterator[KubeClient]:
    """A client of the fake that waits very little between attempts."""
    client = await KubeClient.connect(kubeconfig=api.kubeconfig(tmp_path / "kubeconfig"), patience=QUICK)
    async with client:
        yield client


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.e2e)])
async def site(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Site]:
    """Each API server in turn."""
    if request.param == "fake":
        async with FakeApi(namespaces=["contract"]) as server:
            path = server.kubeconfig(tmp_path / "kubeconfig")
            async with await KubeClient.connect(kubeconfig=path, patience=QUICK) as client:
                yield Site(client, path, "contract", server)
        return
    if "KUBECONFIG" not in os.environ:
        pytest.skip("KUBECONFIG leads to no cluster")
    path, namespace = Path(os.environ["KUBECONFIG"]), f"contract-{uuid.uuid4().hex[:8]}"
    async with await KubeClient.connect(kubeconfig=path) as client:
        await client.create_or_get(CRDS, "", yaml.safe_load(CRD_FILE.read_text()))
        await client.create(NAMESPACES, "", {"metadata": {"name": namespace}})
        try:
            yield Site(client, path, namespace)
        finally:
            await client.delete(NAMESPACES, "", namespace)
