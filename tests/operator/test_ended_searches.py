"""A search that has ended is not in the operator's memory, and is the same to whoever looks at it."""

from __future__ import annotations

import gc
import weakref
from collections.abc import AsyncIterator

import pytest

from tests.operator.plant import Plant, manifest
from xnas_core.errors import StoreError
from xnas_core.search.candidates import Candidate
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


def _candidates() -> int:
    return sum(isinstance(thing, Candidate) for thing in gc.get_objects())


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
        shown, (store,) = await backend.view("team", "one"), plant.stores.values()
        recovered, _ = recover(store)
        assert recovered is not None
        assert shown.candidates == view(recovered, "one").candidates
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
