"""Moments at which a search's controller could go wrong: half deleted, half suspended, a name that is taken."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.operator.plant import Plant, manifest
from xnas_core.dispatch import messages as m
from xnas_core.errors import StoreError
from xnas_core.service.errors import UnavailableError
from xnas_core.service.values import SearchMoment
from xnas_core.testing.fake_api import FakeApi, JsonObject
from xnas_core.testing.fake_evaluator import FakeEvaluator, Outcome
from xnas_core.testing.memory_store import Fault as StoreFault
from xnas_core.testing.waiting import until
from xnas_operator import searches as searches_module
from xnas_operator.artifact_keeping import FINALIZER
from xnas_operator.auth import KubeAuthorizer, TokenAuthenticator
from xnas_operator.backend import ClusterBackend
from xnas_operator.controller import SearchController
from xnas_operator.kube import KubeClient
from xnas_operator.manifests.names import job_name
from xnas_operator.session import SearchSession
from xnas_operator.upkeep import Upkeep


@pytest.fixture
async def plant(api: FakeApi, kube: KubeClient) -> AsyncIterator[Plant]:
    plant = Plant(api, kube)
    async with plant.kubelet.running():
        yield plant


def slow(plant: Plant) -> None:
    shape = plant.kubelet.shape

    def slower(evaluator: FakeEvaluator) -> None:
        shape(evaluator)
        evaluator.outcome = lambda _: Outcome(seconds=0.15)

    plant.kubelet.shape = slower


def foreign_job(owner: JsonObject | None) -> JsonObject:
    """Return a Job under the name of the search's own."""
    metadata: JsonObject = {"name": job_name("one"), "namespace": "team"}
    if owner is not None:
        metadata["ownerReferences"] = [owner]
    pod = {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}
    spec = {"parallelism": 0, "completions": 0, "completionMode": "Indexed", "template": pod}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": spec}


EARLIER = {
    "apiVersion": "xnas.dev/v1alpha1",
    "kind": "ArchitectureSearch",
    "name": "one",
    "uid": "an-earlier-one",
    "controller": True,
}


@pytest.mark.parametrize("owner", [EARLIER, None])
async def test_a_name_that_another_job_has_is_waited_for(plant: Plant, owner: JsonObject | None) -> None:
    plant.api.create(foreign_job(owner))
    async with plant.operator():
        plant.api.create(manifest())
        await until(lambda: plant.status().get("state") is not None)
        await until(lambda: plant.controller().pool.job is not None)
        if owner is None:
            await until(lambda: plant.condition("Progressing").get("reason") == "JobConflict")
        plant.api.delete("jobs", "team", job_name("one"))
        await plant.state("Complete")
        assert plant.condition("Progressing").get("reason") != "JobConflict"


