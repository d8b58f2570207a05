"""SearchService over real gRPC with TLS: answers, bounds, and the code and sentence of everything that goes wrong."""

from __future__ import annotations

import asyncio
import json
from typing import Any, TypeAlias

import grpc
import pytest

from xnas.v1alpha1 import search_pb2 as pb
from xnas.v1alpha1 import search_pb2_grpc as rpc
from xnas_core.api.spec import MUTABLE_FIELDS
from xnas_core.errors import IntegrityError, InvalidInputError, StoreError, UnknownNameError, XnasError
from xnas_core.service import errors as e
from xnas_core.service.codes import SENTENCE_BYTES, code_of, error_of
from xnas_core.service.resources import merged
from xnas_core.service.wire import SERVICE
from xnas_core.testing.memory_backend import MemoryBackend
from xnas_core.testing.search_site import NAME, NAMESPACE, TOKEN, SearchSite, manifest

METADATA = (("authorization", f"Bearer {TOKEN}"),)
WHERE: dict[str, Any] = {"namespace": NAMESPACE, "name": NAME}
OBJECTIVES = [
    {"name": "accuracy", "direction": "maximize"},
    {"name": "loss", "direction": "minimize"},
    {"name": "macs", "direction": "minimize"},
]
Stub: TypeAlias = "rpc.SearchServiceAsyncStub"


async def refused(call: Any) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value


def created(document: Any) -> pb.CreateSearchRequest:
    data = document if isinstance(document, bytes) else json.dumps(document).encode()
    return pb.CreateSearchRequest(namespace=NAMESPACE, manifest_json=data)


# --- searches --------------------------------------------------------------------------------------------------------


async def test_a_search_is_created_shown_listed_changed_and_deleted(site: SearchSite, stub: Stub) -> None:
    made = (await stub.CreateSearch(created(manifest()), metadata=METADATA)).search
    assert (made.namespace, made.name, made.state) == (NAMESPACE, NAME, pb.SEARCH_STATE_PENDING)
    assert not made.HasField("accepted")
    site.memory.begin(NAMESPACE, NAME).finish(7)
    shown = (await stub.GetSearch(pb.GetSearchRequest(**WHERE), metadata=METADATA)).search
    assert (shown.uid, shown.state, shown.progress.succeeded) == (made.uid, pb.SEARCH_STATE_RUNNING, 7)
    assert json.loads(shown.manifest_json)["spec"]["seed"] == 11
    assert json.loads(shown.accepted.spec_json)["algorithm"]["populationSize"] == 6
    assert (shown.accepted.data_shape.height, shown.accepted.data_shape.classes) == (8, 10)
    listed = (await stub.ListSearches(pb.ListSearchesRequest(namespace=NAMESPACE), metadata=METADATA)).searches
    assert [(s.name, s.progress.succeeded, s.evaluators_ready, s.manifest_json) for s in listed] == [(NAME, 7, 1, b"")]
    patch = b'{"limits": {"maxEvaluations": 90}, "evaluators": {"replicas": 3}}'
    changed = await stub.UpdateSearch(pb.UpdateSearchRequest(**WHERE, spec_patch_json=patch), metadata=METADATA)
    spec = json.loads(changed.search.manifest_json)["spec"]
    assert (spec["limits"]["maxEvaluations"], spec["evaluators"]["replicas"], spec["seed"]) == (90, 3, 11)
    await stub.DeleteSearch(pb.DeleteSearchRequest(**WHERE), metadata=METADATA)
    error = await refused(stub.GetSearch(pb.GetSearchRequest(**WHERE), metadata=METADATA))
    assert error.code() is grpc.StatusCode.NOT_FOUND


async def test_what_an_api_server_gives_and_a_status_are_left_out(site: SearchSite, stub: Stub) -> None:
    document = manifest() | {"status": {"state": "Complete"}}
    document["metadata"] |= {"uid": "mine", "finalizers": ["x.dev/y"], "labels": {"team": "a"}}
    await stub.CreateSearch(created(document), metadata=METADATA)
    stored = site.memory.searches[NAMESPACE, NAME].manifest
    assert stored["status"] == {"state": "Pending"}
    assert stored["metadata"]["labels"] == {"team": "a"}
    assert stored["metadata"]["uid"] != "mine"
    assert "finalizers" not in stored["metadata"]


