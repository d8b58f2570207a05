"""All searches that this operator runs: one controller and one task for each resource, found by uid or by name."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

import structlog

from xnas_core.service.errors import UnavailableError
from xnas_operator.controller import SearchController
from xnas_operator.known import Surroundings
from xnas_operator.kube.resources import JOBS, PODS, JsonObject, Resource
from xnas_operator.manifests.names import UID_LABEL

_log = structlog.get_logger(__name__)

_Known = dict[str, dict[str, JsonObject]]
"""Documents by the uid of their search and by name."""

RESTART_SECONDS = 30.0
"""How long a controller that met an error of its own is left alone."""


class Searches:
    """Fed by watches; owns the controllers' tasks."""

    def __init__(self, around: Surroundings, watches: Callable[[str], bool]) -> None:
        self._around = around
        self._watches = watches
        self._news = asyncio.Event()
        self._controllers: dict[str, SearchController] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._jobs: _Known = {}
        self._pods: _Known = {}
        self._closing = False
        self.listed = False
        """Whether every search was heard of once, so that one that is not known is not there."""

    # --- what is heard --------------------------------------------------------------------------------------------

    def observe(self, kind: str | None, body: JsonObject) -> None:
        """Take an event about a resource: ADDED, MODIFIED, DELETED, or None for one that was listed."""
        meta = body["metadata"]
        uid = meta["uid"]
        if not self._watches(meta.get("namespace", "")):
            return
        controller = self._controllers.get(uid)
        if kind == "DELETED":
            if controller is not None:
                controller.vanished()
                if uid not in self._tasks:
                    # It failed, and waits to be begun again.
                    del self._controllers[uid]
        elif controller is None and not self._closing:
            self._begin(body)
        elif controller is not None and _newer(body, controller.known.body):
            controller.observe(body)

    def were_listed(self) -> None:
        """Every search that there is was observed."""
        self.listed = True

    def saw_job(self, kind: str, job: JsonObject) -> None:
        """Take a watch event about a Job of ours."""
        controller = self._note(self._jobs, kind, job)
        if controller is not None:
            controller.saw_job(kind, job)

    def saw_pod(self, kind: str, pod: JsonObject) -> None:
        """Take a watch event about a pod of ours."""
        controller = self._note(self._pods, kind, pod)
        if controller is not None:
            controller.saw_pod(kind, pod)

    def _note(self, known: _Known, kind: str, document: JsonObject) -> SearchController | None:
        """Remember what is there: a search's Job and pods may be seen before the search itself."""
        meta = document["metadata"]
        uid = (meta.get("labels") or {}).get(UID_LABEL, "")
        if kind != "DELETED":
            known.setdefault(uid, {})[meta["name"]] = document
        elif uid in known:
            known[uid].pop(meta["name"], None)
            if not known[uid]:
                del known[uid]
        return self._controllers.get(uid)

    # --- who asks -------------------------------------------------------------------------------------------------

    def __iter__(self) -> Iterator[SearchController]:
        return iter(list(self._controllers.values()))

    def by_uid(self, uid: str) -> SearchController | None:
        """Return the controller of the resource with this uid."""
        return self._controllers.get(uid)

    def find(self, namespace: str, name: str) -> SearchController | None:
        """Return the controller of the newest resource of this name."""
        found = [c for c in self._controllers.values() if (c.owner.namespace, c.owner.name) == (namespace, name)]
        return found[-1] if found else None

    def seen(self, resource: Resource, namespace: str, name: str) -> JsonObject | None:
        """Return a Job or pod of ours as the watch saw it last."""
        for documents in {JOBS: self._jobs, PODS: self._pods}[resource].values():
            document = documents.get(name)
            if document is not None and document["metadata"]["namespace"] == namespace:
                return document
        return None

    def watches(self, namespace: str) -> bool:
        """Return whether searches of a namespace are heard of."""
        return self._watches(namespace)

    async def begun(self, uid: str, after: SearchController | None = None) -> SearchController:
        """Return the controller of the resource with this uid, as soon as there is one, and another than `after`."""
        while (controller := self._controllers.get(uid)) is None or controller is after:
            await self._news.wait()
        return controller

    # --- life -----------------------------------------------------------------------------------------------------

    def _begin(self, body: JsonObject) -> None:
        controller = SearchController(body, self._around)
        uid = controller.owner.uid
        self._controllers[uid] = controller
        self._news.set()
        self._news = asyncio.Event()
        for job in self._jobs.get(uid, {}).values():
            controller.saw_job("ADDED", job)
        for pod in self._pods.get(uid, {}).values():
            controller.saw_pod("ADDED", pod)
        task = self._tasks[uid] = asyncio.create_task(controller.run(), name=f"search {controller.owner.name}")
        task.add_done_callback(lambda done: self._ended(uid, controller, done))

    def _ended(self, uid: str, controller: SearchController, task: asyncio.Task[None]) -> None:
        self._tasks.pop(uid, None)
        if task.cancelled() or task.exception() is None or self._closing:
            self._controllers.pop(uid, None)
            return
        _log.error(
            "a search's controller failed; it is started again",
            namespace=controller.owner.namespace,
            search=controller.owner.name,
            exc_info=task.exception(),
        )
        where = f"{controller.owner.namespace}/{controller.owner.name}"
        controller.feed.break_off(UnavailableError(f"the search {where} is not served for a moment; ask again"))
        asyncio.get_running_loop().call_later(RESTART_SECONDS, self._begin_again, uid, controller)

    def _begin_again(self, uid: str, failed: SearchController) -> None:
        if self._controllers.get(uid) is failed and not self._closing:
            self._begin(failed.known.body)

    async def close(self) -> None:
        """Stop running searches here; evaluators go on and look for the next operator."""
        self._closing = True
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _newer(one: JsonObject, other: JsonObject) -> bool:
    """Return whether one state of a resource is not older than another, as far as that can be told."""
    try:
        return int(one["metadata"]["resourceVersion"]) >= int(other["metadata"]["resourceVersion"])
    except (KeyError, ValueError):
        return True
