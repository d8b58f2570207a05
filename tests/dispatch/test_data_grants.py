"""Access to a data set in the store: the accepted address, where the administrator allows it (protocol.md §6.9)."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import grpc
import pytest

from xnas.v1alpha1 import evaluator_pb2 as pb
from xnas_core import wire
from xnas_core.artifacts.folder import FolderStore
from xnas_core.artifacts.s3_settings import S3Settings
from xnas_core.dispatch.grants import DataGrantSource, FolderGrants, S3DataGrants
from xnas_core.dispatch.server import DispatchServer
from xnas_core.tasks import EvaluationConfig
from xnas_core.testing.fake_evaluator import FakeEvaluator, running

URI = "s3://datasets/team-a/digits.npz"
SETTINGS = S3Settings(
    "https://store:9000", "artifacts", "key", "secret", prefix="xnas", external_endpoint="https://outside"
)
REFUSED, LATER = grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.FAILED_PRECONDITION


@pytest.fixture
def short() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="xnas-") as folder:
        yield Path(folder)


@asynccontextmanager
async def serving(
    folder: Path, data_grants: DataGrantSource | None, dataset: object
) -> AsyncIterator[tuple[DispatchServer, grpc.aio.Channel]]:
    server = DispatchServer(
        FolderStore(folder / "out"),
        EvaluationConfig(search_id="s", spec={"dataset": dataset}, spec_digest="0" * 64),
        addresses=[f"unix:{folder}/s"],
        grants=FolderGrants(folder / "out"),
        data_grants=data_grants,
    )
    await server.start()
    server.hold([])
    channel = grpc.aio.insecure_channel(f"unix:{folder}/s")
    try:
        yield server, channel
    finally:
        await channel.close()
        await server.stop(1)


async def ask(channel: grpc.aio.Channel, uri: str = URI, evaluator: str = "e1") -> str:
    call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(wire.GRANT_DATA)
    request = pb.GrantDataRequest(evaluator_id=evaluator, uri=uri)
    return pb.GrantDataResponse.FromString(await call(request.SerializeToString(), timeout=5)).url


async def refused(channel: grpc.aio.Channel, uri: str = URI, evaluator: str = "e1") -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await ask(channel, uri, evaluator)
    return error.value.code(), error.value.details() or ""


def allowed(*uris: str) -> S3DataGrants:
    return S3DataGrants(SETTINGS, lambda uri: uri in uris)


async def test_the_address_of_the_spec_is_granted_before_any_attempt(short: Path) -> None:
    async with serving(short, allowed(URI), {"source": {"npz": URI}}) as (_, channel):
        assert (await refused(channel))[0] is LATER, "not connected yet"
        async with running(FakeEvaluator(channel, "e1")):
            url = urlsplit(await ask(channel))
            assert (url.scheme, url.path) == ("https", "/datasets/team-a/digits.npz")
            assert parse_qs(url.query)["X-Amz-Expires"] == ["600"]
            assert "secret" not in url.query


@pytest.mark.parametrize(
    "uri",
    [
        "s3://datasets/team-a/other.npz",
        "s3://datasets/team-a//digits.npz",
        "s3://datasets/team-a/../team-a/digits.npz",
        "s3://datasets/team-a/%64igits.npz",
        "s3://datasets/team-a/digits.npz?versionId=1",
        "s3://datasets/team-a/digits.npz ",
        "s3://artifacts/xnas/searches/x",
        "",
    ],
)
async def test_any_other_address_is_refused_whatever_is_mapped(short: Path, uri: str) -> None:
    generous = S3DataGrants(SETTINGS, lambda _: True)
    async with (
        serving(short, generous, {"source": {"npz": URI}}) as (_, channel),
        running(FakeEvaluator(channel, "e1")),
    ):
        code, said = await refused(channel, uri)
        assert code is REFUSED
        assert "not the address of the search's data set" in said


@pytest.mark.parametrize("dataset", [None, {"name": "digits"}, {"source": {"idx": "/data"}}, {"source": "x"}])
async def test_a_search_with_other_data_has_nothing_to_ask_for(short: Path, dataset: object) -> None:
    async with serving(short, allowed(URI), dataset) as (_, channel), running(FakeEvaluator(channel, "e1")):
        assert (await refused(channel))[0] is REFUSED
        assert (await refused(channel, ""))[0] is REFUSED


async def test_nobody_asks_for_another_evaluator(short: Path) -> None:
    here = serving(short, allowed(URI), {"source": {"npz": URI}})
    async with here as (server, channel), running(FakeEvaluator(channel, "e1")):
        assert (await refused(channel, evaluator="e2"))[0] is LATER
        context = _Context()
        request = pb.GrantDataRequest(evaluator_id="e1", uri=URI).SerializeToString()
        with pytest.raises(_AbortedError, match="may not ask for 'e1'"):
            await server.service.grant_data(request, context, only="e2")  # type: ignore[arg-type]  # a part of it
        with pytest.raises(_AbortedError, match="INVALID_ARGUMENT"):
            await server.service.grant_data(b"\xff", context)  # type: ignore[arg-type]  # a part of it


async def test_one_machine_grants_no_data(short: Path) -> None:
    async with serving(short, None, {"source": {"npz": URI}}) as (_, channel), running(FakeEvaluator(channel, "e1")):
        code, said = await refused(channel)
        assert code is REFUSED
        assert "on a cluster only" in said


async def test_a_prefix_that_is_not_mapped_any_more_is_refused(short: Path) -> None:
    async with (
        serving(short, allowed(), {"source": {"npz": URI}}) as (_, channel),
        running(FakeEvaluator(channel, "e1")),
    ):
        code, said = await refused(channel)
        assert code is REFUSED
        assert "not mapped" in said


@pytest.mark.parametrize(
    "uri",
    [
        "s3://artifacts/xnas/searches/team-a/one/u/journal/00000001.json",
        "s3://artifacts/elsewhere/x.npz",
        "s3://data/../artifacts/x.npz",
        "s3://data/a/../../artifacts/x.npz",
        "s3://data//artifacts/x.npz",
        "s3://data/%2e%2e/artifacts/x.npz",
        "s3://data/.hidden/x.npz",
        "s3://data\\..\\artifacts/x.npz",
        "s3://data",
        "s3://data/",
        "s3:///x.npz",
        "s3://Data/x.npz",
        "s3://d/x.npz",
        "https://data/x.npz",
        "/data/x.npz",
        "s3://data/x.npz\n",
        "s3://data/" + "x" * 1100,
    ],
)
def test_what_is_never_signed_though_all_is_mapped(uri: str) -> None:
    with pytest.raises(PermissionError):
        S3DataGrants(SETTINGS, lambda _: True).grant(uri)


def test_who_is_outside_gets_the_external_endpoint() -> None:
    assert allowed(URI).grant(URI, outside=True).startswith("https://outside/datasets/team-a/digits.npz?")
    alone = S3DataGrants(S3Settings("http://host", "bucket", "a", "s"), lambda _: True)
    assert alone.grant(URI, outside=True).startswith("http://host/datasets/")


async def test_an_evaluator_without_a_pod_is_outside(short: Path) -> None:
    here = serving(short, allowed(URI), {"source": {"npz": URI}})
    async with here as (server, channel), running(FakeEvaluator(channel, "e1")):
        assert (await ask(channel)).startswith("https://outside/")
        request = pb.GrantDataRequest(evaluator_id="e1", uri=URI).SerializeToString()
        answer = await server.service.grant_data(request, _Context(), only="e1")  # type: ignore[arg-type]  # a part of it
        assert pb.GrantDataResponse.FromString(answer).url.startswith("https://store:9000/")


class _AbortedError(Exception):
    pass


class _Context:
    async def abort(self, code: grpc.StatusCode, sentence: str) -> None:
        raise _AbortedError(f"{code}: {sentence}")


async def test_the_answer_is_of_no_use_to_who_has_no_stream(short: Path) -> None:
    """An evaluator that has left gets nothing, though it was known."""
    async with serving(short, allowed(URI), {"source": {"npz": URI}}) as (server, channel):
        async with running(FakeEvaluator(channel, "e1")):
            assert await ask(channel)
        await server.wait(0.2)
        for stream in server.service.streams():
            server.service.close(stream.number, "gone")
        assert (await refused(channel))[0] is LATER