@pytest.mark.parametrize(
    ("document", "sentence"),
    [
        (b"{", "the manifest is not JSON"),
        (b"[]", "has to be a JSON object, not list"),
        (b'{"a": ' + b"[" * 100_000, "the manifest is not JSON"),
        (b'"' + b"a" * (1 << 20) + b'"', "at most 1048576 are taken"),
        ({}, "apiVersion"),
        (manifest() | {"kind": "Pod"}, "kind"),
        (manifest() | {"kind": "\ud800"}, "kind"),
        (manifest(seed="seven"), "spec.seed"),
        (manifest(seed=2**80), "spec.seed"),
        (manifest(objectives=[]), "spec.objectives"),
        (manifest(colour="blue"), "spec.colour"),
        (manifest(limits={"maxEvaluations": float("nan")}), "NaN is no number"),
        (manifest("Not A Name"), "metadata.name"),
        (manifest() | {"metadata": {"name": NAME, "namespace": "team-b"}}, "is 'team-b', but the search is to be made"),
    ],
)  # fmt: skip
async def test_a_manifest_that_is_not_valid_is_refused_with_a_sentence(
    stub: Stub, site: SearchSite, document: Any, sentence: str
) -> None:
    error = await refused(stub.CreateSearch(created(document), metadata=METADATA))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert sentence in (error.details() or "")
    assert not site.memory.searches


@pytest.mark.parametrize(
    ("patch", "sentence"),
    [
        (b'{"seed": 1}', "spec.seed can't change while a search runs"),
        (b'{"suspend": true, "training": {"epochs": 3}}', "spec.training.epochs can't change"),
        (b'{"evaluators": null}', "spec.evaluators can't change"),
        (b'{"evaluators": {"template": {}}}', "spec.evaluators.template can't change"),
        (b"{}", "changes nothing"),
        (b"", "is not JSON"),
        (b'{"limits": {"maxEvaluations": 0}}', "not valid"),
    ],
)
async def test_only_what_may_change_is_changed(site: SearchSite, stub: Stub, patch: bytes, sentence: str) -> None:
    site.add()
    error = await refused(stub.UpdateSearch(pb.UpdateSearchRequest(**WHERE, spec_patch_json=patch), metadata=METADATA))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert sentence in (error.details() or "")
    assert site.memory.acts == []


@pytest.mark.parametrize("field", sorted(MUTABLE_FIELDS))
async def test_every_field_that_may_change_can_be_changed(site: SearchSite, stub: Stub, field: str) -> None:
    site.add()
    value: Any = {"limits": {"maxEvaluations": 99}, "suspend": True}.get(field, 5)
    for part in reversed(field.split(".")):
        value = {part: value}
    request = pb.UpdateSearchRequest(**WHERE, spec_patch_json=json.dumps(value).encode())
    answer = await stub.UpdateSearch(request, metadata=METADATA)
    spec = json.loads(answer.search.manifest_json)["spec"]
    assert spec == merged(manifest()["spec"], value) != manifest()["spec"]


# --- what was found --------------------------------------------------------------------------------------------------


async def test_a_candidate_has_all_that_is_known_of_it(site: SearchSite, stub: Stub) -> None:
    growing = site.add()
    growing.finish(20)
    growing.finish(1, fail=True)
    answer = await stub.ListCandidates(pb.ListCandidatesRequest(**WHERE, page_size=1000), metadata=METADATA)
    by_state: dict[int, list[pb.Candidate]] = {}
    for candidate in answer.candidates:
        by_state.setdefault(candidate.state, []).append(candidate)
    scored = by_state[pb.CANDIDATE_STATE_SUCCEEDED][-1]
    assert [o.name for o in scored.objectives] == ["accuracy", "macs"]
    assert scored.objectives[0].value == scored.metrics["accuracy"]
    assert len(scored.parents) == 2
    assert {a.key.rpartition("/")[2] for a in scored.artifacts} == {"checkpoint.json", "checkpoint.safetensors"}
    assert [(a.task, a.attempt, a.outcome) for a in scored.history] == [(pb.TASK_KIND_EVALUATE, 1, "succeeded")]
    failed = by_state[pb.CANDIDATE_STATE_FAILED][0]
    assert failed.failure == "NonFinite: the loss is nan"
    assert not any(o.HasField("value") for o in failed.objectives)
    assert set(failed.metrics) == {"parameters", "macs"}
    proposed = by_state[pb.CANDIDATE_STATE_PROPOSED][0]
    assert not proposed.HasField("finished_seconds")


