"""Watch streams of the fake API server."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from xnas_core.testing.fake_api.answers import ApiError, JsonObject
from xnas_core.testing.fake_api.kinds import Kind
from xnas_core.testing.fake_api.storage import Change, Storage

LONGEST_S = 1800.0
"""A watch without timeoutSeconds ends after this time, as on a real server."""


@dataclass(frozen=True)
class Scope:
    """What a watch is about."""

    kind: Kind
    namespace: str
    matches: Callable[[JsonObject], bool]

    def event(self, change: Change) -> JsonObject | None:
        """The event that a change means here: an object that stops matching is DELETED, whatever happened to it."""
        place = change.item["metadata"].get("namespace", "")
        if change.kind != self.kind or self.namespace not in ("", place):
            return None
        now = change.type != "DELETED" and self.matches(change.item)
        before = change.before is not None and self.matches(change.before)
        if not now and not before:
            return None
        kind = "MODIFIED" if now and before else "ADDED" if now else "DELETED"
        return {"type": kind, "object": change.item}


@dataclass
class Watches:
    """All open watch streams."""

    storage: Storage
    bookmark_s: float = 60.0
    _requests: dict[int, web.Request] = field(default_factory=dict)
    _closing: asyncio.Event = field(default_factory=asyncio.Event)

    def __len__(self) -> int:
        return len(self._requests)

    def drop(self) -> None:
        """Break every stream without a word, as a lost connection does."""
        for request in tuple(self._requests.values()):
            if request.transport is not None:
                request.transport.abort()

    def close(self) -> None:
        """End every stream properly."""
        self._closing.set()

    def reopen(self) -> None:
        """Serve again after `close`."""
        self._closing = asyncio.Event()

    async def serve(
        self, request: web.Request, scope: Scope, *, error: ApiError | None = None, silent: bool = False
    ) -> web.StreamResponse:
        """Answer one watch request until its time is over."""
        changes: asyncio.Queue[Change] = asyncio.Queue()
        self.storage.listeners.add(changes.put_nowait)  # before the first event is chosen: none is missed
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        self._requests[id(request)] = request
        try:
            await response.prepare(request)
            if error is not None:
                await _send(response, "ERROR", error.status())
            elif silent:
                await self._closing.wait()
            else:
                await self._stream(request, response, scope, changes)
        except (ConnectionResetError, ConnectionError):
            pass  # the watcher went away, or drop() was called
        finally:
            self._requests.pop(id(request))
            self.storage.listeners.discard(changes.put_nowait)
        return response

    async def _stream(
        self, request: web.Request, response: web.StreamResponse, scope: Scope, changes: asyncio.Queue[Change]
    ) -> None:
        query = request.query
        loop = asyncio.get_running_loop()
        end = loop.time() + float(query.get("timeoutSeconds", LONGEST_S))
        bookmarks = query.get("allowWatchBookmarks") in ("true", "1")
        since = query.get("resourceVersion", "")
        seen = self.storage.version
        try:
            if since in ("", "0"):
                for item in filter(scope.matches, self.storage.items(scope.kind, scope.namespace)):
                    await _send(response, "ADDED", item)
                if query.get("sendInitialEvents") == "true" and bookmarks:
                    await self._bookmark(response, scope.kind, seen, {"k8s.io/initial-events-end": "true"})
            else:
                for change in [change for change in self.storage.changes_since(int(since)) if change.version <= seen]:
                    await _send_event(response, scope.event(change))
        except ApiError as error:
            await _send(response, "ERROR", error.status())
            return
        closing = asyncio.ensure_future(self._closing.wait())
        try:
            while (left := end - loop.time()) > 0 and not closing.done():
                found = await _next(changes, closing, min(left, self.bookmark_s))
                if found is not None and found.version > seen:
                    seen = found.version
                    await _send_event(response, scope.event(found))
                elif found is None and bookmarks and not closing.done():
                    await self._bookmark(response, scope.kind, self.storage.version if changes.empty() else seen)
        finally:
            closing.cancel()

    async def _bookmark(
        self, response: web.StreamResponse, kind: Kind, version: int, annotations: dict[str, str] | None = None
    ) -> None:
        metadata: JsonObject = {"resourceVersion": str(version)}
        if annotations:
            metadata["annotations"] = annotations
        await _send(response, "BOOKMARK", {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata})


async def _next(changes: asyncio.Queue[Change], closing: asyncio.Future[Any], wait_s: float) -> Change | None:
    getting = asyncio.ensure_future(changes.get())
    await asyncio.wait((getting, closing), timeout=wait_s, return_when=asyncio.FIRST_COMPLETED)
    if getting.done():
        return getting.result()
    getting.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        return await getting
    return None


async def _send_event(response: web.StreamResponse, event: JsonObject | None) -> None:
    if event is not None:
        await _send(response, event["type"], event["object"])


async def _send(response: web.StreamResponse, kind: str, item: JsonObject) -> None:
    await response.write(json.dumps({"type": kind, "object": item}).encode() + b"\n")
