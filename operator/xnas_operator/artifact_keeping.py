"""The finalizer on resources whose artifacts go with them, and their removal."""

from __future__ import annotations

import asyncio

import structlog

from xnas_core.api import ArchitectureSearchSpec
from xnas_core.api.spec import Retention
from xnas_core.artifacts.store import ObjectStore
from xnas_core.errors import StoreError
from xnas_operator.known import Known, Surroundings
from xnas_operator.kube.errors import ConflictError, KubeError, NotFoundError
from xnas_operator.kube.resources import SEARCHES
from xnas_operator.manifests.names import Owner

_log = structlog.get_logger(__name__)

FINALIZER = "xnas.dev/artifacts"
"""On a resource only while its artifacts must be deleted with it."""


class ArtifactKeeper:
    """Of one search."""

    def __init__(self, around: Surroundings, owner: Owner, root: str, known: Known) -> None:
        self._around = around
        self._owner = owner
        self._root = root
        self._known = known

    async def hold(self, spec: ArchitectureSearchSpec) -> None:
        """Put the finalizer on a resource whose artifacts go with it. ConflictError: try again."""
        held = self._known.body["metadata"].get("finalizers") or []
        if spec.artifacts.retention is Retention.DELETE and FINALIZER not in held:
            await self._set([*held, FINALIZER])

    async def clean_up(self) -> None:
        """Remove the artifacts of a deleted resource that wants it so; then let it go."""
        wait = self._around.pace.first_wait
        while FINALIZER in (self._known.body["metadata"].get("finalizers") or []):
            try:
                await asyncio.to_thread(_empty, self._around.store(self._root))
                await self._set([name for name in self._known.body["metadata"]["finalizers"] if name != FINALIZER])
            except NotFoundError:
                return
            except (StoreError, KubeError) as error:
                _log.warning("the artifacts could not be removed yet", error=str(error))
                await asyncio.sleep(wait)
                wait = min(2 * wait, self._around.pace.longest_wait)

    async def _set(self, finalizers: list[str]) -> None:
        version = self._known.body["metadata"]["resourceVersion"]
        metadata = {"finalizers": finalizers, "uid": self._owner.uid, "resourceVersion": version}
        kube, space, name = self._around.kube, self._owner.namespace, self._owner.name
        try:
            self._known.body = await kube.merge_patch(SEARCHES, space, name, {"metadata": metadata})
        except ConflictError:
            self._known.body = await kube.get(SEARCHES, space, name)
            raise


def _empty(store: ObjectStore) -> None:
    store.delete_many(store.list(""))