async def test_the_front_is_read_at_one_moment_or_not_at_all(site: SearchSite, stub: Stub) -> None:
    growing = site.add(objectives=OBJECTIVES)
    growing.complete()
    whole = await stub.GetFront(pb.GetFrontRequest(**WHERE, include_history=True), metadata=METADATA)
    assert len(whole.members) == whole.size > 2
    assert all(member.on_front for member in whole.members)
    best_first = [member.metrics["accuracy"] for member in whole.members]
    assert best_first == sorted(best_first, reverse=True)
    assert whole.evaluations == whole.history[-1].evaluations == 60
    assert whole.history[-1].hypervolume == whole.hypervolume
    first = await stub.GetFront(pb.GetFrontRequest(**WHERE, page_size=2), metadata=METADATA)
    second = await stub.GetFront(
        pb.GetFrontRequest(**WHERE, page_size=2, page_token=first.next_page_token), metadata=METADATA
    )
    assert [m.id for m in (*first.members, *second.members)] == [m.id for m in whole.members[:4]]
    growing.change(growing.engine.spec.to_document() | {"limits": {"maxEvaluations": 400}})
    while site.memory.searches[NAMESPACE, NAME].feed._moment().front.members == tuple(m.id for m in whole.members):
        growing.finish(20)
    token = first.next_page_token
    error = await refused(stub.GetFront(pb.GetFrontRequest(**WHERE, page_token=token), metadata=METADATA))
    assert error.code() is grpc.StatusCode.ABORTED
    assert "start again" in (error.details() or "")


async def test_a_lineage_leads_to_the_first_population(site: SearchSite, stub: Stub) -> None:
    site.add().complete()
    youngest = site.memory.searches[NAMESPACE, NAME].growing
    assert youngest is not None
    candidate = youngest.engine.candidates[-1]
    answer = await stub.GetLineage(pb.GetLineageRequest(**WHERE, candidate_id=candidate.id), metadata=METADATA)
    ids = [member.candidate.id for member in answer.members]
    assert ids[0] == candidate.id
    assert len(ids) == len(set(ids)) > 3
    for member in answer.members:
        assert set(member.candidate.parents) <= set(ids)
        if member.distance:
            children = [m for m in answer.members if member.candidate.id in m.candidate.parents]
            assert min(child.distance for child in children) == member.distance - 1
    assert [m.distance for m in answer.members] == sorted(m.distance for m in answer.members)
    near = await stub.GetLineage(
        pb.GetLineageRequest(**WHERE, candidate_id=candidate.id, max_distance=1), metadata=METADATA
    )
    assert {m.candidate.id for m in near.members[1:]} == set(candidate.parents)
    error = await refused(stub.GetLineage(pb.GetLineageRequest(**WHERE, candidate_id="c0"), metadata=METADATA))
    assert error.code() is grpc.StatusCode.NOT_FOUND


async def _download(stub: Stub, key: str) -> tuple[pb.ArtifactHeader, bytes]:
    parts = [part async for part in stub.GetArtifact(pb.GetArtifactRequest(**WHERE, key=key), metadata=METADATA)]
    assert [part.WhichOneof("part") for part in parts[1:]] == ["data"] * len(parts[1:])
    return parts[0].header, b"".join(part.data for part in parts[1:])


async def test_artifacts_and_tables_are_served_and_nothing_else(site: SearchSite, stub: Stub) -> None:
    growing = site.add()
    growing.finish(3)
    store = site.memory.searches[NAMESPACE, NAME].store
    store.put("report.html", b"<html>" * 100_000)
    store.put("journal/00000001.json", b"{}")
    store.put(f"candidates/{growing.engine.candidates[0].id}/evaluate-1/state.safetensors", b"x")
    artifact = growing.engine.candidates[0].artifacts[0]
    header, data = await _download(stub, artifact.key)
    assert (header.size, header.sha256, len(data)) == (artifact.size, artifact.sha256, artifact.size)
    assert (await _download(stub, "report.html"))[1] == b"<html>" * 100_000
    for key in ("journal/00000001.json", "search.json", artifact.key.replace("checkpoint.json", "state.safetensors")):
        error = await refused(_download(stub, key))
        assert error.code() is grpc.StatusCode.NOT_FOUND, key
    for key in ("", "../x", "/etc/passwd", "candidates/../report.html", "a\x00b"):
        error = await refused(_download(stub, key))
        assert error.code() is grpc.StatusCode.INVALID_ARGUMENT, key


