"""A Kubernetes API server in this process: real HTTP on loopback, objects in memory, faults on demand."""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any

import yaml
from aiohttp import web

from xnas_core.testing.fake_api import portforward, routes
from xnas_core.testing.fake_api.answers import ApiError, JsonObject
from xnas_core.testing.fake_api.faults import Fault, Faults, RecordedRequest
from xnas_core.testing.fake_api.identities import Identities, User
from xnas_core.testing.fake_api.kinds import DEFAULT_KINDS, NAMESPACES
from xnas_core.testing.fake_api.requests import Operations
from xnas_core.testing.fake_api.storage import Storage
from xnas_core.testing.fake_api.watches import Watches


class FakeApi:
    """`async with FakeApi() as api:` serves at `api.url`. All of it runs on the loop that entered it.

    Attributes:
        storage, identities, faults, watches: the parts, open to tests.
        requests: all requests to resources so far, in the order of arrival. An apply that creates is two entries,
            patch and create, since RBAC asks for both.
        logs: (namespace, pod) -> what `pods/log` answers.
        forwards: (namespace, pod, port) -> where `pods/portforward` leads.
    """

    def __init__(
        self,
        *,
        namespaces: Iterable[str] = ("default",),
        kinds: Iterable[Any] = (),
        now: Callable[[], datetime] | None = None,
        bookmark_s: float = 60.0,
    ) -> None:
        self.storage = Storage((*DEFAULT_KINDS, *kinds), now)
        self.identities = Identities()
        self.faults = Faults()
        self.requests: list[RecordedRequest] = []
        self.logs: dict[tuple[str, str], str] = {}
        self.forwards: dict[tuple[str, str, int], tuple[str, int]] = {}
        self.watches = Watches(self.storage, bookmark_s)
        self._operations = Operations(self.storage, self.identities, self.logs)
        self._runner: web.AppRunner | None = None
        self._port = 0
        for namespace in namespaces:
            self.storage.create(NAMESPACES, "", {"metadata": {"name": namespace}})

    # Serving

    async def __aenter__(self) -> FakeApi:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen: on a free port the first time, on the same one after `stop`."""
        app = web.Application(client_max_size=3 * 1024 * 1024)
        app.router.add_route("*", "/{path:.*}", self._answer)
        self.watches.reopen()
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5, handler_cancellation=True)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port, reuse_address=True)
        await site.start()
        self._port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Break all connections and listen no more: an outage. The objects stay."""
        if self._runner is not None:
            self.watches.drop()
            self.watches.close()
            await self._runner.cleanup()
            self._runner = None

    @property
    def url(self) -> str:
        """The server's address."""
        return f"http://127.0.0.1:{self._port}"

    def kubeconfig(self, path: Path, *, token: str = "", namespace: str = "default") -> Path:
        """Write a kubeconfig that leads here; without a token its user is the administrator."""
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "fake", "cluster": {"server": self.url}}],
            "users": [{"name": "user", "user": {"token": token} if token else {}}],
            "contexts": [{"name": "fake", "context": {"cluster": "fake", "user": "user", "namespace": namespace}}],
            "current-context": "fake",
        }
        path.write_text(yaml.safe_dump(document))
        return path

    # The test's own hand: no request is recorded, no fault is met

    def create(self, body: Mapping[str, Any]) -> JsonObject:
        """Create an object from a whole manifest; its status is stored too, where it has one."""
        kind = next(
            kind for kind in self.storage.kinds if (kind.api_version, kind.kind) == (body["apiVersion"], body["kind"])
        )
        namespace = body["metadata"].get("namespace", "default") if kind.namespaced else ""
        item = self.storage.create(kind, namespace, body)
        if kind.status and body.get("status"):
            return self.set_status(kind.plural, namespace, item["metadata"]["name"], body["status"])
        return copy.deepcopy(item)

    def get(self, plural: str, namespace: str, name: str) -> JsonObject:
        """A copy of an object. ApiError 404."""
        return copy.deepcopy(self.storage.get(self.storage.kind(plural), namespace, name))

    def items(self, plural: str, namespace: str = "") -> list[JsonObject]:
        """Copies of all objects of a kind."""
        return copy.deepcopy(self.storage.items(self.storage.kind(plural), namespace))

    def exists(self, plural: str, namespace: str, name: str) -> bool:
        """Whether the object is there."""
        return any(item["metadata"]["name"] == name for item in self.items(plural, namespace))

    def patch(self, plural: str, namespace: str, name: str, patch: Mapping[str, Any]) -> JsonObject:
        """A merge patch of the main resource."""
        return copy.deepcopy(self._operations.merge(self.storage.kind(plural), namespace, name, patch))

    def set_status(self, plural: str, namespace: str, name: str, status: Mapping[str, Any]) -> JsonObject:
        """Replace the whole status."""
        kind = self.storage.kind(plural)
        return copy.deepcopy(self.storage.update(kind, namespace, name, {"status": dict(status)}, "status"))

    def delete(self, plural: str, namespace: str, name: str, **options: object) -> JsonObject:
        """Delete with DeleteOptions such as `gracePeriodSeconds=0`, which is what ends a pod on a node."""
        return copy.deepcopy(self.storage.delete(self.storage.kind(plural), namespace, name, options))

    def issue_token(
        self, namespace: str, account: str, *, audiences: Iterable[str] = ("xnas",), pod: str | None = None
    ) -> str:
        """A token of a service account, as a projected volume of the pod would hold it."""
        bound = None if pod is None else self.get("pods", namespace, pod)
        owner = self.get("serviceaccounts", namespace, account)
        return self.identities.issue(namespace, owner, tuple(audiences), bound)

    def rules(self, *, user_agent: str = "") -> set[tuple[str, str, str]]:
        """The (verb, group, resource) of all requests so far, of clients whose User-Agent starts so."""
        return {request.rule for request in self.requests if request.user_agent.startswith(user_agent)}

    # Answering

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        try:
            target = routes.parse(request.path, self.storage.kinds)
            if target is None:
                document = routes.discovery(request.path, self.storage.kinds)
                if document is None:
                    raise ApiError(404, "the server could not find the requested resource")
                return web.json_response(document)
            verb = target.verb(request.method, request.query)
            user = self.identities.caller(request.headers)
        except ApiError as error:
            return _failure(error)
        record = RecordedRequest(
            verb,
            target.group,
            target.plural,
            target.subresource,
            target.namespace if target.plural != "namespaces" else "",
            target.name,
            user.name,
            request.headers.get("User-Agent", ""),
        )
        self.requests.append(record)
        fault = self.faults.take(record)
        try:
            response = await self._faulty(request, target, user, record, fault)
        except ApiError as error:
            response = _failure(error)
        record.code = response.status
        return response

    async def _faulty(
        self, request: web.Request, target: routes.Target, user: User, record: RecordedRequest, fault: Fault | None
    ) -> web.StreamResponse:
        fault = fault or Fault()
        if fault.delay_s:
            await asyncio.sleep(fault.delay_s)
        if fault.lost == "before":
            return _break(request)
        if fault.code:
            raise ApiError(fault.code, fault.message, retry_after_s=fault.retry_after_s)
        self._authorise(record, user)
        if record.subresource == "portforward":
            self.storage.get(self.storage.kind("pods"), target.namespace, target.name)
            return await portforward.serve(request, target.namespace, target.name, self.forwards)
        if record.verb == "watch":
            record.code = 200
            scope = self._operations.scope(target, request.query)
            error = ApiError(fault.watch_code, fault.message) if fault.watch_code else None
            return await self.watches.serve(request, scope, error=error, silent=fault.silent)
        text = await request.text()
        try:
            body = yaml.safe_load(text) if "yaml" in request.content_type else json.loads(text or "null")
        except (ValueError, yaml.YAMLError) as error:
            raise ApiError(400, f"the body of the request cannot be read: {error}") from error
        if self._operations.creates(target, request):
            names = (record.group, record.resource, record.subresource, record.namespace, record.name)
            creation = RecordedRequest("create", *names, user.name, record.user_agent)
            self.requests.append(creation)
            self._authorise(creation, user)
        answer = self._operations.carry_out(record.verb, target, request, body, user)
        if fault.lost == "after":
            return _break(request)
        return answer.response()

    def _authorise(self, record: RecordedRequest, user: User) -> None:
        attributes = {
            part: getattr(record, part) for part in ("verb", "group", "resource", "subresource", "namespace", "name")
        }
        if not self.identities.allowed(user, attributes):
            where = f' in the namespace "{record.namespace}"' if record.namespace else " at the cluster scope"
            qualified = record.resource + (f".{record.group}" if record.group else "")
            what = f"{qualified}{f' {record.name!r}' if record.name else ''} is forbidden"
            why = f'User "{user.name}" cannot {record.verb} resource "{record.resource}" in API group "{record.group}"'
            raise ApiError(403, f"{what}: {why}{where}")


def _failure(error: ApiError) -> web.Response:
    headers = {} if error.retry_after_s is None else {"Retry-After": str(error.retry_after_s)}
    return web.json_response(error.status(), status=error.code, headers=headers)


def _break(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=503)  # nobody hears it: the connection is gone
