"""What the operator asks of the API server, all of it together, is what the chart's roles grant, both ways.

The chart's table of rights (charts/xnas/README.md) is compared with the rendered roles in tests/chart. Here it is
compared with the requests that whole runs of the operator make.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.chart.rights import Right, documented
from tests.operator.api_site import QUICK
from tests.operator.plant import Plant, manifest
from tests.operator.whole_operator import OWN, Running, whole_operator
from xnas_core.client import aio
from xnas_core.testing.fake_api import FakeApi
from xnas_core.testing.fake_evaluator import FakeEvaluator, Outcome
from xnas_core.testing.fake_s3 import fake_s3
from xnas_core.testing.waiting import until
from xnas_operator.auth import EvaluatorIdentities, KubeAuthorizer, TokenAuthenticator
from xnas_operator.kube import KubeClient
from xnas_operator.settings import TlsSettings

NOT_ASKED_FOR = {
    Right("searches", "xnas.dev", "architecturesearches/finalizers", "", "update"): (
        "the admission plug-in OwnerReferencesPermissionEnforcement, where it is on, asks for it when the operator "
        "makes an object whose owner reference has blockOwnerDeletion; no request is made with it"
    ),
}
"""Rights that no request shows, and what needs them."""

CLUSTER = frozenset(
    {"tokenreviews", "subjectaccessreviews", "customresourcedefinitions", "namespaces", "nodes"}
)  # fmt: skip
NAMED = frozenset({"leases", "secrets"})
GRAPH_ONLY: dict[str, Any] = {
    "searchSpace": {"name": "mobile"},
    "objectives": [{"name": "parameters", "direction": "minimize"}, {"name": "macs", "direction": "minimize"}],
    "algorithm": {"populationSize": 4},
    "limits": {"maxEvaluations": 8},
}
OTHERS_JOB = {"name": "two-evaluators", "namespace": "team"}
LONG: dict[str, Any] = {"limits": {"maxEvaluations": 400}, "algorithm": {"populationSize": 20}}


def graph_only(name: str, **spec: Any) -> Any:
    return {**manifest(name), "spec": {**GRAPH_ONLY, **spec}}


def used(api: FakeApi) -> set[Right]:
    """Return the rights that the requests so far took. The namespaces of searches are all but the operator's own."""
    rights = set()
    for request in api.requests:
        resource = request.resource + (f"/{request.subresource}" if request.subresource else "")
        where = "own" if request.namespace == OWN else "cluster" if resource in CLUSTER else "searches"
        named = where == "own" and resource in NAMED and request.verb != "create"
        rights.add(Right(where, request.group, resource, request.name if named else "", request.verb))
    return rights


# --- the operator's own process -----------------------------------------------------------------------------------


async def _begun_served_and_ended(api: FakeApi, here: Running) -> None:
    """A search through SearchService, from its creation to its deletion, then one that goes by itself."""
    api.create({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "ann", "namespace": "team"}})
    api.identities.allow("system:serviceaccount:team:ann", namespaces=("team",))
    token = api.issue_token("team", "ann")
    async with aio.SearchClient(f"localhost:{here.port}", token=token, ca_file=here.ca_file) as client:
        await client.create(graph_only("one", artifacts={"retention": "Delete"}))
        await until(lambda: _state(api, "one") == "Complete")
        assert [found.name async for found in client.list("team")] == ["one"]
        await client.update("team", "one", {"limits": {"maxEvaluations": 12}})
        assert (await client.get("team", "one")).name == "one"
        await client.delete("team", "one")
        await until(lambda: not api.exists("architecturesearches", "team", "one"))
    api.create(graph_only("two", ttlSecondsAfterFinished=0))
    await until(lambda: not api.exists("architecturesearches", "team", "two"))


def _state(api: FakeApi, name: str) -> str:
    return str((api.get("architecturesearches", "team", name).get("status") or {}).get("state", ""))


async def _whole_runs(tmp_path: Path, namespaces: list[str]) -> set[Right]:
    async with FakeApi(namespaces=["default", "team", OWN]) as api:
        path = api.kubeconfig(tmp_path / "kubeconfig")
        with pytest.MonkeyPatch.context() as patch, fake_s3() as s3:
            patch.setenv("KUBECONFIG", str(path))
            brief = TlsSettings(valid_days=2, rotate_before_days=1)
            async with whole_operator(api, s3, tmp_path, namespaces=namespaces, tls=brief) as here:
                await _begun_served_and_ended(api, here)
            # The next one finds a lease, a label on the first one's pod, and a certificate that ends soon.
            async with whole_operator(api, s3, tmp_path, "operator-2", namespaces=namespaces):
                pass
        return used(api)