@pytest.mark.parametrize("how", ["torn", "altered", "longer"])
async def test_what_the_store_altered_is_found_out(site: SearchSite, stub: Stub, how: str) -> None:
    growing = site.add()
    growing.finish(1)
    artifact, store = growing.engine.candidates[0].artifacts[0], site.memory.searches[NAMESPACE, NAME].store
    content = store.get(artifact.key)
    store.put(artifact.key, {"torn": content[:-1], "altered": b"?" + content[1:], "longer": content + b"!"}[how])
    error = await refused(_download(stub, artifact.key))
    assert error.code() is grpc.StatusCode.DATA_LOSS
    assert artifact.key in (error.details() or "")


@pytest.mark.parametrize(
    ("kind", "parameters", "code"),
    [
        (pb.TASK_KIND_UNSPECIFIED, b"", grpc.StatusCode.INVALID_ARGUMENT),
        (pb.TASK_KIND_EVALUATE, b"", grpc.StatusCode.INVALID_ARGUMENT),
        (pb.TASK_KIND_EXPLAIN, b"[1]", grpc.StatusCode.INVALID_ARGUMENT),
        (pb.TASK_KIND_EXPLAIN, b'{"a":"' + b"x" * 70_000 + b'"}', grpc.StatusCode.INVALID_ARGUMENT),
        (pb.TASK_KIND_EXPLAIN, b'{"methods": ["saliency"]}', None),
        (pb.TASK_KIND_REFINE, b'{"pairs": [{"classes": ["3", 8]}]}', None),
        (pb.TASK_KIND_REFINE, b"", grpc.StatusCode.INVALID_ARGUMENT),
        (pb.TASK_KIND_FINALISE, b"", grpc.StatusCode.INVALID_ARGUMENT),
        (pb.TASK_KIND_CONFIRM, b"", grpc.StatusCode.INVALID_ARGUMENT),
    ],
)
async def test_tasks_are_asked_for(
    site: SearchSite, stub: Stub, kind: pb.TaskKind.ValueType, parameters: bytes, code: grpc.StatusCode | None
) -> None:
    candidate = site.add().finish(1)[0]
    call = stub.RequestTask(
        pb.RequestTaskRequest(**WHERE, candidate_id=candidate, kind=kind, parameters_json=parameters),
        metadata=METADATA,
    )
    if code is None:
        await call
        assert len(site.memory.acts) == 1
    else:
        assert (await refused(call)).code() is code
        assert site.memory.acts == []


# --- what goes wrong -------------------------------------------------------------------------------------------------


async def test_before_a_search_begins_there_is_nothing_to_list(site: SearchSite, stub: Stub) -> None:
    site.memory.put(NAMESPACE, manifest())
    for call in (
        stub.ListCandidates(pb.ListCandidatesRequest(**WHERE), metadata=METADATA),
        stub.GetFront(pb.GetFrontRequest(**WHERE), metadata=METADATA),
    ):
        error = await refused(call)
        assert error.code() is grpc.StatusCode.FAILED_PRECONDITION
        assert "was not accepted yet" in (error.details() or "")


