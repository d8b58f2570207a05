"""Who may do what: each method, each kind of caller without the right. Nothing of a search is revealed."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import grpc
import pytest
import structlog.testing
from google.protobuf.message import Message

from xnas.v1alpha1 import search_pb2 as pb
from xnas.v1alpha1 import search_pb2_grpc as rpc
from xnas_core.service.methods import METHODS
from xnas_core.service.wire import SERVICE
from xnas_core.testing.fake_authorizer import FakeAuthorizer
from xnas_core.testing.search_site import ALL_VERBS, NAME, NAMESPACE, TOKEN, SearchSite, manifest

VERBS = {
    "CreateSearch": "create",
    "GetSearch": "get",
    "ListSearches": "list",
    "UpdateSearch": "update",
    "DeleteSearch": "delete",
    "WatchSearch": "watch",
    "ListCandidates": "get",
    "GetFront": "get",
    "GetLineage": "get",
    "GetArtifact": "get",
    "RequestTask": "update",
}


def request(method: str, namespace: str = NAMESPACE, name: str = NAME) -> Any:
    """A request that is valid in all else."""
    where = {"namespace": namespace, "name": name}
    made = manifest(name)
    made["metadata"]["namespace"] = namespace
    more: dict[str, dict[str, Any]] = {
        "CreateSearch": {"manifest_json": json.dumps(made).encode()},
        "UpdateSearch": {"spec_patch_json": b'{"suspend": true}'},
        "GetLineage": {"candidate_id": "c0"},
        "GetArtifact": {"key": "report.html"},
        "RequestTask": {"candidate_id": "c0", "kind": pb.TASK_KIND_EXPLAIN},
    }
    if method in ("CreateSearch", "ListSearches"):
        del where["name"]
    return METHODS[method].request(**where, **more.get(method, {}))


async def outcome(call: Any, *, first_only: bool = False) -> grpc.aio.AioRpcError | None:
    """Read a call's answer, or all of a stream's; return the error it ended with."""
    try:
        if isinstance(call, grpc.aio.UnaryStreamCall):
            while await call.read() is not grpc.aio.EOF and not first_only:
                pass
            call.cancel()
        else:
            await call
    except grpc.aio.AioRpcError as error:
        return error
    return None


async def refusal(
    stub: rpc.SearchServiceAsyncStub, method: str, message: Message, token: str | None
) -> grpc.aio.AioRpcError:
    """Call a method; return the error that it has to answer with, before anything else."""
    metadata = () if token is None else (("authorization", f"Bearer {token}"),)
    error = await outcome(getattr(stub, method)(message, metadata=metadata, timeout=20), first_only=True)
    assert error is not None, "nothing may be said to this caller"
    return error


def told(error: grpc.aio.AioRpcError) -> tuple[grpc.StatusCode, str | None, Any]:
    return error.code(), error.details(), dict(error.trailing_metadata() or ())["xnas-reason"]


def fake(site: SearchSite) -> FakeAuthorizer:
    assert isinstance(site.authorizer, FakeAuthorizer)
    return site.authorizer


def test_the_table_holds_every_method_of_the_service() -> None:
    described = pb.DESCRIPTOR.services_by_name["SearchService"]
    assert described.full_name == SERVICE
    assert set(METHODS) == set(VERBS) == {method.name for method in described.methods}
    for method in described.methods:
        assert METHODS[method.name].request.DESCRIPTOR is method.input_type
        assert (METHODS[method.name].streaming is not None) == method.server_streaming


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("token", [None, "", "made-up", TOKEN + "x"])
async def test_who_does_not_prove_who_it_is_is_refused(
    site: SearchSite, stub: rpc.SearchServiceAsyncStub, method: str, token: str | None
) -> None:
    site.add()
    error = await refusal(stub, method, request(method), token)
    assert told(error)[0] is grpc.StatusCode.UNAUTHENTICATED
    assert fake(site).asked == []


@pytest.mark.parametrize("method", METHODS)
async def test_the_verb_is_needed_and_no_other_helps(
    site: SearchSite, stub: rpc.SearchServiceAsyncStub, method: str
) -> None:
    site.add()
    rights = fake(site).rights
    rights["ann", NAMESPACE] = set(ALL_VERBS) - {VERBS[method]}
    before = site.memory.searches[NAMESPACE, NAME].manifest["spec"]
    error = await refusal(stub, method, request(method), TOKEN)
    assert told(error)[0] is grpc.StatusCode.PERMISSION_DENIED
    assert f"'ann' may not {VERBS[method]} architecturesearches" in (error.details() or "")
    name = "" if method in ("CreateSearch", "ListSearches") else NAME
    assert fake(site).asked == [("ann", VERBS[method], NAMESPACE, name)]
    assert site.memory.acts == []
    assert site.memory.searches[NAMESPACE, NAME].manifest["spec"] == before
    # With that verb alone, the method gets as far as the search: whatever it says then, it is not this.
    rights["ann", NAMESPACE] = {VERBS[method]}
    call = getattr(stub, method)(request(method), metadata=(("authorization", f"Bearer {TOKEN}"),), timeout=20)
    other = await outcome(call, first_only=True)
    refused = (grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNAUTHENTICATED)
    assert other is None or other.code() not in refused


@pytest.mark.parametrize("method", sorted(set(METHODS) - {"CreateSearch", "ListSearches"}))
async def test_a_namespace_that_may_not_be_read_answers_alike_whether_or_not_the_search_exists(
    site: SearchSite, stub: rpc.SearchServiceAsyncStub, method: str
) -> None:
    site.add(namespace="team-b").finish(3)
    there = await refusal(stub, method, request(method, "team-b"), TOKEN)
    absent = await refusal(stub, method, request(method, "team-b", "absent"), TOKEN)
    assert told(there) == told(absent)
    assert told(there)[0] is grpc.StatusCode.PERMISSION_DENIED


@pytest.mark.parametrize("method", sorted(set(METHODS) - {"CreateSearch", "ListSearches"}))
async def test_what_is_wrong_with_a_request_is_not_said_to_who_may_not_ask(
    site: SearchSite, stub: rpc.SearchServiceAsyncStub, method: str
) -> None:
    empty = METHODS[method].request(namespace="team-b", name=NAME)
    assert told(await refusal(stub, method, empty, TOKEN))[0] is grpc.StatusCode.PERMISSION_DENIED


async def test_to_list_all_namespaces_takes_the_right_in_all(
    site: SearchSite, stub: rpc.SearchServiceAsyncStub
) -> None:
    site.add()
    error = await refusal(stub, "ListSearches", pb.ListSearchesRequest(), TOKEN)
    assert told(error)[0] is grpc.StatusCode.PERMISSION_DENIED
    assert "in all namespaces" in (error.details() or "")
    fake(site).rights["ann", "*"] = {"list"}
    answer = await stub.ListSearches(pb.ListSearchesRequest(), metadata=(("authorization", f"Bearer {TOKEN}"),))
    assert [search.name for search in answer.searches] == [NAME]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("namespace", ["", "..", "Team", "a/b", "a" * 64, "*"])
async def test_what_is_no_namespace_is_asked_of_nobody(
    site: SearchSite, stub: rpc.SearchServiceAsyncStub, method: str, namespace: str
) -> None:
    if method == "ListSearches" and not namespace:
        return
    error = await refusal(stub, method, request(method, namespace), TOKEN)
    assert told(error)[0] is grpc.StatusCode.INVALID_ARGUMENT
    assert fake(site).asked == []


async def test_changes_are_made_as_the_caller(site: SearchSite, stub: rpc.SearchServiceAsyncStub) -> None:
    metadata = (("authorization", f"Bearer {TOKEN}"),)
    await stub.CreateSearch(request("CreateSearch"), metadata=metadata)
    await stub.UpdateSearch(request("UpdateSearch"), metadata=metadata)
    growing = site.memory.begin(NAMESPACE, NAME)
    growing.change(growing.engine.spec.to_document() | {"suspend": False})
    candidate = growing.finish(1)[0]
    task = pb.RequestTaskRequest(namespace=NAMESPACE, name=NAME, candidate_id=candidate, kind=pb.TASK_KIND_EXPLAIN)
    await stub.RequestTask(task, metadata=metadata)
    await stub.DeleteSearch(request("DeleteSearch"), metadata=metadata)
    assert [act[:2] for act in site.memory.acts] == [
        ("create", "ann"),
        ("update", "ann"),
        ("explain", "ann"),
        ("delete", "ann"),
    ]


@pytest.mark.parametrize("end", ["token", "right"])
async def test_a_watch_ends_with_the_right_to_it(site: SearchSite, end: str) -> None:
    await site.stop()
    site.settings["sign_of_life_seconds"] = 0.05
    site.add()
    await site.start()
    credentials = grpc.ssl_channel_credentials(site.certificates.current()[1] if site.certificates else None)
    async with grpc.aio.secure_channel(site.address, credentials) as channel:
        call = rpc.SearchServiceStub(channel).WatchSearch(
            pb.WatchSearchRequest(namespace=NAMESPACE, name=NAME), metadata=(("authorization", f"Bearer {TOKEN}"),)
        )
        await call.read()
        if end == "token":
            fake(site).tokens.clear()
        else:
            fake(site).rights.clear()
        async with asyncio.timeout(20):
            error = await outcome(call)
    expected = {"token": grpc.StatusCode.UNAUTHENTICATED, "right": grpc.StatusCode.PERMISSION_DENIED}
    assert error is not None
    assert error.code() is expected[end]


async def test_the_log_says_who_changed_what(site: SearchSite, stub: rpc.SearchServiceAsyncStub) -> None:
    site.add()
    with structlog.testing.capture_logs() as logged:
        for method in ("GetSearch", "UpdateSearch", "DeleteSearch"):
            metadata = (("authorization", f"Bearer {TOKEN}"),)
            assert await outcome(getattr(stub, method)(request(method), metadata=metadata, timeout=10)) is None
    said = [(line["verb"], line["namespace"], line["search"], line["caller"]) for line in logged if "caller" in line]
    assert said == [("update", NAMESPACE, NAME, "ann"), ("delete", NAMESPACE, NAME, "ann")]
