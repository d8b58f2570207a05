"""A search that has ended stays so, is not in the operator's memory, and is the same to whoever looks at it."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.operator.plant import Plant, manifest
from xnas_core.errors import StoreError
from xnas_core.search.candidates import Candidate
from xnas_core.search.engine import Engine
from xnas_core.search.recovery import recover
from xnas_core.search.viewing import view
from xnas_core.service.shelf import Shelf
from xnas_core.testing.fake_api import FakeApi
from xnas_core.testing.memory_store import MemoryStore
from xnas_core.testing.waiting import until
from xnas_operator.auth import KubeAuthorizer, TokenAuthenticator
from xnas_operator.backend import ClusterBackend
from xnas_operator.kube import KubeClient


@pytest.fixture
async def plant(api: FakeApi, kube: KubeClient) -> AsyncIterator[Plant]:
    plant = Plant(api, kube)
    async with plant.kubelet.running():
        yield plant


def backend_of(plant: Plant) -> ClusterBackend:
    authorizer = KubeAuthorizer(plant.kube, TokenAuthenticator(plant.kube))
    return ClusterBackend(plant.kube, plant.searches, plant.store, authorizer)


async def complete(plant: Plant) -> None:
    await plant.state("Complete")
    await until(lambda: "reportUri" in plant.status() and not plant.api.items("jobs"))
    controller = plant.controller()
    await until(lambda: controller.session is not None and controller.session.shelved)


def _journalled(plant: Plant) -> Engine:
    (store,) = plant.stores.values()
    engine, _ = recover(store)
    assert engine is not None
    return engine


def _candidates() -> int:
    # Not isinstance, which asks lazy things of other libraries for their class.
    return sum(type(thing) is Candidate for thing in gc.get_objects())


async def test_nothing_that_grows_with_a_search_stays_after_its_end(plant: Plant) -> None:
    gc.collect()
    before = _candidates()
    async with plant.operator(shelf=Shelf(seconds=0.0)):
        plant.api.create(manifest())
        await until(lambda: plant.searches.find("team", "one") is not None)
        controller = plant.controller()
        await until(lambda: controller.feed.engine is not None)
        engine = weakref.ref(controller.feed.engine)
        await complete(plant)

        def in_memory() -> bool:
            gc.collect()
            return engine() is not None

        await until(lambda: not in_memory())
        assert _candidates() <= before
        status = plant.status()
        assert status["evaluations"]["succeeded"] == 8
        assert status["frontSize"] == len(status["front"]) > 0
        backend = backend_of(plant)
        shown = await backend.view("team", "one")
        assert shown.candidates == view(_journalled(plant), "one").candidates
        assert (await backend.moment("team", "one")).front.members == shown.front
        first = await anext(backend.watch("team", "one"))
        assert {record.id for record in await first.arrivals(0, 8)} == {record.id for record in shown.candidates}
        assert plant.status() == status


async def test_a_restarted_operator_puts_it_away_again(plant: Plant) -> None:
    async with plant.operator():
        plant.api.create(manifest())
        await complete(plant)
    status = plant.status()
    async with plant.operator():
        await until(lambda: plant.searches.find("team", "one") is not None)
        await complete(plant)
        moment = await backend_of(plant).moment("team", "one")
        assert moment.finished == 8
        assert plant.status() == status


class _Blind(MemoryStore):
    blind = False

    def get(self, key: str) -> bytes:
        if self.blind:
            raise StoreError("the store is away")
        return super().get(key)


async def test_a_store_that_is_away_is_named_to_readers_and_changes_nothing(plant: Plant) -> None:
    store, shelf = _Blind(), Shelf(seconds=0.0)
    async with plant.operator(shelf=shelf, store=lambda _root: store):
        plant.api.create(manifest())
        await complete(plant)
        backend, status = backend_of(plant), plant.status()
        await until(lambda: plant.controller().owner.uid not in shelf)
        store.blind = True
        with pytest.raises(StoreError, match="the store is away"):
            await backend.view("team", "one")
        assert (await backend.moment("team", "one")).finished == 8
        store.blind = False
        assert len((await backend.view("team", "one")).candidates) == 8
        assert plant.status() == status


@pytest.mark.parametrize(
    "change",
    [
        {"suspend": True},
        {"evaluators": {"replicas": 3}},
        {"ttlSecondsAfterFinished": 3600},
        {"limits": {"maxEvaluations": 5}},
    ],
)
async def test_a_finished_search_stays_finished_whatever_else_is_changed(
    plant: Plant, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any]
) -> None:
    written: list[dict[str, Any]] = []
    replace = plant.kube.replace_status

    async def noted(*where: Any, **more: Any) -> Any:
        written.append(where[3])
        return await replace(*where, **more)

    async with plant.operator():
        plant.api.create(manifest())
        await complete(plant)
        before, end = plant.status(), _journalled(plant).finished
        monkeypatch.setattr(plant.kube, "replace_status", noted)
        made = len(
            [request for request in plant.api.requests if (request.verb, request.resource) == ("create", "jobs")]
        )
        plant.api.patch("architecturesearches", "team", "one", {"spec": change})
        await until(lambda: plant.status()["conditions"][0].get("observedGeneration", 0) == 2, 10)
        await until(lambda: _journalled(plant).spec_document.get(next(iter(change))) is not None)
        await asyncio.sleep(0.3)
    (field,) = change
    accepted = _journalled(plant).spec_document[field]
    assert accepted == change[field] or change[field].items() <= accepted.items()
    assert _journalled(plant).finished == end
    assert written
    for status in written:
        changing = [key for key in status if status[key] != before.get(key)]
        assert set(changing) <= {"observedGeneration", "conditions", "evaluations"}, changing
        for old, new in zip(before["conditions"], status["conditions"], strict=True):
            assert {**new, "observedGeneration": 0} == {**old, "observedGeneration": 0}
    jobs = [request for request in plant.api.requests if (request.verb, request.resource) == ("create", "jobs")]
    assert len(jobs) == made


async def test_a_finished_search_goes_when_a_shorter_time_is_over(plant: Plant) -> None:
    async with plant.operator():
        plant.api.create(manifest(ttlSecondsAfterFinished=3600))
        await complete(plant)
        plant.api.patch("architecturesearches", "team", "one", {"spec": {"ttlSecondsAfterFinished": 0}})
        await until(lambda: not plant.api.exists("architecturesearches", "team", "one"), 10)
