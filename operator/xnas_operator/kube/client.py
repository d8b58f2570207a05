"""A small asynchronous client of the Kubernetes API: the same verbs for every kind, typed errors, a deadline on each.

Every call raises a subclass of KubeError; UnavailableError comes only after retries. Objects are plain dictionaries,
as the server sends them.
"""

from __future__ import annotations

import json
import random
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from xnas_operator.kube import transport
from xnas_operator.kube.errors import AlreadyExistsError, ConflictError, InvalidError, NotFoundError
from xnas_operator.kube.resources import ACCESS_REVIEWS, PODS, TOKEN_REVIEWS, JsonObject, Resource
from xnas_operator.kube.transport import Call, Hook, Patience, Transport
from xnas_operator.kube.watching import Watcher, WatchEvent

FIELD_MANAGER = "xnas-operator"
_PAGE = 500
_OVERTIME_S = 15.0
"""A watch that the server does not end in time is ended by the client so much later."""
_MERGE = "application/merge-patch+json"
_JSON_PATCH = "application/json-patch+json"


@dataclass(frozen=True)
class Listing:
    """Objects at one moment. `version` is where a watch goes on from."""

    items: list[JsonObject]
    version: str


@dataclass(frozen=True)
class Page:
    """Some objects of a list, and the token of the next ones; "" after the last."""

    items: list[JsonObject]
    token: str


@dataclass(frozen=True)
class TokenStatus:
    """What a TokenReview says. Without `authenticated` the rest is empty and `error` says why."""

    authenticated: bool
    username: str = ""
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: Mapping[str, tuple[str, ...]] | None = None
    audiences: tuple[str, ...] = ()
    error: str = ""


