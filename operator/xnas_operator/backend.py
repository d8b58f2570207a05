"""What SearchService serves: the resource from the API server, the search from its controller, objects from the store.

The operator does not impersonate (docs/adr/0006): it asks whether the caller may, and then acts itself.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Generator
from dataclasses import replace

from xnas_core.artifacts.store import ObjectStore
from xnas_core.errors import InvalidInputError
from xnas_core.search.requests import TaskRequest
from xnas_core.search.view import SearchView
from xnas_core.service import resources, tokens
from xnas_core.service.errors import (
    AlreadyExistsError,
    ChangedMeanwhileError,
    ForbiddenError,
    InvalidTokenError,
    NotFoundError,
    UnavailableError,
)
from xnas_core.service.interface import Caller, Manifest, ManifestPage
from xnas_core.service.values import SearchMoment
from xnas_core.tasks import TaskKind
from xnas_operator import kube as k8s
from xnas_operator.auth import KubeAuthorizer
from xnas_operator.controller import SearchController
from xnas_operator.kube import SEARCHES, KubeClient
from xnas_operator.kube.errors import ConflictError, InvalidError, KubeError
from xnas_operator.manifests.names import Owner
from xnas_operator.searches import Searches

PATIENCE_SECONDS = 3.0
"""How long a call waits for the watch to bring what the API server has, and for a journal that is being read."""


class ClusterBackend:
    """See SearchBackend.

    Args:
        store: makes the store below a search's root.
    """

    def __init__(
        self,
        kube: KubeClient,
        searches: Searches,
        store: Callable[[str], ObjectStore],
        authorizer: KubeAuthorizer,
    ) -> None:
        self._kube = kube
        self._searches = searches
        self._store = store
        self._authorizer = authorizer

    async def create(self, manifest: Manifest, caller: Caller) -> Manifest:
        """See SearchBackend.create. Whoever makes a search makes pods, so the caller must be allowed to make Jobs."""
        namespace = str(manifest["metadata"]["namespace"])
        if not await self._authorizer.may(caller, "create", namespace, group="batch", resource="jobs"):
            raise ForbiddenError(
                f"{caller.username} may not create Jobs in namespace {namespace}, and a search runs one; "
                "ask the administrator for that right"
            )
        if not self._searches.watches(namespace):
            raise _not_watched(namespace)
        try:
            return await self._kube.create(SEARCHES, namespace, manifest)
        except k8s.NotFoundError as error:
            raise NotFoundError(f"there is no namespace {namespace}") from error
        except KubeError as error:
            raise _explained(error, f"{namespace}/{manifest['metadata'].get('name')}") from error

    async def get(self, namespace: str, name: str) -> Manifest:
        """See SearchBackend.get."""
        try:
            return await self._kube.get(SEARCHES, namespace, name)
        except KubeError as error:
            raise _explained(error, f"{namespace}/{name}") from error

    async def list(self, namespace: str, limit: int, token: str) -> ManifestPage:
        """See SearchBackend.list. The pages are the API server's own: each costs no more than what is in it."""
        whose, after = tokens.decode("list", token, (str, str)) if token else (namespace, "")
        if whose != namespace:
            raise InvalidTokenError("the page token belongs to another namespace's list; leave it out to start anew")
        try:
            page = await self._kube.page(SEARCHES, namespace, limit, after)
        except k8s.GoneError as error:
            raise ChangedMeanwhileError("the page token is too old; leave it out to start anew") from error
        except KubeError as error:
            raise _explained(error, namespace) from error
        return ManifestPage(tuple(page.items), tokens.encode("list", namespace, page.token) if page.token else "")

    async def update(self, namespace: str, name: str, spec_patch: Manifest, caller: Caller) -> Manifest:
        """See SearchBackend.update. The service has asked whether the caller may."""
        del caller
        # The schema holds less than the model: what it lets through would stop the search with a condition only.
        resources.check_change(await self.get(namespace, name), spec_patch)
        try:
            return await self._kube.merge_patch(SEARCHES, namespace, name, {"spec": dict(spec_patch)})
        except KubeError as error:
            raise _explained(error, f"{namespace}/{name}") from error

    async def delete(self, namespace: str, name: str, uid: str, caller: Caller) -> None:
        """See SearchBackend.delete. The service has asked whether the caller may."""
        del caller
        controller = self._searches.find(namespace, name)
        try:
            found = await self._kube.delete(SEARCHES, namespace, name, uid=uid or None)
        except KubeError as error:
            raise _explained(error, f"{namespace}/{name}") from error
        if not found:
            raise _absent(f"{namespace}/{name}")
        if controller is not None:
            # So that whoever asks next isn't told of a search that was deleted before.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PATIENCE_SECONDS):
                    await controller.known.gone.wait()

    async def moment(self, namespace: str, name: str) -> SearchMoment:
        """See SearchBackend.moment."""
        return await (await self._read(namespace, name)).feed.moment()

    async def view(self, namespace: str, name: str) -> SearchView:
        """See SearchBackend.view."""
        return await (await self._read(namespace, name)).feed.view()

    async def watch(self, namespace: str, name: str) -> AsyncGenerator[SearchMoment, None]:
        """See SearchBackend.watch."""
        controller = await self._read(namespace, name)
        if controller.feed.broken:
            controller = await self._begun(controller.owner, after=controller)
        known: SearchMoment | None = None
        async for moment in controller.feed.watch():
            if moment.progress is not None:
                known = moment
            elif known is not None:
                # The journal is read anew after an outage: nobody must take that for a search that has not begun.
                moment = replace(known, standing=moment.standing)
            elif controller.being_read:
                continue
            yield moment

    async def artifact(self, namespace: str, name: str, key: str) -> AsyncGenerator[bytes, None]:
        """See SearchBackend.artifact."""
        controller = await self._controller(namespace, name)
        store = self._store(controller.identity.root)
        try:
            blocks = await asyncio.to_thread(store.open, key)
        except KeyError as error:
            raise NotFoundError(f"the search {namespace}/{name} has no object {key}") from error

        return _chunks(blocks)

    async def request_task(
        self, namespace: str, name: str, candidate: str, kind: TaskKind, parameters: Manifest, caller: Caller
    ) -> None:
        """See SearchBackend.request_task. The service has asked whether the caller may."""
        del caller
        await (await self._controller(namespace, name)).request_task(TaskRequest(kind, candidate, parameters))

    async def _controller(self, namespace: str, name: str) -> SearchController:
        controller = self._searches.find(namespace, name)
        if controller is not None and not controller.known.gone.is_set():
            return controller
        metadata = (await self.get(namespace, name))["metadata"]
        if metadata.get("deletionTimestamp"):
            raise NotFoundError(f"the search {namespace}/{name} is being deleted")
        if not self._searches.watches(namespace):
            raise _not_watched(namespace)
        return await self._begun(Owner(namespace, name, metadata["uid"]))

    async def _begun(self, owner: Owner, after: SearchController | None = None) -> SearchController:
        """Return the controller of a resource, another than one that failed."""
        # The watch is a little behind the API server, and after a start of the operator more than a little.
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                return await self._searches.begun(owner.uid, after)
        except TimeoutError:
            raise UnavailableError(f"the search {owner.namespace}/{owner.name} is not served yet; try again") from None

    async def _read(self, namespace: str, name: str) -> SearchController:
        """Return the controller of a search that has not begun, or whose journal was read."""
        controller = await self._controller(namespace, name)
        if not controller.being_read:
            return controller
        if controller.feed.broken:
            controller = await self._begun(controller.owner, after=controller)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE_SECONDS), contextlib.aclosing(controller.feed.watch()) as moments:
                async for _ in moments:
                    if not controller.being_read:
                        break
        if controller.being_read:
            met = controller.known.trouble
            why = f"can't be read at the moment: {met.message}" if met is not None else "is being read; try again"
            raise UnavailableError(f"the search {namespace}/{name} {why}")
        return controller