async def test_what_was_deleted_while_no_operator_was_there_is_not_run(
    plant: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[SearchSession] = []

    async def observed(self: SearchSession, _spec: object) -> None:
        opened.append(self)
        raise StoreError("not now")

    monkeypatch.setattr(SearchSession, "open", observed)
    body = manifest(artifacts={"retention": "Delete"})
    body["metadata"]["finalizers"] = [FINALIZER]
    plant.api.create(body)
    plant.api.delete("architecturesearches", "team", "one")
    assert plant.api.exists("architecturesearches", "team", "one")
    async with plant.operator() as searches:
        await until(lambda: not plant.api.exists("architecturesearches", "team", "one"))
        await until(lambda: not list(searches))
    assert not plant.api.items("jobs")
    assert not opened


async def test_watches_of_a_controller_that_failed_end_and_their_callers_find_the_next_one(
    plant: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow(plant)
    monkeypatch.setattr(searches_module, "RESTART_SECONDS", 0.5)
    look, failing = Upkeep._look, False

    async def looked(self: Upkeep) -> float:
        if failing:
            raise RuntimeError("a fault of ours")
        return await look(self)

    monkeypatch.setattr(Upkeep, "_look", looked)
    async with plant.operator() as searches:
        plant.api.create(manifest(limits={"maxEvaluations": 12}))
        authorizer = KubeAuthorizer(plant.kube, TokenAuthenticator(plant.kube))
        backend = ClusterBackend(plant.kube, searches, plant.store, authorizer)
        await until(lambda: (plant.status().get("evaluations") or {}).get("finished", 0) >= 2)
        failed = plant.controller()
        moments = backend.watch("team", "one")
        await anext(moments)
        failing = True
        with pytest.raises(UnavailableError, match="ask again"):
            await asyncio.wait_for(_to_the_end(moments), 10)
        failing = False
        last = await asyncio.wait_for(_to_the_end(backend.watch("team", "one")), 20)
        assert last.finished == 12
        assert plant.controller() is not failed


async def _to_the_end(moments: AsyncIterator[SearchMoment]) -> SearchMoment:
    async for moment in moments:
        if moment.standing.finished:
            return moment
    raise AssertionError("the watch ended before the search")


async def test_a_search_that_is_deleted_after_its_controller_failed_is_not_begun_again(
    plant: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    began: list[SearchController] = []

    async def broken(self: SearchController) -> None:
        began.append(self)
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(searches_module, "RESTART_SECONDS", 0.3)
    monkeypatch.setattr(SearchController, "run", broken)
    async with plant.operator() as searches:
        plant.api.create(manifest())
        await until(lambda: len(began) == 2)
        plant.api.delete("architecturesearches", "team", "one")
        await until(lambda: not list(searches))
        count = len(began)
        await asyncio.sleep(0.5)
        assert len(began) == count
        assert not list(searches)


async def test_evaluators_that_an_operator_left_behind_go_where_the_search_is_suspended(plant: Plant) -> None:
    shape = plant.kubelet.shape

    def without_data(evaluator: FakeEvaluator) -> None:
        shape(evaluator)
        evaluator.description = m.Described(None, "the volume does not answer", transient=True)

    plant.kubelet.shape = without_data
    plant.api.create(manifest())
    async with plant.operator():
        await until(lambda: plant.api.items("jobs"))
    plant.api.patch("architecturesearches", "team", "one", {"spec": {"suspend": True}})
    async with plant.operator():
        await plant.state("Suspended")
        await until(lambda: not plant.api.items("jobs"))


async def test_nobody_is_shown_what_a_session_that_broke_off_had_not_written(
    plant: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow(plant)
    shown: list[bool] = []
    close = SearchSession.close

    async def observed(self: SearchSession, **how: Any) -> None:
        feed = plant.controller().feed
        shown.append(self.busy and feed.engine is self.engine and not feed._busy())
        await close(self, **how)

    monkeypatch.setattr(SearchSession, "close", observed)
    async with plant.operator():
        plant.api.create(manifest())
        await until(lambda: (plant.status().get("evaluations") or {}).get("finished", 0) >= 1, 30)
        store = next(iter(plant.stores.values()))
        store.fault = lambda _key: StoreFault.REFUSED
        await until(lambda: bool(shown), 30)
        store.fault = None
        await plant.state("Complete")
    assert not any(shown)


@pytest.mark.parametrize("restarted", [False, True])
async def test_a_spec_that_is_spoilt_later_changes_nothing(plant: Plant, restarted: bool) -> None:
    slow(plant)
    spoilt = {"searchSpace": {"name": "nas-bench-201", "parameters": {"cellsPerStage": -1}}}
    plant.api.create(manifest(limits={"maxEvaluations": 40}))

    async def spoil() -> None:
        await until(lambda: (plant.status().get("evaluations") or {}).get("finished", 0) >= 1, 30)
        plant.api.patch("architecturesearches", "team", "one", {"spec": spoilt})

    async def end() -> None:
        await until(lambda: plant.condition("SpecChanged").get("status") == "True")
        assert "searchSpace" in plant.condition("SpecChanged")["message"]
        # What may change still does.
        plant.api.patch("architecturesearches", "team", "one", {"spec": {"limits": {"maxEvaluations": 8}}})
        await plant.state("Complete")
        assert plant.status()["evaluations"]["finished"] < 40
        await until(lambda: not plant.api.items("jobs"))

    async with plant.operator():
        await spoil()
        if not restarted:
            await end()
    if restarted:
        async with plant.operator():
            await end()


async def test_a_search_whose_journal_cannot_be_read_holds_no_evaluators(plant: Plant) -> None:
    slow(plant)
    plant.api.create(manifest(limits={"maxEvaluations": 40}))
    async with plant.operator():
        await until(lambda: (plant.status().get("evaluations") or {}).get("finished", 0) >= 1, 30)
    (store,) = plant.stores.values()
    first = "journal/00000001.json"
    whole = store.objects[first]
    store.objects[first] = whole[:-9]
    async with plant.operator():
        await plant.state("Failed")
        assert plant.condition("Failed")["reason"] == "JournalCorrupt"
        await until(lambda: not plant.api.items("jobs"))
        # Restored from a copy it is read again, and goes on.
        store.objects[first] = whole
        await plant.state("Running")
        await until(lambda: plant.api.items("jobs"))