class KubeClient:
    """Use as `async with await KubeClient.connect() as kube:`, or `close` it. Owned by one event loop."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    @classmethod
    async def connect(
        cls,
        *,
        kubeconfig: Path | None = None,
        context: str | None = None,
        user_agent: str = "xnas-operator",
        patience: Patience | None = None,
        hook: Hook | None = None,
        jitter: random.Random | None = None,
    ) -> KubeClient:
        """A client for a kubeconfig, else for the pod we run in. `hook` hears of each attempt.

        Raises:
            InvalidInputError: there is no usable configuration.
        """
        found = await transport.configuration(kubeconfig, context)
        return cls(Transport(found, user_agent=user_agent, patience=patience, hook=hook, jitter=jitter))

    async def __aenter__(self) -> KubeClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._transport.close()

    # Reading

    async def get(self, resource: Resource, namespace: str, name: str) -> JsonObject:
        """One object. NotFoundError."""
        return await self._json(_call("get", resource, "GET", namespace, name))

    async def list(
        self, resource: Resource, namespace: str = "", *, labels: str = "", fields: str = "", page: int = _PAGE
    ) -> Listing:
        """All objects that match the selectors, of one namespace or of all, fetched in pages of so many.

        Raises:
            GoneError: the list was altered for so long between two pages that it must be begun again.
        """
        items: list[JsonObject] = []
        query = _selectors(labels, fields) | {"limit": str(page)}
        while True:
            found = await self._json(_call("list", resource, "GET", namespace, query=query))
            items += _items(resource, found)
            metadata = found.get("metadata") or {}
            if not metadata.get("continue"):
                return Listing(items, metadata.get("resourceVersion", ""))
            query = query | {"continue": metadata["continue"]}

    async def page(self, resource: Resource, namespace: str, limit: int, token: str = "") -> Page:
        """At most so many objects of one namespace or of all; all pages show the moment of the first one.

        Raises:
            GoneError: the token is too old.
            InvalidError: it is none.
        """
        query = {"limit": str(limit)} | ({"continue": token} if token else {})
        found = await self._json(_call("list", resource, "GET", namespace, query=query))
        return Page(_items(resource, found), (found.get("metadata") or {}).get("continue", ""))

    def watch(
        self,
        resource: Resource,
        namespace: str = "",
        *,
        labels: str = "",
        fields: str = "",
        timeout_s: float = 120.0,
        alive: Callable[[], None] | None = None,
    ) -> AsyncGenerator[WatchEvent, None]:
        """Every object now and every change from now on, for ever; `aclose` it. See `Watcher`."""
        selectors = _selectors(labels, fields)
        watcher = Watcher(
            resource,
            lister=lambda: self.list(resource, namespace, labels=labels, fields=fields),
            opener=lambda version: self._open_watch(resource, namespace, selectors, version, timeout_s),
            alive=alive or (lambda: None),
        )
        return watcher.events()

    async def pod_logs(
        self, namespace: str, name: str, *, container: str = "", tail: int | None = None, limit_bytes: int = 1_000_000
    ) -> str:
        """The end of a pod's log; `tail` counts lines. NotFoundError, InvalidError (it has not started)."""
        query = {"limitBytes": str(limit_bytes)}
        query |= {"container": container} if container else {}
        query |= {"tailLines": str(tail)} if tail is not None else {}
        body = await self._transport.send(_call("get", PODS, "GET", namespace, name, "log", query=query))
        return body.decode(errors="replace")

    # Writing

    async def create(self, resource: Resource, namespace: str, body: Mapping[str, Any]) -> JsonObject:
        """Create. Not repeated after a lost answer.

        Raises:
            AlreadyExistsError, InvalidError, ForbiddenError: its message is the server's.
        """
        return await self._json(_call("create", resource, "POST", namespace, body=body, repeatable=False))

    async def create_or_get(
        self, resource: Resource, namespace: str, body: Mapping[str, Any]
    ) -> tuple[JsonObject, bool]:
        """The object of that name: ours if there was none, else the one that is there. True where it was created."""
        try:
            return await self._json(_call("create", resource, "POST", namespace, body=body)), True
        except AlreadyExistsError:
            return await self.get(resource, namespace, body["metadata"]["name"]), False

    async def apply(self, resource: Resource, namespace: str, body: Mapping[str, Any]) -> JsonObject:
        """Server-side apply: make the named fields so, and remove those that we applied before and do not now.

        Forced: fields that another manager holds become ours. So leave out whatever belongs to others.
        """
        whole = {"apiVersion": resource.api_version, "kind": resource.kind} | dict(body)
        query = {"fieldManager": FIELD_MANAGER, "force": "true"}
        content_type = "application/apply-patch+yaml"
        name = body["metadata"]["name"]
        return await self._json(
            _call("patch", resource, "PATCH", namespace, name, query=query, body=whole, content_type=content_type)
        )

    async def replace(self, resource: Resource, namespace: str, body: Mapping[str, Any]) -> JsonObject:
        """PUT the whole object, which carries the resourceVersion it was read at. ConflictError if it is stale."""
        name = body["metadata"]["name"]
        return await self._json(_call("update", resource, "PUT", namespace, name, body=body))

    async def merge_patch(self, resource: Resource, namespace: str, name: str, patch: Mapping[str, Any]) -> JsonObject:
        """JSON merge patch (null removes a field). With metadata.resourceVersion in it a stale one is ConflictError."""
        return await self._json(_call("patch", resource, "PATCH", namespace, name, body=patch, content_type=_MERGE))

    async def replace_status(
        self, resource: Resource, namespace: str, name: str, status: Mapping[str, Any], *, uid: str
    ) -> JsonObject:
        """Set the whole status, in one request, only if the object of this name still has this uid.

        Raises:
            ConflictError: another object has the name now; nothing was written.
        """
        operations = [
            {"op": "test", "path": "/metadata/uid", "value": uid},
            {"op": "add", "path": "/status", "value": dict(status)},
        ]
        call = _call("patch", resource, "PATCH", namespace, name, "status", body=operations, content_type=_JSON_PATCH)
        try:
            return await self._json(call)
        except InvalidError as error:
            if "the server rejected our request" not in str(error):  # how it words a test that fails
                raise
            raise ConflictError(f"another {resource.kind} has the name {name} now", 409) from error

    async def delete(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        *,
        propagation: Literal["Background", "Foreground", "Orphan"] = "Background",
        uid: str | None = None,
    ) -> bool:
        """Delete; False where there was nothing. ConflictError where `uid` is given and the object has another."""
        options: JsonObject = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": propagation}
        if uid is not None:
            options["preconditions"] = {"uid": uid}
        try:
            await self._json(_call("delete", resource, "DELETE", namespace, name, body=options))
        except NotFoundError:
            return False
        return True

    # Reviews

    async def token_review(self, token: str, audiences: Sequence[str]) -> TokenStatus:
        """Whom a token stands for, if it is valid for one of the audiences."""
        body = {"spec": {"token": token, "audiences": list(audiences)}}
        status = (await self._review(TOKEN_REVIEWS, body)).get("status") or {}
        if not status.get("authenticated"):
            return TokenStatus(False, error=str(status.get("error") or "the token is not valid"))
        found = tuple(status.get("audiences") or ())
        if not set(found) & set(audiences):  # a server that knows no audiences answers without any
            return TokenStatus(False, error=f"the token is not meant for {' or '.join(audiences)}")
        user = status.get("user") or {}
        extra = {key: tuple(values) for key, values in (user.get("extra") or {}).items()}
        groups = tuple(user.get("groups") or ())
        return TokenStatus(True, user.get("username", ""), user.get("uid", ""), groups, extra, found)

    async def subject_access_review(
        self,
        *,
        user: str,
        groups: Sequence[str],
        verb: str,
        group: str,
        resource: str,
        subresource: str = "",
        namespace: str = "",
        name: str = "",
        uid: str = "",
        extra: Mapping[str, Sequence[str]] | None = None,
    ) -> bool:
        """Whether the cluster's authorisers allow it."""
        attributes = {"verb": verb, "group": group, "resource": resource, "subresource": subresource}
        attributes |= {"namespace": namespace, "name": name}
        spec: JsonObject = {"user": user, "groups": list(groups), "uid": uid}
        spec["extra"] = {key: list(values) for key, values in (extra or {}).items()}
        spec["resourceAttributes"] = {key: value for key, value in attributes.items() if value}
        answer = await self._review(ACCESS_REVIEWS, {"spec": spec})
        return bool((answer.get("status") or {}).get("allowed"))

    async def ready(self) -> None:
        """Return if the API server answers; else raise."""
        await self._transport.send(Call("get", "", "version", "GET", "/version"))

    async def _review(self, resource: Resource, body: Mapping[str, Any]) -> JsonObject:
        whole = {"apiVersion": resource.api_version, "kind": resource.kind} | dict(body)
        return await self._json(_call("create", resource, "POST", "", body=whole))

    async def _open_watch(
        self, resource: Resource, namespace: str, selectors: Mapping[str, str], version: str, timeout_s: float
    ) -> Any:
        query = dict(selectors) | {"watch": "true", "allowWatchBookmarks": "true", "resourceVersion": version}
        query["timeoutSeconds"] = str(int(timeout_s))
        call = _call("watch", resource, "GET", namespace, query=query)
        return await self._transport.open(call, total_s=timeout_s + _OVERTIME_S)

    async def _json(self, call: Call) -> JsonObject:
        document: JsonObject = json.loads(await self._transport.send(call))
        return document


def _call(
    verb: str, resource: Resource, method: str, namespace: str, name: str = "", subresource: str = "", **more: Any
) -> Call:
    label = resource.plural + (f"/{subresource}" if subresource else "")
    path = resource.path(namespace, name, subresource)
    return Call(verb, resource.group, label, method, path, namespace, **more)


def _items(resource: Resource, found: JsonObject) -> list[JsonObject]:
    return [{"apiVersion": resource.api_version, "kind": resource.kind} | item for item in found.get("items") or []]


def _selectors(labels: str, fields: str) -> dict[str, str]:
    return ({"labelSelector": labels} if labels else {}) | ({"fieldSelector": fields} if fields else {})