async def _chunks(blocks: Generator[bytes]) -> AsyncGenerator[bytes, None]:
    """Yield what a store's generator yields, read in threads, a block at a time."""
    try:
        while (block := await asyncio.to_thread(next, blocks, None)) is not None:
            yield block
    finally:
        # A thread may still be in it where the reader has left: then it ends with the last reference to it.
        with contextlib.suppress(ValueError):
            blocks.close()


def _absent(what: str) -> NotFoundError:
    return NotFoundError(f"there is no search {what}")


def _not_watched(namespace: str) -> InvalidInputError:
    return InvalidInputError(
        f"the operator does not watch namespace {namespace}; ask the administrator to add it to the chart's namespaces"
    )


def _explained(error: KubeError, what: str) -> Exception:
    """Return the service's error for one of the API server's."""
    if isinstance(error, k8s.NotFoundError):
        return _absent(what)
    if isinstance(error, k8s.AlreadyExistsError):
        return AlreadyExistsError(f"there is a search {what} already")
    if isinstance(error, ConflictError):
        return ChangedMeanwhileError(f"the search {what} has changed meanwhile: {error}")
    if isinstance(error, InvalidError):
        return InvalidInputError(str(error))
    if isinstance(error, k8s.ForbiddenError):
        return ForbiddenError(str(error))
    return UnavailableError(f"the API server does not answer: {error}")
