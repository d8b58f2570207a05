"""List, then watch, then watch on from where the last one ended: one endless stream that survives every loss."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol

import aiohttp
import structlog

from xnas_operator.kube.errors import GoneError, UnavailableError, error_for
from xnas_operator.kube.resources import JsonObject, Resource

_log = structlog.get_logger(__name__)
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.2, 10.0


@dataclass(frozen=True)
class WatchEvent:
    """One thing that was learned.

    Attributes:
        type: ADDED, MODIFIED or DELETED; SYNCED after each complete listing, with an empty object. ADDED may come
            again for an object that is known: reconcile by level.
        object: the object; for a DELETED that was missed, what is left of it: kind, name, namespace, uid, labels and
            owners.
    """

    type: str
    object: JsonObject


class Listed(Protocol):
    """What a listing has."""

    @property
    def items(self) -> list[JsonObject]:
        """The objects."""
        ...

    @property
    def version(self) -> str:
        """Where a watch goes on from."""
        ...


class Watcher:
    """The stream of one resource, one selector.

    Server and client both end each watch request after a time, so a connection that died silently is replaced. After
    a 410 everything is listed again, and what vanished meanwhile is reported as DELETED. Outages are waited out with
    a jittered backoff; only refusals (ForbiddenError, NotFoundError, InvalidError) are raised.

    `alive` is called whenever the server gave a sign of life: an event, a bookmark, the proper end of a watch.
    """

    def __init__(
        self,
        resource: Resource,
        *,
        lister: Callable[[], Awaitable[Listed]],
        opener: Callable[[str], Awaitable[aiohttp.ClientResponse]],
        alive: Callable[[], None],
    ) -> None:
        self._resource = resource
        self._list = lister
        self._open = opener
        self._alive = alive
        self._known: dict[str, JsonObject] = {}  # by uid
        self._version = ""
        self._failures = 0

    async def events(self) -> AsyncGenerator[WatchEvent, None]:
        """The stream."""
        while True:
            try:
                if not self._version:
                    for event in self._replaced(await self._list()):
                        yield event
                async for event in self._once():
                    yield event
            except GoneError:
                self._version = ""
            except UnavailableError as error:
                await self._back_off(str(error))
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                await self._back_off(f"the watch broke: {error or type(error).__name__}")

    def _replaced(self, listing: Listed) -> list[WatchEvent]:
        """What a listing tells: all that is there, and what is no longer."""
        self._alive()
        self._failures = 0
        self._version = listing.version
        before, self._known = self._known, {}
        events = [WatchEvent("ADDED", item) for item in listing.items]
        for item in listing.items:
            self._known[item["metadata"]["uid"]] = _remains(item)
        gone = [item for uid, item in before.items() if uid not in self._known]
        return [WatchEvent("DELETED", item) for item in gone] + events + [WatchEvent("SYNCED", {})]

    async def _once(self) -> AsyncIterator[WatchEvent]:
        """The events of one watch request. GoneError or UnavailableError for an ERROR event."""
        response = await self._open(self._version)
        try:
            async for line in _lines(response):
                self._alive()
                event = json.loads(line)
                item = event["object"]
                if event["type"] == "ERROR":
                    raise self._error(item)
                self._failures = 0
                self._version = item["metadata"]["resourceVersion"]
                if event["type"] == "DELETED":
                    self._known.pop(item["metadata"]["uid"], None)
                elif event["type"] in ("ADDED", "MODIFIED"):
                    self._known[item["metadata"]["uid"]] = _remains(item)
                else:
                    continue  # a bookmark: only the version is news
                yield WatchEvent(event["type"], item)
            self._alive()
        finally:
            response.close()

    def _error(self, status: JsonObject) -> Exception:
        error = error_for(int(status.get("code") or 0), str(status.get("reason")), str(status.get("message")))
        if isinstance(error, GoneError):
            return error
        self._version = ""  # whatever it was, a new list puts it right
        return UnavailableError(f"the watch of {self._resource.plural} was ended: {error}", error.code)

    async def _back_off(self, why: str) -> None:
        self._failures += 1
        wait_s = min(_FIRST_WAIT_S * 2 ** min(self._failures - 1, 10), _LONGEST_WAIT_S)
        wait_s *= 1 - random.random() / 2
        if self._failures > 1:  # one lost connection is daily business
            _log.warning("watch interrupted", resource=self._resource.plural, why=why, retry_s=round(wait_s, 1))
        await asyncio.sleep(wait_s)


def _remains(item: JsonObject) -> JsonObject:
    kept = ("name", "namespace", "uid", "labels", "ownerReferences", "resourceVersion")
    metadata = {key: item["metadata"][key] for key in kept if key in item["metadata"]}
    return {"apiVersion": item.get("apiVersion"), "kind": item.get("kind"), "metadata": metadata}


async def _lines(response: Any) -> AsyncIterator[bytes]:
    """Lines of any length (aiohttp's own iteration refuses long ones)."""
    rest = bytearray()
    async for chunk in response.content.iter_any():
        rest += chunk
        while (end := rest.find(b"\n")) >= 0:
            line = bytes(rest[:end])
            del rest[: end + 1]
            if line.strip():
                yield line
