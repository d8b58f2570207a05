"""The command line against a fake API server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from xnas_core.cli.cluster.kube import Patience
from xnas_core.service.errors import UnauthenticatedError
from xnas_core.service.interface import Caller
from xnas_core.testing.certificates import Certificate, self_signed
from xnas_core.testing.command_line import Told, xnas
from xnas_core.testing.fake_api import FakeApi
from xnas_core.testing.growing_search import GrowingSearch
from xnas_core.testing.search_site import SearchSite, manifest

Xnas = Callable[..., Awaitable[Told]]


@pytest.fixture(autouse=True)
def _no_cluster_of_ours(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No test reaches the cluster of whoever runs it."""
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "no-kubeconfig"))
    for name in (
        "KUBERNETES_SERVICE_HOST", "XNAS_TOKEN", "XNAS_ADDRESS", "XNAS_CA_FILE", "XNAS_SERVICE_ACCOUNT",
        "XNAS_OPERATOR_NAMESPACE",
    ):  # fmt: skip
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("xnas_core.cli.cluster.connecting.PATIENCE", Patience(5, 5, pause_seconds=0.01))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
async def api() -> AsyncIterator[FakeApi]:
    async with FakeApi(namespaces=["default", "team-a", "team-b", "xnas"]) as server:
        yield server


@pytest.fixture
def run(api: FakeApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Xnas:
    """Runs a command with a kubeconfig that leads to the fake API server, its context's namespace team-a."""
    monkeypatch.setenv("KUBECONFIG", str(api.kubeconfig(tmp_path / "kubeconfig", namespace="team-a")))

    async def run_(*arguments: Any, **settings: Any) -> Told:
        return await asyncio.to_thread(xnas, *arguments, **settings)

    return run_


def resource(name: str = "digits", namespace: str = "team-a", **spec: Any) -> dict[str, Any]:
    """A search as the API server has it after a while."""
    made = manifest(name, **spec)
    made["metadata"]["namespace"] = namespace
    made["status"] = {
        "state": "Running",
        "conditions": [
            {
                "type": "Progressing",
                "status": "True",
                "reason": "Evaluating",
                "message": "evaluations run",
                "lastTransitionTime": "2026-09-21T13:33:20Z",
            }
        ],
        "evaluations": {"proposed": 9, "running": 2, "succeeded": 6, "failed": 1},
        "evaluators": {"desired": 2, "ready": 1},
        "generation": 2,
        "frontSize": 3,
        "hypervolume": 0.5,
        "artifactsUri": f"s3://xnas/searches/{namespace}/{name}/uid",
    }
    return made


@dataclass
class ApiAuthorizer:
    """Asks the fake API server's own table whom a token stands for; whoever that is may do all in team-a."""

    api: FakeApi
    callers: list[str] = field(default_factory=list)

    async def authenticate(self, metadata: Mapping[str, str]) -> Caller:
        token = metadata.get("authorization", "").removeprefix("Bearer ")
        status = self.api.identities.review_token({"token": token, "audiences": ["xnas"]})
        if not status.get("authenticated"):
            raise UnauthenticatedError("the token is not accepted (expired, or not made for the audience 'xnas')")
        self.callers.append(status["user"]["username"])
        return Caller(self.callers[-1])

    async def allowed(self, caller: Caller, verb: str, namespace: str, name: str) -> bool:
        del caller, verb, name
        return namespace == "team-a"


@dataclass
class Cluster:
    """A fake API server with an operator: a served SearchService behind a pod's port."""

    api: FakeApi
    site: SearchSite
    authorizer: ApiAuthorizer

    def operator_pod(self, name: str = "xnas-operator-1", namespace: str = "xnas", *, port: int = 9443) -> None:
        """Make a pod that is the active operator, its port leading to the service."""
        self.api.create(
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": name, "namespace": namespace, "labels": {"xnas.dev/active": "true"}},
                "spec": {
                    "containers": [{"name": "operator", "ports": [{"name": "grpc", "containerPort": port}]}],
                    "volumes": [{"name": "config", "configMap": {"name": "xnas-operator"}}],
                },
                "status": {"phase": "Running"},
            }
        )
        host, _, served = self.site.address.rpartition(":")
        self.api.forwards[namespace, name, port] = (host, int(served))

    def search(self, name: str = "digits", **fields: Any) -> GrowingSearch:
        """Make a search that has begun, as resource and in the service."""
        self.api.create(resource(name, **fields))
        return self.site.add(name, **fields)


@pytest.fixture(scope="session")
def certificate() -> Certificate:
    return self_signed("xnas.xnas.svc")


@pytest.fixture
async def cluster(api: FakeApi, certificate: Certificate) -> AsyncIterator[Cluster]:
    """With the active operator, its authority beside the searches, and the account of a researcher."""
    authorizer = ApiAuthorizer(api)
    site = SearchSite(certificates=certificate, authorizer=authorizer, address="127.0.0.1:0")
    await site.start()
    made = Cluster(api, site, authorizer)
    made.operator_pod()
    api.create(authority(certificate.chain))
    api.create({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "ann", "namespace": "team-a"}})
    yield made
    await site.stop()


def authority(pem: bytes, name: str = "digits-ca") -> dict[str, Any]:
    """The ConfigMap that the operator puts beside a search."""
    labels = {"app.kubernetes.io/managed-by": "xnas-operator"}
    metadata = {"name": name, "namespace": "team-a", "labels": labels}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"ca.crt": pem.decode()}}