# --- with evaluators ----------------------------------------------------------------------------------------------


@asynccontextmanager
async def planted(tmp_path: Path, *, held: bool = False) -> AsyncIterator[Plant]:
    async with FakeApi(namespaces=["default", "team", "other"]) as api:
        path = api.kubeconfig(tmp_path / "kubeconfig")
        async with await KubeClient.connect(kubeconfig=path, patience=QUICK) as kube:
            plant = Plant(api, kube)
            plant.kubelet.held = held
            shape = plant.kubelet.shape

            def slow(evaluator: FakeEvaluator) -> None:
                shape(evaluator)
                evaluator.outcome = lambda _: Outcome(seconds=0.05)

            plant.kubelet.shape = slow
            async with plant.kubelet.running(), plant.operator():
                yield plant


async def _scaled_silent_and_suspended(tmp_path: Path) -> set[Right]:
    async with planted(tmp_path) as plant:
        api = plant.api
        api.create(manifest(**LONG))
        await until(lambda: plant.status().get("evaluators") == {"desired": 2, "ready": 2})
        # Who an evaluator is: its token, its pod, its Job.
        pod = next(iter(plant.kubelet.evaluators))
        account = api.get("pods", "team", pod)["spec"]["serviceAccountName"]
        authorizer = KubeAuthorizer(plant.kube, TokenAuthenticator(plant.kube))
        token = api.issue_token("team", account, pod=pod)
        found = await EvaluatorIdentities(plant.kube, authorizer).resolve({"authorization": f"Bearer {token}"})
        assert found.search_name == "one"
        api.patch("architecturesearches", "team", "one", {"spec": {"evaluators": {"replicas": 3}}})
        await until(lambda: plant.status().get("evaluators") == {"desired": 3, "ready": 3})
        # An evaluator falls silent, and its node may say why.
        plant.kubelet.held = True
        api.patch("pods", "team", pod, {"spec": {"nodeName": "node-1"}})
        await plant.kubelet._stop(pod)
        await until(lambda: any(request.resource == "nodes" for request in api.requests))
        api.delete("pods", "team", pod, gracePeriodSeconds=0)
        api.patch("architecturesearches", "team", "one", {"spec": {"suspend": True}})
        await until(lambda: not api.items("jobs"))
        return used(api)


async def _waiting(tmp_path: Path) -> set[Right]:
    async with planted(tmp_path, held=True) as plant:
        api = plant.api
        # Something else has the name of its Job: it is looked at, and left alone.
        pod = {"restartPolicy": "Never", "containers": [{"name": "another", "image": "another"}]}
        job = {"completions": 0, "template": {"metadata": {"labels": {}, "annotations": {}}, "spec": pod}}
        api.create({"kind": "Job", "apiVersion": "batch/v1", "metadata": {**OTHERS_JOB}, "spec": job})
        api.create(manifest("two"))
        api.create(manifest(evaluators={"replicas": 1, "queueName": "queue"}))
        await until(lambda: api.exists("jobs", "team", "one-evaluators"))
        api.patch("jobs", "team", "one-evaluators", {"spec": {"suspend": True}})
        await until(lambda: plant.condition("EvaluatorsReady").get("reason") == "Queued")
        await until(lambda: any(request.resource == "workloads" for request in api.requests))
        await until(lambda: plant.condition("EvaluatorsReady", "two").get("status") == "False")
        return used(api)


SCENARIOS: tuple[Callable[[Path], Coroutine[Any, Any, set[Right]]], ...] = (_scaled_silent_and_suspended, _waiting)


async def test_what_is_asked_for_is_what_is_granted(tmp_path: Path) -> None:
    asked = await _whole_runs(tmp_path, ["team"])
    for scenario in SCENARIOS:
        asked |= await scenario(tmp_path)
    table = documented()
    assert sorted(asked - table) == [], "the roles lack these"
    assert sorted(table - asked - set(NOT_ASKED_FOR)) == [], "nothing needs these"
    assert set(NOT_ASKED_FOR) <= table - asked, "an exception that is none any more"


async def test_an_operator_of_all_namespaces_asks_for_nothing_more(tmp_path: Path) -> None:
    assert sorted(await _whole_runs(tmp_path, []) - documented()) == []
