"""Data sets in the store, through the whole operator: who is granted what, and whom evaluators trust."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest
from pydantic import SecretStr

from tests.operator.plant import Plant, manifest
from xnas.v1alpha1 import evaluator_pb2 as pb
from xnas_core import wire
from xnas_core.artifacts.s3_settings import S3Settings
from xnas_core.dispatch.grants import S3DataGrants
from xnas_core.testing.fake_api import FakeApi
from xnas_core.testing.fake_evaluator import FakeEvaluator, Outcome
from xnas_core.testing.waiting import until
from xnas_operator import app
from xnas_operator.kube import KubeClient
from xnas_operator.manifests.defaults import EvaluatorDefaults
from xnas_operator.settings import EvaluatorSettings, GrpcSettings, Settings, SettingsError, StoreSettings

STORE = S3Settings("http://store:9000", "artifacts", "key", "secret")
MINE, OTHERS = "s3://datasets/team/digits.npz", "s3://datasets/other/digits.npz"


def may_read(namespace: str, uri: str) -> bool:
    return uri.startswith(f"s3://datasets/{namespace}/")


def remote(uri: str, **spec: Any) -> Any:
    return manifest(dataset={"source": {"npz": uri}}, limits={"maxEvaluations": 500}, **spec)


@pytest.fixture
async def plant(api: FakeApi, kube: KubeClient) -> AsyncIterator[Plant]:
    plant = Plant(api, kube)
    shape = plant.kubelet.shape

    def slow(evaluator: FakeEvaluator) -> None:
        shape(evaluator)
        evaluator.outcome = lambda _: Outcome(seconds=0.5)

    plant.kubelet.shape = slow
    async with plant.kubelet.running():
        yield plant


def around() -> dict[str, Any]:
    return {
        "may_read": may_read,
        "data_grants": lambda namespace: S3DataGrants(STORE, partial(may_read, namespace)),
    }


async def ask(evaluator: FakeEvaluator, uri: str, as_id: str = "") -> str:
    call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = evaluator.channel.unary_unary(wire.GRANT_DATA)
    request = pb.GrantDataRequest(evaluator_id=as_id or evaluator.id, uri=uri).SerializeToString()
    return pb.GrantDataResponse.FromString(await call(request, timeout=5, metadata=evaluator._metadata)).url


async def refused(evaluator: FakeEvaluator, uri: str, as_id: str = "") -> str:
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await ask(evaluator, uri, as_id)
    assert error.value.code() is grpc.StatusCode.PERMISSION_DENIED
    return error.value.details() or ""


async def test_an_evaluator_gets_its_search_s_data_and_no_other(plant: Plant) -> None:
    async with plant.operator(**around()):
        plant.api.create(remote(MINE))
        await until(lambda: plant.status().get("evaluators") == {"desired": 2, "ready": 2})
        first, second = plant.kubelet.evaluators.values()
        assert (await ask(first, MINE)).startswith("http://store:9000/datasets/team/digits.npz?")
        for uri in (OTHERS, "s3://datasets/team/other.npz", "s3://datasets/team/../other/digits.npz", ""):
            assert "not the address" in await refused(first, uri)
        assert f"is evaluator {first.id}" in await refused(first, MINE, as_id=second.id)


@pytest.mark.parametrize("uri", [OTHERS, "s3://artifacts/searches/team/one/u/search.json"])
async def test_what_is_not_mapped_is_refused_before_any_pod_is_made(plant: Plant, uri: str) -> None:
    async with plant.operator(**around()):
        plant.api.create(remote(uri))
        await plant.state("Failed")
        assert f"may not read {uri}" in plant.condition("Accepted")["message"]
        assert not plant.api.items("pods")


@pytest.mark.parametrize(
    "uri", ["s3://datasets/team/../other/x.npz", "s3://datasets/team/%2e%2e/x.npz", "S3://a/x.npz"]
)
async def test_an_address_that_can_be_read_in_two_ways_is_no_address(plant: Plant, uri: str) -> None:
    async with plant.operator(**around()):
        plant.api.create(remote(uri))
        await plant.state("Failed")
        assert "write s3://BUCKET/KEY" in plant.condition("Accepted")["message"]


async def test_the_store_s_authority_follows_to_running_pods(plant: Plant) -> None:
    authority = ["FIRST"]

    def defaults() -> EvaluatorDefaults:
        return EvaluatorDefaults(address="xnas:8443", image="evaluator", ca_pem="ca", store_ca_pem=authority[0])

    def seen() -> Any:
        return plant.api.items("configmaps") and plant.api.items("configmaps")[0]["data"]

    async with plant.operator(**around(), defaults=defaults):
        plant.api.create(remote(MINE))
        await until(lambda: seen() == {"ca.crt": "ca", "store.crt": "FIRST"})
        authority[0] = "SECOND"
        await until(lambda: seen() == {"ca.crt": "ca", "store.crt": "SECOND"})


class _Keeper:
    def ca_bundle(self) -> bytes:
        return b"PORT"


def test_the_settings_file_of_the_authority_is_read_anew_each_time(tmp_path: Path) -> None:
    file = tmp_path / "store.pem"
    file.write_text("FIRST")
    grpc_port = GrpcSettings(evaluator_address="xnas:8443")
    given: dict[str, Any] = {"pod_name": "p", "pod_namespace": "n", "access_key": SecretStr("a")}
    given |= {"evaluator": EvaluatorSettings(image="i"), "secret_key": SecretStr("s")}
    store = StoreSettings(endpoint="https://store", tls_ca_file=str(file))
    settings = Settings(grpc=grpc_port, store=store, **given)
    keeper: Any = _Keeper()
    assert app._defaults(settings, keeper).store_ca_pem == "FIRST"
    file.write_text("SECOND")
    assert app._defaults(settings, keeper).store_ca_pem == "SECOND"
    file.unlink()
    with pytest.raises(SettingsError, match="mount a PEM file there"):
        app._defaults(settings, keeper)
    plain = settings.model_copy(update={"store": StoreSettings(endpoint="https://store")})
    assert app._defaults(plain, keeper).store_ca_pem == ""
