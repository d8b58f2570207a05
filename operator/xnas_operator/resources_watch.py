"""Resources come through kopf, in a thread and event loop of its own: whatever kopf does, the searches run on.

kopf keeps the watch alive; whether it really does is checked from outside: what a listing shows must have come through
the watch by the time of the next listing. Where the watch had to begin anew, kopf lists what is there and says nothing
of what is gone; our own listing does.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import uuid
from collections.abc import Callable, Sequence
from typing import Any

import kopf
import structlog

from xnas_core.api.base import GROUP
from xnas_operator.kube import SEARCHES, JsonObject, KubeClient, KubeError
from xnas_operator.manifests.names import FIELD_MANAGER

_log = structlog.get_logger(__name__)

Observe = Callable[[str | None, JsonObject], None]
LISTING_SECONDS = 30.0
_SERVER_SECONDS = 240
_STOP_SECONDS = 15.0
BACKOFFS_S = (0.5, 1.0, 1.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0)
"""Waits of kopf before each new try of a request, in seconds.

kopf's own waits grow to 21 s, and so long it would be deaf to searches after the API server is back. Before it gives up
on a request they would take 54 s; these take less than the leader's Lease lasts by default, without whose renewal this
operator ends in any case. (While it watches, kopf takes up again a request that got no answer at all.)
"""


class ResourcesWatch:
    """Feeds `observe` in the event loop that calls `run`.

    Args:
        namespaces: those to watch; empty: all.
        alive: called after each listing that the watch had kept up with.
        listed: called after each listing, when all of it was observed.
    """

    def __init__(
        self,
        kube: KubeClient,
        namespaces: Sequence[str],
        observe: Observe,
        alive: Callable[[], None],
        listed: Callable[[], None] = lambda: None,
    ) -> None:
        self._kube = kube
        self._namespaces = tuple(namespaces)
        self._observe = observe
        self._alive = alive
        self._on_listed = listed
        self._heard: dict[str, int] = {}
        self._listed: dict[str, int] = {}
        self._places: dict[str, JsonObject] = {}
        """Where each resource is that was heard of or listed and is not known to be gone, by uid."""
        self._deleted: set[str] = set()
        """What was heard to be deleted since the last listing began."""
        self._stop = threading.Event()

    async def run(self) -> None:
        """Watch until cancelled. Raises what ended kopf."""
        loop = asyncio.get_running_loop()
        registry = kopf.OperatorRegistry()

        @kopf.on.login(registry=registry)
        def login(**context: Any) -> kopf.ConnectionInfo | None:
            return kopf.login_with_service_account(**context) or kopf.login_with_kubeconfig(**context)

        @kopf.on.event(GROUP, SEARCHES.version, SEARCHES.plural, registry=registry)
        def seen(event: kopf.RawEvent, **_: Any) -> None:
            loop.call_soon_threadsafe(self._hear, event["type"], dict(event["object"]))

        kopf_ended = asyncio.create_task(asyncio.to_thread(self._serve, registry))
        listing = asyncio.create_task(self._list_again_and_again())
        try:
            await asyncio.wait({kopf_ended, listing}, return_when=asyncio.FIRST_COMPLETED)
            for task in (kopf_ended, listing):
                if task.done():
                    task.result()
            raise RuntimeError("the watch of the searches ended by itself")
        finally:
            self._stop.set()
            listing.cancel()
            with contextlib.suppress(TimeoutError, asyncio.CancelledError):
                async with asyncio.timeout(_STOP_SECONDS):
                    await asyncio.gather(kopf_ended, listing, return_exceptions=True)

    def _serve(self, registry: kopf.OperatorRegistry) -> None:
        settings = kopf_settings()
        # By default kopf asks for the user's name, which a container's user has none of.
        who: dict[str, Any] = {"identity": f"{FIELD_MANAGER}/{uuid.uuid4()}"}
        where: dict[str, Any] = {"namespaces": self._namespaces} if self._namespaces else {"clusterwide": True}
        asyncio.run(
            kopf.operator(registry=registry, settings=settings, standalone=True, stop_flag=self._stop, **who, **where)
        )

    def _hear(self, kind: str | None, body: JsonObject) -> None:
        uid = body["metadata"]["uid"]
        if kind == "DELETED":
            self._heard.pop(uid, None)
            self._places.pop(uid, None)
            self._deleted.add(uid)
        else:
            self._heard[uid] = max(_version(body), self._heard.get(uid, 0))
            self._places[uid] = _place(body)
        self._observe(kind, body)

    async def _list_again_and_again(self) -> None:
        while True:
            with contextlib.suppress(KubeError):
                await self._list()
            await asyncio.sleep(LISTING_SECONDS)

    async def _list(self) -> None:
        before = dict(self._places)
        self._deleted.clear()
        items: list[JsonObject] = []
        for namespace in self._namespaces or ("",):
            items += (await self._kube.list(SEARCHES, namespace)).items
        # What was deleted while the API server answered may be in its answer.
        items = [item for item in items if item["metadata"]["uid"] not in self._deleted]
        present = {item["metadata"]["uid"] for item in items}
        behind = [uid for uid, version in self._listed.items() if uid in present and self._heard.get(uid, 0) < version]
        if behind:
            _log.warning("the watch of the searches is behind", searches=len(behind))
        else:
            self._alive()
        self._listed = {item["metadata"]["uid"]: _version(item) for item in items}
        for uid in before.keys() - present - self._deleted:
            _log.info("a search was deleted without a word of the watch", **before[uid]["metadata"])
            self._hear("DELETED", before[uid])
        for item in items:
            self._places[item["metadata"]["uid"]] = _place(item)
            self._observe(None, item)
        self._on_listed()


def kopf_settings() -> kopf.OperatorSettings:
    """Return kopf's settings where its defaults do not suit: it has no time-outs of its own."""
    settings = kopf.OperatorSettings()
    settings.watching.server_timeout = _SERVER_SECONDS
    settings.watching.client_timeout = _SERVER_SECONDS + 30
    settings.watching.connect_timeout = 10
    settings.networking.request_timeout = 30
    settings.networking.error_backoffs = BACKOFFS_S
    settings.posting.enabled = False
    return settings


def _place(body: JsonObject) -> JsonObject:
    return {"metadata": {key: body["metadata"].get(key, "") for key in ("namespace", "name", "uid")}}


def _version(body: JsonObject) -> int:
    text = str(body["metadata"].get("resourceVersion", ""))
    return int(text) if text.isdigit() else 0
