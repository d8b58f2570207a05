"""An API server for a test: the fake one, or the cluster that KUBECONFIG leads to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from xnas_core.testing.fake_api import FakeApi
from xnas_operator.kube import KubeClient, Patience, Resource, transport

QUICK = Patience(attempt_s=5, attempts=4, first_wait_s=0.001, longest_wait_s=0.01)
NAMESPACES = Resource("", "v1", "namespaces", "Namespace", namespaced=False)
CRDS = Resource("apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", namespaced=False)
CRD_FILE = Path(__file__).parents[2] / "charts/xnas/crds/architecturesearches.xnas.dev.yaml"


@dataclass(frozen=True)
class Site:
    """An API server and a namespace of the test's own."""

    kube: KubeClient
    kubeconfig: Path
    namespace: str
    fake: FakeApi | None = None

    async def issue_token(self, account: str, audiences: Sequence[str], pod: str | None = None) -> str:
        """A token as kubelet projects it into a pod."""
        spec: dict[str, object] = {"audiences": list(audiences), "expirationSeconds": 3600}
        if pod is not None:
            spec["boundObjectRef"] = {"kind": "Pod", "apiVersion": "v1", "name": pod}
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
        path = f"/api/v1/namespaces/{self.namespace}/serviceaccounts/{account}/token"
        document = await self.post(path, body)
        return str(document["status"]["token"])

    async def post(self, path: str, body: object) -> dict[str, dict[str, object]]:
        """A request that the client has no method for."""
        sender = transport.Transport(await transport.configuration(self.kubeconfig), user_agent="test")
        try:
            answer = await sender.send(transport.Call("create", "", "", "POST", path, body=body))
        finally:
            await sender.close()
        found: dict[str, dict[str, object]] = yaml.safe_load(answer)
        return found
