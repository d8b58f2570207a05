"""What the listing mends that kopf's watch does not say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from xnas_core.testing.fake_api import FakeApi, JsonObject
from xnas_operator.kube import KubeClient
from xnas_operator.kube.client import Listing
from xnas_operator.kube.resources import Resource
from xnas_operator.resources_watch import ResourcesWatch


def search(name: str) -> JsonObject:
    return {
        "apiVersion": "xnas.dev/v1alpha1",
        "kind": "ArchitectureSearch",
        "metadata": {"name": name, "namespace": "team"},
        "spec": {"seed": 1},
    }


class Place:
    """A watch without kopf: the test says what kopf hears."""

    def __init__(self, kube: KubeClient) -> None:
        self.seen: list[tuple[str | None, str]] = []
        self.watch = ResourcesWatch(kube, (), self._observe, lambda: None)

    def _observe(self, kind: str | None, body: JsonObject) -> None:
        self.seen.append((kind, body["metadata"]["name"]))

    def hear(self, kind: str | None, body: JsonObject) -> None:
        self.watch._hear(kind, body)

    async def list(self) -> list[tuple[str | None, str]]:
        """Return what a listing says."""
        self.seen.clear()
        await self.watch._list()
        return list(self.seen)


async def test_what_went_while_the_watch_was_deaf_is_said(api: FakeApi, kube: KubeClient) -> None:
    place = Place(kube)
    listed = api.create(search("listed"))
    assert await place.list() == [(None, "listed")]
    place.hear("ADDED", api.create(search("heard")))
    api.create(search("stays"))
    for name in ("listed", "heard"):
        api.delete("architecturesearches", "team", name)
    found = await place.list()
    assert sorted(found[:2]) == [("DELETED", "heard"), ("DELETED", "listed")]
    assert found[2:] == [(None, "stays")]
    assert await place.list() == [(None, "stays")], "once is enough"
    place.hear("DELETED", listed)


async def test_what_is_deleted_during_a_listing_is_not_taken_for_new(api: FakeApi, kube: KubeClient) -> None:
    body = api.create(search("one"))
    slow = _SlowAnswer(kube, lambda: place.hear("DELETED", body))
    place = Place(slow)
    place.hear("ADDED", body)
    assert await place.list() == [("DELETED", "one")]


class _SlowAnswer(KubeClient):
    """Something happens between the API server's answer to a listing and its arrival."""

    def __init__(self, kube: KubeClient, meanwhile: Callable[[], None]) -> None:
        self._kube = kube
        self._meanwhile = meanwhile

    async def list(self, resource: Resource, namespace: str = "", **more: Any) -> Listing:
        found = await self._kube.list(resource, namespace, **more)
        self._meanwhile()
        return found
