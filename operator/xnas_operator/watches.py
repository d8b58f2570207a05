"""What is watched: Jobs and pods of ours by label, in the namespaces of the settings. Resources come through kopf."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from xnas_operator.kube.client import KubeClient
from xnas_operator.kube.resources import JOBS, PODS, JsonObject, Resource
from xnas_operator.manifests.names import selector
from xnas_operator.searches import Searches


class PoolWatches:
    """Feeds Jobs and pods to the searches.

    Args:
        namespaces: those to watch; empty: all.
        alive: called with a watch's name at each sign of life of the API server.
    """

    def __init__(
        self,
        kube: KubeClient,
        searches: Searches,
        namespaces: Sequence[str],
        alive: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._kube = kube
        self._searches = searches
        self._namespaces = tuple(namespaces) or ("",)
        self._alive = alive
        self._unsynced = {
            (resource.plural, namespace) for resource, _ in self._kinds() for namespace in self._namespaces
        }

    def _kinds(self) -> tuple[tuple[Resource, Callable[[str, JsonObject], None]], ...]:
        return ((JOBS, self._searches.saw_job), (PODS, self._searches.saw_pod))

    @property
    def synced(self) -> bool:
        """Whether everything was listed once."""
        return not self._unsynced

    async def run(self) -> None:
        """Watch for ever. Raises a KubeError that trying again does not mend (a missing right)."""
        async with asyncio.TaskGroup() as group:
            for resource, saw in self._kinds():
                for namespace in self._namespaces:
                    group.create_task(self._watch(resource, namespace, saw))

    async def _watch(self, resource: Resource, namespace: str, saw: Callable[[str, JsonObject], None]) -> None:
        name = f"{resource.plural} {namespace}".strip()
        events = self._kube.watch(resource, namespace, labels=selector(), alive=lambda: self._alive(name))
        async for event in events:
            if event.type == "SYNCED":
                self._unsynced.discard((resource.plural, namespace))
            else:
                saw(event.type, event.object)
