"""Carries out one request on the storage: list with pages, patches by content type, reviews, tokens, logs."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from xnas_core.testing.fake_api import patches, routes
from xnas_core.testing.fake_api.answers import ApiError, JsonObject
from xnas_core.testing.fake_api.identities import Identities, User
from xnas_core.testing.fake_api.kinds import Kind
from xnas_core.testing.fake_api.selectors import field_matcher, label_matcher
from xnas_core.testing.fake_api.storage import Storage
from xnas_core.testing.fake_api.watches import Scope

APPLY = ("application/apply-patch+yaml", "application/apply-patch+json")


@dataclass(frozen=True)
class Answer:
    """A body and its status."""

    body: JsonObject | str
    code: int = 200

    def response(self) -> web.Response:
        """As HTTP: JSON, or plain text (logs)."""
        if isinstance(self.body, str):
            return web.Response(text=self.body, status=self.code)
        return web.json_response(self.body, status=self.code)


@dataclass
class Operations:
    """What each verb does."""

    storage: Storage
    identities: Identities
    logs: Mapping[tuple[str, str], str]
    _pages: dict[str, tuple[int, list[JsonObject]]] = field(default_factory=dict)

    def carry_out(self, verb: str, target: routes.Target, request: web.Request, body: Any, user: User) -> Answer:
        """The answer to anything but a watch. ApiError for what the API server would refuse."""
        if target.kind is None:
            return self._review(target, body, user)
        if target.subresource == "token":
            return self._token(target, body)
        if target.subresource == "log":
            self.storage.get(target.kind, target.namespace, target.name)
            return Answer(self._log(target, request.query))
        kind, namespace, name = target.kind, target.namespace, target.name
        if verb == "list":
            return self._list(target, request.query)
        if verb == "get":
            return Answer(self.storage.get(kind, namespace, name))
        if verb == "create":
            return Answer(self.storage.create(kind, namespace, body or {}), 201)
        if verb == "update":
            self.storage.check_replacement(kind, namespace, name, body)
            return Answer(self.storage.update(kind, namespace, name, body, target.subresource))
        if verb == "patch":
            return self._patch(target, request, body)
        if verb == "delete":
            return Answer(self.storage.delete(kind, namespace, name, _delete_options(request.query, body)))
        for item in self._selected(target, request.query):
            place = item["metadata"].get("namespace", "")
            self.storage.delete(kind, place, item["metadata"]["name"], _delete_options(request.query, body))
        return Answer({"kind": "Status", "apiVersion": "v1", "status": "Success"})

    def creates(self, target: routes.Target, request: web.Request) -> bool:
        """Whether an apply would make a new object, which RBAC asks for the verb create too."""
        if request.method != "PATCH" or request.content_type not in APPLY or target.kind is None:
            return False
        there = self.storage.items(target.kind, target.namespace)
        return all(item["metadata"]["name"] != target.name for item in there)

    def scope(self, target: routes.Target, query: Mapping[str, str]) -> Scope:
        """What a watch or a list is about."""
        if target.kind is None:
            raise ApiError(405, "the server does not allow this method on the requested resource")
        labels = label_matcher(query.get("labelSelector", ""))
        selector = query.get("fieldSelector", "") + (f",metadata.name={target.name}" if target.name else "")
        fields = field_matcher(target.kind, selector.lstrip(","))
        return Scope(target.kind, target.namespace, lambda item: labels(item) and fields(item))

    def merge(
        self, kind: Kind, namespace: str, name: str, patch: Mapping[str, Any], subresource: str = ""
    ) -> JsonObject:
        """A JSON merge patch. A resourceVersion in it must be the current one."""
        before = self.storage.get(kind, namespace, name)
        merged = patches.merge_patch(before, patch)
        return self.storage.update(kind, namespace, name, merged, subresource)

    def _selected(self, target: routes.Target, query: Mapping[str, str]) -> list[JsonObject]:
        scope = self.scope(target, query)
        return [item for item in self.storage.items(scope.kind, scope.namespace) if scope.matches(item)]

    def _list(self, target: routes.Target, query: Mapping[str, str]) -> Answer:
        assert target.kind is not None  # reviews are answered before
        version = self.storage.version
        if token := query.get("continue", ""):
            if token not in self._pages or self._pages[token][0] < self.storage.oldest:
                raise ApiError(410, "The provided continue parameter is too old to display a consistent list result")
            version, items = self._pages.pop(token)
        else:
            items = self._selected(target, query)
        limit = int(query.get("limit", 0)) or len(items)
        metadata: JsonObject = {"resourceVersion": str(version)}
        if items[limit:]:
            metadata["continue"] = uuid.uuid4().hex
            metadata["remainingItemCount"] = len(items[limit:])
            self._pages[metadata["continue"]] = (version, items[limit:])
        kind = target.kind
        page = {"kind": f"{kind.kind}List", "apiVersion": kind.api_version, "metadata": metadata}
        return Answer(page | {"items": items[:limit]})

    def _patch(self, target: routes.Target, request: web.Request, body: Any) -> Answer:
        assert target.kind is not None  # reviews are answered before
        kind, namespace, name, part = target.kind, target.namespace, target.name, target.subresource
        if request.content_type in APPLY:
            manager = request.query.get("fieldManager")
            if not manager:
                raise ApiError(422, "PatchOptions.meta.k8s.io is invalid: fieldManager: Required value")
            if part:
                raise ApiError(415, "the fake API server applies only to main resources")
            if (body.get("apiVersion"), body.get("kind")) != (kind.api_version, kind.kind):
                raise ApiError(400, "the kind or apiVersion in the data does not match the request")
            force = request.query.get("force") == "true"
            item, created = self.storage.apply(kind, namespace, name, body, manager=manager, force=force)
            return Answer(item, 201 if created else 200)
        if request.content_type == "application/json-patch+json":
            before = self.storage.get(kind, namespace, name)
            return Answer(self.storage.update(kind, namespace, name, patches.json_patch(before, body), part))
        builtin = "." not in kind.group or kind.group.endswith(".k8s.io")
        strategic = request.content_type == "application/strategic-merge-patch+json" and builtin
        if strategic or request.content_type == "application/merge-patch+json":
            return Answer(self.merge(kind, namespace, name, body, part))
        raise ApiError(415, f"the body of the request was in an unknown format: {request.content_type}")

    def _review(self, target: routes.Target, body: JsonObject, user: User) -> Answer:
        spec = body.get("spec") or {}
        if target.plural == "tokenreviews":
            status = self.identities.review_token(spec)
        elif target.plural == "selfsubjectreviews":
            status = {"userInfo": {"username": user.name, "uid": user.uid, "groups": list(user.groups)}}
        elif target.plural == "selfsubjectaccessreviews":
            status = self.identities.review_access(spec, user)
        else:
            subject = User(spec.get("user", ""), tuple(spec.get("groups") or ()))
            status = self.identities.review_access(spec, subject)
        return Answer(body | {"status": status}, 201)

    def _token(self, target: routes.Target, body: JsonObject) -> Answer:
        assert target.kind is not None  # reviews are answered before
        account = self.storage.get(target.kind, target.namespace, target.name)
        spec = body.get("spec") or {}
        bound, pod = spec.get("boundObjectRef"), None
        if bound:
            pod = self.storage.get(self.storage.kind("pods"), target.namespace, bound["name"])
        token = self.identities.issue(target.namespace, account, spec.get("audiences") or (), pod)
        return Answer(body | {"status": {"token": token, "expirationTimestamp": "2999-01-01T00:00:00Z"}}, 201)

    def _log(self, target: routes.Target, query: Mapping[str, str]) -> str:
        text = self.logs.get((target.namespace, target.name), "")
        if "tailLines" in query:
            lines = text.splitlines(keepends=True)
            text = "".join(lines[max(0, len(lines) - int(query["tailLines"])) :])
        return text[: int(query["limitBytes"])] if "limitBytes" in query else text


def _delete_options(query: Mapping[str, str], body: Any) -> JsonObject:
    options: JsonObject = dict(body or {})
    if "propagationPolicy" in query:
        options["propagationPolicy"] = query["propagationPolicy"]
    if "gracePeriodSeconds" in query:
        options["gracePeriodSeconds"] = int(query["gracePeriodSeconds"])
    return options
