"""The SDK, sync and aio, over real gRPC with TLS: searches, candidates, front, lineage, artifacts, tables, report."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from xnas_core.api.resource import ArchitectureSearch
from xnas_core.api.status import StateWord
from xnas_core.client import CandidateQuery, MetricRange, SearchClient, SearchInfo, aio, calls
from xnas_core.errors import IntegrityError, InvalidInputError, StoreError
from xnas_core.report import candidates_table, render
from xnas_core.search.view import CandidateState
from xnas_core.search.viewing import view
from xnas_core.service.errors import (
    AlreadyExistsError,
    ChangedMeanwhileError,
    ForbiddenError,
    NotBegunError,
    NotFoundError,
    UnauthenticatedError,
)
from xnas_core.tasks import TaskKind
from xnas_core.testing.search_site import NAME, NAMESPACE, SearchSite, manifest

if TYPE_CHECKING:
    from tests.client.conftest import Connect, Sdk

WHERE = (NAMESPACE, NAME)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_both_clients_have_the_same_methods_arguments_and_defaults() -> None:
    def shape(kind: type) -> dict[str, Any]:
        public = {name: f for name, f in vars(kind).items() if inspect.isfunction(f) and not name.startswith("_")}
        return {name: inspect.signature(function).parameters for name, function in public.items()}

    sync, async_ = shape(SearchClient), shape(aio.SearchClient)
    del sync["search"]
    assert sync == async_
    assert inspect.signature(SearchClient).parameters == inspect.signature(aio.SearchClient).parameters


async def test_the_life_of_a_search(site: SearchSite, sdk: Sdk) -> None:
    made = await sdk.call("create", manifest())
    assert isinstance(made, SearchInfo)
    assert made.standing.state is StateWord.PENDING
    assert made.accepted is None
    growing = site.memory.begin(*WHERE)
    growing.finish(8)
    info = await sdk.call("get", *WHERE)
    assert (info.uid, info.progress.succeeded, info.standing.state) == (made.uid, 8, StateWord.RUNNING)
    assert info.accepted.spec == growing.engine.spec
    assert info.manifest["metadata"]["name"] == NAME
    assert info.started_at == growing.engine.started.time
    assert (await sdk.call("suspend", *WHERE)).manifest["spec"]["suspend"] is True
    assert (await sdk.call("get", *WHERE)).standing.state is StateWord.SUSPENDED
    assert (await sdk.call("resume", *WHERE)).manifest["spec"]["suspend"] is False
    assert (await sdk.call("scale", *WHERE, 3)).manifest["spec"]["evaluators"]["replicas"] == 3
    changed = await sdk.call("update", *WHERE, {"limits": {"maxEvaluations": 10, "maxGenerations": None}})
    assert changed.manifest["spec"]["limits"] == {"maxEvaluations": 10}
    await sdk.call("request_task", *WHERE, growing.engine.candidates[0].id, TaskKind.EXPLAIN, {"samplesPerClass": 1})
    with pytest.raises(ChangedMeanwhileError):
        await sdk.call("delete", *WHERE, "another")
    await sdk.call("delete", *WHERE, made.uid)
    with pytest.raises(NotFoundError, match=NAME):
        await sdk.call("get", *WHERE)


async def test_a_search_is_created_from_a_model_in_a_namespace(site: SearchSite, sdk: Sdk) -> None:
    document = manifest("other")
    del document["metadata"]["namespace"]
    with pytest.raises(InvalidInputError, match="say in which namespace"):
        await sdk.call("create", document)
    model = ArchitectureSearch.model_validate(document, strict=False)
    made = await sdk.call("create", model, NAMESPACE)
    assert (made.namespace, made.name) == (NAMESPACE, "other")
    with pytest.raises(AlreadyExistsError):
        await sdk.call("create", model, NAMESPACE)
    with pytest.raises(InvalidInputError, match="not plain JSON"):
        await sdk.call("create", {"metadata": {"namespace": NAMESPACE, "x": object()}})
    with pytest.raises(InvalidInputError, match=r"spec\.objectives"):
        await sdk.call("create", manifest(objectives=[]))


async def test_a_summary_takes_the_front_and_no_other_candidate(
    site: SearchSite, sdk: Sdk, monkeypatch: pytest.MonkeyPatch
) -> None:
    growing = site.add()
    growing.finish(20)
    growing.start(2)
    growing.finish(1, fail=True)

    def asked(*_: object) -> None:
        raise AssertionError("candidates were listed")

    monkeypatch.setattr("xnas_core.service.candidates.page", asked)
    found = await sdk.call("summary", *WHERE)
    assert found == view(growing.engine, NAME).summary()
    assert (found.failed, found.running) == (1, 2)
    assert len(found.candidates) < 20
    growing.complete()
    assert await sdk.call("summary", *WHERE) == view(growing.engine, NAME).summary()


async def test_lists_go_over_pages(site: SearchSite, sdk: Sdk) -> None:
    names = [f"s{number:03d}" for number in range(230)]
    for name in names:
        site.memory.put(NAMESPACE, manifest(name))
    assert [info.name for info in await sdk.collect("list", NAMESPACE)] == names
    with pytest.raises(ForbiddenError, match="in all namespaces"):
        await sdk.collect("list")


async def test_candidates_go_over_pages_while_the_search_grows(
    site: SearchSite, sdk: Sdk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calls, "_PAGE", 7)
    growing = site.add()
    growing.finish(20)
    ids: list[str] = []
    async for record in sdk.iterate("candidates", *WHERE):
        ids.append(record.id)
        if len(ids) in (5, 12):
            growing.finish(6)
    assert ids == [candidate.id for candidate in growing.engine.candidates]
    everything = view(growing.engine, NAME)
    query = CandidateQuery(
        states=(CandidateState.SUCCEEDED,), metrics=(MetricRange("accuracy", min=0.4),), order_by="accuracy"
    )
    found = await sdk.collect("candidates", *WHERE, query)
    expected = [r for r in everything.candidates if r.metrics.get("accuracy", 0.0) >= 0.4]
    assert found == sorted(expected, key=lambda r: r.metrics["accuracy"])
    assert await sdk.call("candidate", *WHERE, ids[3]) == everything.candidates[3]
    with pytest.raises(NotFoundError, match="c000000000000"):
        await sdk.call("candidate", *WHERE, "c000000000000")
    with pytest.raises(InvalidInputError, match="did you mean 'accuracy'"):
        await sdk.collect("candidates", *WHERE, CandidateQuery(order_by="acuracy"))


async def test_the_front_with_its_history(site: SearchSite, sdk: Sdk) -> None:
    growing = site.add()
    growing.complete()
    expected = view(growing.engine, NAME)
    front = await sdk.call("front", *WHERE, history=True)
    assert tuple(member.id for member in front.members) == expected.front
    assert front.history == expected.history
    assert (front.hypervolume, front.reference_point) == (expected.hypervolume, expected.reference_point)
    assert front.evaluations == 60
    assert [o.name for o in front.spec.objectives] == ["accuracy", "macs"]
    frame = front.to_pandas()
    assert list(frame["id"]) == list(expected.front)
    assert list(frame["objective_accuracy"]) == [member.objectives[0] for member in front.members]


@pytest.mark.parametrize("finished", [0, 13, 60])
async def test_a_view_is_what_the_engine_has(site: SearchSite, sdk: Sdk, finished: int) -> None:
    growing = site.add()
    growing.finish(finished)
    growing.start(2)
    if finished == 60:
        growing.complete()
    assert await sdk.call("view", *WHERE) == view(growing.engine, NAME)


async def test_a_report_is_made_from_a_view(site: SearchSite, sdk: Sdk, connect: Connect) -> None:
    growing = site.add()
    growing.complete()
    found = await sdk.call("view", *WHERE)
    store = site.memory.searches[WHERE].store
    assert render(found, store.get) == render(view(growing.engine, NAME), store.get)


async def test_data_frames_have_the_columns_of_the_table(site: SearchSite, sdk: Sdk) -> None:
    growing = site.add()
    growing.finish(15)
    growing.finish(1, fail=True)
    frame = await sdk.call("to_pandas", *WHERE)
    expected = candidates_table(view(growing.engine, NAME)).to_pandas()
    assert list(frame.columns) == list(expected.columns)
    assert frame.to_json(date_format="iso") == expected.to_json(date_format="iso")
    assert frame["accuracy"].isna().sum() == sum(frame["state"] != "succeeded") > 0
    best = await sdk.call("to_pandas", *WHERE, CandidateQuery(on_front=True, order_by="accuracy", descending=True))
    assert list(best["accuracy"]) == sorted(best["accuracy"], reverse=True)
    assert best["on_front"].all()


async def test_a_lineage_is_typed(site: SearchSite, sdk: Sdk) -> None:
    growing = site.add()
    growing.complete()
    youngest = view(growing.engine, NAME).candidates[-1]
    lineage = await sdk.call("lineage", *WHERE, youngest.id)
    assert lineage.members[0].candidate == youngest
    assert not lineage.truncated
    near = await sdk.call("lineage", *WHERE, youngest.id, 1)
    assert {m.candidate.id for m in near.members} == {youngest.id, *youngest.parents}


async def test_artifacts_are_read_and_saved_whole_or_not_at_all(site: SearchSite, sdk: Sdk, tmp_path: Path) -> None:
    growing = site.add()
    growing.finish(1)
    store = site.memory.searches[WHERE].store
    artifact = growing.engine.candidates[0].artifacts[0]
    assert await sdk.call("artifact", *WHERE, artifact.key) == store.get(artifact.key)
    store.put("report.html", b"<html>" * 200_000)
    path = tmp_path / "report.html"
    assert await sdk.call("save_artifact", *WHERE, "report.html", path) == path
    assert path.read_bytes() == b"<html>" * 200_000
    store.put(artifact.key, store.get(artifact.key)[:-1] + b"?")
    kept = tmp_path / "kept.json"
    kept.write_bytes(b"old")
    with pytest.raises(IntegrityError, match="altered"):
        await sdk.call("save_artifact", *WHERE, artifact.key, kept)
    assert kept.read_bytes() == b"old"
    with pytest.raises(IntegrityError):
        await sdk.call("artifact", *WHERE, artifact.key)
    with pytest.raises(NotFoundError):
        await sdk.call("artifact", *WHERE, "candidates/c0/evaluate-1/checkpoint.json")
    with pytest.raises(StoreError, match="choose another file"):
        await sdk.call("save_artifact", *WHERE, "report.html", tmp_path / "no" / "folder" / "x")
    assert names(tmp_path) == ["ca.crt", "kept.json", "report.html"]


async def test_errors_are_ours(site: SearchSite, connect: Connect) -> None:
    site.memory.put(NAMESPACE, manifest())
    for method in ("front", "view", "to_pandas"):
        with pytest.raises(NotBegunError, match="watch it to learn when it begins"):
            await connect().call(method, *WHERE)
    with pytest.raises(UnauthenticatedError, match="log in again"):
        await connect(token="wrong").call("get", *WHERE)
    with pytest.raises(UnauthenticatedError):
        await connect(token=None).call("get", *WHERE)
    with pytest.raises(ForbiddenError, match="'ann' may not get"):
        await connect().call("get", "team-b", NAME)
    with pytest.raises(InvalidInputError, match="can't change while a search runs"):
        await connect().call("update", *WHERE, {"seed": 1})