async def test_while_nobody_knows_where_a_search_stands_its_status_is_shown(
    site: SearchSite, stub: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.add().finish(3)

    async def away(*_: str) -> Any:
        raise e.UnavailableError("the journal is being read")

    monkeypatch.setattr(site.memory, "moment", away)
    shown = (await stub.GetSearch(pb.GetSearchRequest(**WHERE), metadata=METADATA)).search
    assert shown.state == pb.SEARCH_STATE_RUNNING
    assert shown.progress.succeeded == 3
    assert json.loads(shown.manifest_json)["metadata"]["name"] == NAME


async def test_bytes_that_are_no_message_are_answered(site: SearchSite) -> None:
    credentials = grpc.ssl_channel_credentials(site.certificates.current()[1] if site.certificates else None)
    async with grpc.aio.secure_channel(site.address, credentials) as channel:
        method: Any = channel.unary_unary(f"/{SERVICE}/GetSearch")
        error = await refused(method(b"\xff\xff\xff", metadata=METADATA))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "not a GetSearchRequest" in (error.details() or "")


async def test_a_page_over_the_bound_is_refused(site: SearchSite, stub: Stub) -> None:
    site.add()
    for call in (
        stub.ListCandidates(pb.ListCandidatesRequest(**WHERE, page_size=1001), metadata=METADATA),
        stub.GetFront(pb.GetFrontRequest(**WHERE, page_size=1001), metadata=METADATA),
        stub.ListSearches(pb.ListSearchesRequest(namespace=NAMESPACE, page_size=501), metadata=METADATA),
    ):
        assert (await refused(call)).code() is grpc.StatusCode.INVALID_ARGUMENT


class _Broken(MemoryBackend):
    """Fails, or hangs, when a search is read."""

    def __init__(self, failure: Exception | None) -> None:
        super().__init__()
        self._failure = failure

    async def get(self, *_: str) -> Any:
        if self._failure is not None:
            raise self._failure
        await asyncio.Event().wait()


async def _answer(site: SearchSite, backend: MemoryBackend) -> grpc.aio.AioRpcError:
    await site.stop()
    site.backend = backend
    await site.start()
    credentials = grpc.ssl_channel_credentials(site.certificates.current()[1] if site.certificates else None)
    async with grpc.aio.secure_channel(site.address, credentials) as channel:
        stub = rpc.SearchServiceStub(channel)
        return await refused(stub.GetSearch(pb.GetSearchRequest(**WHERE), metadata=METADATA, timeout=20))


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        (e.UnauthenticatedError("x"), grpc.StatusCode.UNAUTHENTICATED),
        (e.ForbiddenError("x"), grpc.StatusCode.PERMISSION_DENIED),
        (e.NotFoundError("x"), grpc.StatusCode.NOT_FOUND),
        (e.AlreadyExistsError("x"), grpc.StatusCode.ALREADY_EXISTS),
        (e.NotBegunError("x"), grpc.StatusCode.FAILED_PRECONDITION),
        (e.ChangedMeanwhileError("x"), grpc.StatusCode.ABORTED),
        (e.TooLargeError("x"), grpc.StatusCode.RESOURCE_EXHAUSTED),
        (e.UnavailableError("x"), grpc.StatusCode.UNAVAILABLE),
        (e.DeadlineError("x"), grpc.StatusCode.DEADLINE_EXCEEDED),
        (e.InvalidTokenError("x"), grpc.StatusCode.INVALID_ARGUMENT),
        (InvalidInputError("x"), grpc.StatusCode.INVALID_ARGUMENT),
        (UnknownNameError("space", "x", ["y"]), grpc.StatusCode.INVALID_ARGUMENT),
        (StoreError("x"), grpc.StatusCode.UNAVAILABLE),
        (IntegrityError("x"), grpc.StatusCode.DATA_LOSS),
        (XnasError("x"), grpc.StatusCode.INTERNAL),
    ],
)
async def test_our_errors_have_codes_and_come_back(site: SearchSite, failure: XnasError, code: grpc.StatusCode) -> None:
    error = await _answer(site, _Broken(failure))
    assert error.code() is code is code_of(failure)
    assert error.details() == str(failure)
    reason = dict(error.trailing_metadata() or ())["xnas-reason"]
    again = error_of(error.code(), error.details() or "", str(reason))
    others = {UnknownNameError: InvalidInputError, StoreError: e.UnavailableError, XnasError: e.ServiceError}
    expected = others.get(type(failure), type(failure))
    assert type(again) is expected
    assert str(again) == str(failure)


@pytest.mark.parametrize("code", [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK])
def test_every_code_stands_for_an_error_also_without_a_reason(code: grpc.StatusCode) -> None:
    error = error_of(code, "", "")
    assert code_of(error) is code or isinstance(error, e.ServiceError)
    assert code.name in str(error)
    assert type(error) is not e.InvalidTokenError


async def test_what_nobody_foresaw_is_logged_and_not_told(site: SearchSite, capsys: pytest.CaptureFixture[str]) -> None:
    error = await _answer(site, _Broken(ZeroDivisionError("the password is hunter2")))
    assert error.code() is grpc.StatusCode.INTERNAL
    assert "hunter2" not in (error.details() or "")
    output = capsys.readouterr()
    assert "ZeroDivisionError" in output.out + output.err


@pytest.mark.parametrize("letter", ["x", "ä", "%", "\n", "😀"])
async def test_a_long_sentence_is_cut(site: SearchSite, letter: str) -> None:
    error = await _answer(site, _Broken(InvalidInputError(letter * 50_000)))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert 400 < len(error.details() or "") <= SENTENCE_BYTES + 1
    assert (error.details() or "").startswith(letter * 400)


async def test_a_backend_that_hangs_is_not_waited_for(site: SearchSite) -> None:
    site.settings["call_seconds"] = 0.05
    error = await _answer(site, _Broken(None))
    assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert "no answer was found within 0.05 s" in (error.details() or "")
