"""A whole operator over the fakes: API server, kubelet, evaluators, and stores in memory."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from xnas_core import wire
from xnas_core.dispatch.door import CallRefusedError, handlers
from xnas_core.dispatch.listener import Listener
from xnas_core.testing.fake_api import FakeApi, JsonObject
from xnas_core.testing.fake_evaluator import FakeEvaluator
from xnas_core.testing.fake_kubelet import FakeKubelet
from xnas_core.testing.memory_store import MemoryStore
from xnas_core.testing.waiting import until
from xnas_operator.auth import EvaluatorIdentity
from xnas_operator.controller import SearchController
from xnas_operator.door import ClusterDoor
from xnas_operator.known import Pace, Surroundings
from xnas_operator.kube import KubeClient
from xnas_operator.kube.resources import SEARCHES
from xnas_operator.manifests.defaults import EvaluatorDefaults
from xnas_operator.searches import Searches
from xnas_operator.session import LeaseTimes
from xnas_operator.watches import PoolWatches

SPEC: Mapping[str, Any] = {
    "seed": 1,
    "searchSpace": {"name": "nas-bench-201", "parameters": {"cellsPerStage": 1, "channels": 8}},
    "dataset": {"name": "digits"},
    "training": {"epochs": 1},
    "objectives": [
        {"name": "accuracy", "direction": "maximize"},
        {"name": "introspectability", "direction": "maximize"},
    ],
    "algorithm": {"populationSize": 4},
    "limits": {"maxEvaluations": 8},
    "evaluators": {"replicas": 2},
}
CAPABILITIES = ("dataset/digits", "explainer/integratedGradients", "explainer/gradCam")


def manifest(name: str = "one", namespace: str = "team", **spec: Any) -> JsonObject:
    """Return a resource; keywords replace fields of the spec."""
    return {
        "apiVersion": "xnas.dev/v1alpha1",
        "kind": "ArchitectureSearch",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {**SPEC, **spec},
    }


class TokenIdentifier:
    """Tells evaluators by the fake's tokens, without the cache and limits of the real one."""

    def __init__(self, api: FakeApi) -> None:
        self._api = api

    async def resolve(self, metadata: Mapping[str, str]) -> EvaluatorIdentity:
        review = self._api.identities.review_token(
            {"token": metadata.get("authorization", "").removeprefix("Bearer "), "audiences": ["xnas"]}
        )
        if not review.get("authenticated"):
            raise CallRefusedError("unauthenticated", review["error"])
        (name,) = review["user"]["extra"]["authentication.kubernetes.io/pod-name"]
        pod = next(item for item in self._api.items("pods") if item["metadata"]["name"] == name)
        labels = pod["metadata"]["labels"]
        return EvaluatorIdentity(
            pod["metadata"]["namespace"], labels["xnas.dev/search"], labels["xnas.dev/search-uid"], name
        )


@dataclass
class Plant:
    """An operator, started and stopped at will, on one API server."""

    api: FakeApi
    kube: KubeClient
    stores: dict[str, MemoryStore] = field(default_factory=dict)
    watches: Callable[[str], bool] = lambda _namespace: True
    searches: Searches = field(init=False)
    kubelet: FakeKubelet = field(init=False)
    address: str = ""

    def __post_init__(self) -> None:
        self.kubelet = FakeKubelet(self.api, lambda: self.address, self._shape)

    def _shape(self, evaluator: FakeEvaluator) -> None:
        evaluator.capabilities = CAPABILITIES
        evaluator.reconnect_seconds = 0.05

    def store(self, root: str) -> MemoryStore:
        """Return the store below a root."""
        return self.stores.setdefault(root, MemoryStore())

    @contextlib.asynccontextmanager
    async def operator(self, **around: Any) -> AsyncIterator[Searches]:
        """Run an operator; leaving the block stops it as a kill would, without a word to anyone."""
        watches: list[PoolWatches] = []
        settings: dict[str, Any] = {
            "kube": self.kube,
            "store": self.store,
            "grants": _NoGrants,
            "defaults": lambda: EvaluatorDefaults(address="xnas:8443", image="evaluator", ca_pem="ca"),
            # Longer than the second between two looks at silent evaluators, as in any real setting.
            "times": LeaseTimes(0.5, 5.0),
            "pace": Pace(
                status=0.1,
                counts=0.1,
                longest_counts=0.1,
                look=3.0,
                pending_look=0.5,
                starting=0.0,
                patience=1.0,
                first_wait=0.1,
                longest_wait=2.0,
            ),
            "bucket": "bucket",
            "prefix": "",
            "may_read": lambda _namespace, _uri: False,
            "synced": lambda: watches[0].synced,
            **around,
        }
        searches = self.searches = Searches(Surroundings(**settings), self.watches)
        watches.append(PoolWatches(self.kube, searches, ()))
        door = ClusterDoor(searches, TokenIdentifier(self.api))
        port = self.address.rpartition(":")[2] or "0"
        listener = Listener([f"127.0.0.1:{port}"], [(wire.SERVICE, handlers(door))])
        await listener.start()
        self.address = listener.bound[0]

        async def feed() -> None:
            async for event in self.kube.watch(SEARCHES):
                if event.type == "SYNCED":
                    searches.were_listed()
                else:
                    searches.observe(event.type, event.object)

        tasks = [asyncio.create_task(feed()), asyncio.create_task(watches[0].run())]
        try:
            yield searches
            for task in tasks:
                if task.done():
                    task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await searches.close()
            await listener.stop(0)

    def status(self, name: str = "one", namespace: str = "team") -> JsonObject:
        """Return a resource's status."""
        status: JsonObject = self.api.get("architecturesearches", namespace, name).get("status") or {}
        return status

    def condition(self, kind: str, name: str = "one", namespace: str = "team") -> JsonObject:
        """Return a condition, or an empty one."""
        conditions = self.status(name, namespace).get("conditions") or []
        return next((condition for condition in conditions if condition["type"] == kind), {})

    async def state(self, word: str, name: str = "one", namespace: str = "team", within: float = 30.0) -> JsonObject:
        """Wait until a resource is in a state; return its status."""
        await until(lambda: self.status(name, namespace).get("state") == word, within)
        return self.status(name, namespace)

    def controller(self, name: str = "one", namespace: str = "team") -> SearchController:
        """Return the controller of a resource."""
        found = self.searches.find(namespace, name)
        assert found is not None
        return found


class _NoGrants:
    def __init__(self, root: str) -> None:
        self.root = root

    def grant(self, key: str, *, write: bool, outside: bool = False) -> Any:
        raise AssertionError(f"no grant is asked for in these tests: {key} {write} {outside}")
