"""A SearchBackend in memory over real engines that are driven by hand. For tests of service, SDK and commands."""

from __future__ import annotations

import copy
import uuid
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from xnas_core.api.status import StateWord
from xnas_core.artifacts.store import ObjectStore
from xnas_core.search.view import SearchView
from xnas_core.service import resources, tokens
from xnas_core.service.errors import AlreadyExistsError, ChangedMeanwhileError, NotBegunError, NotFoundError
from xnas_core.service.feed import EngineFeed
from xnas_core.service.interface import Caller, Manifest, ManifestPage
from xnas_core.service.values import SearchMoment
from xnas_core.tasks import TaskKind
from xnas_core.testing.growing_search import GrowingSearch
from xnas_core.testing.memory_store import MemoryStore


@dataclass
class HeldSearch:
    """A search of the backend.

    Attributes:
        growing: drives it; None until it has begun.
    """

    manifest: dict[str, Any]
    feed: EngineFeed
    store: ObjectStore = field(default_factory=MemoryStore)
    growing: GrowingSearch | None = None


class MemoryBackend:
    """See SearchBackend. Searches begin and go on when a test says so: with what `begin` returns.

    Attributes:
        searches: by namespace and name.
        acts: what was changed as whom: verb, user, namespace, name.
    """

    def __init__(self) -> None:
        self.searches: dict[tuple[str, str], HeldSearch] = {}
        self.acts: list[tuple[str, str, str, str]] = []

    # --- for tests ------------------------------------------------------------------------------------------------

    def put(self, namespace: str, manifest: Manifest) -> HeldSearch:
        """Put a resource there, without a call."""
        made = copy.deepcopy(dict(manifest))
        name, uid = made["metadata"]["name"], str(uuid.uuid4())
        made["metadata"] |= {
            "namespace": namespace,
            "uid": uid,
            "creationTimestamp": "2026-09-21T13:33:20Z",
            "generation": 1,
        }
        made["status"] = {"state": StateWord.PENDING.value}
        held = self.searches[namespace, name] = HeldSearch(made, EngineFeed(name, uid))
        return held

    def begin(self, namespace: str, name: str) -> GrowingSearch:
        """Let a search begin, as if it was accepted."""
        held = self.searches[namespace, name]
        growing = GrowingSearch(
            held.manifest["metadata"]["uid"], held.manifest["spec"], put=held.store.put,
            changed=lambda: self._changed(held),
        )  # fmt: skip
        held.growing = growing
        self._changed(held)
        return growing

    def restart(self) -> None:
        """Play a process that was killed and started again: every engine is made from its events anew."""
        for held in self.searches.values():
            metadata = held.manifest["metadata"]
            held.feed = EngineFeed(metadata["name"], metadata["uid"])
            if held.growing is not None:
                held.growing.restart()
                held.feed.engine = held.growing.engine

    def _changed(self, held: HeldSearch) -> None:
        growing = held.growing
        if growing is None:
            return
        held.feed.engine = growing.engine
        progress = growing.engine.progress()
        held.manifest["status"] = {
            "state": growing.engine.state.value,
            "conditions": [{"type": "Progressing", "reason": "Evaluating", "message": "evaluations run"}],
            "evaluations": {
                "proposed": progress.proposed,
                "running": progress.running,
                "succeeded": progress.succeeded,
                "failed": progress.failed,
            },
            "generation": progress.generation + 1,
            "hypervolume": progress.hypervolume,
            "frontSize": progress.front_size,
            "evaluators": {"desired": 2, "ready": 1},
            "startTime": "2026-09-21T13:33:27Z",
        }
        held.feed.changed()

    # --- SearchBackend --------------------------------------------------------------------------------------------

    async def create(self, manifest: Manifest, caller: Caller) -> Manifest:
        """See SearchBackend.create."""
        key = manifest["metadata"]["namespace"], manifest["metadata"]["name"]
        if key in self.searches:
            raise AlreadyExistsError(f"there is a search {key[1]!r} in {key[0]!r} already; choose another name")
        self.acts.append(("create", caller.username, *key))
        return copy.deepcopy(self.put(key[0], manifest).manifest)

    async def get(self, namespace: str, name: str) -> Manifest:
        """See SearchBackend.get."""
        return copy.deepcopy(self._held(namespace, name).manifest)

    async def list(self, namespace: str, limit: int, token: str) -> ManifestPage:
        """See SearchBackend.list."""
        after = tuple(tokens.decode("list", token, (str, str))) if token else ("", "")
        keys = sorted(key for key in self.searches if key > after and namespace in ("", key[0]))
        chosen = keys[:limit]
        next_token = tokens.encode("list", *chosen[-1]) if len(chosen) < len(keys) else ""
        return ManifestPage(tuple(copy.deepcopy(self.searches[key].manifest) for key in chosen), next_token)

    async def update(self, namespace: str, name: str, spec_patch: Manifest, caller: Caller) -> Manifest:
        """See SearchBackend.update."""
        held = self._held(namespace, name)
        resources.check_change(held.manifest, spec_patch)
        spec = resources.merged(held.manifest["spec"], spec_patch)
        self.acts.append(("update", caller.username, namespace, name))
        held.manifest["spec"] = spec
        held.manifest["metadata"]["generation"] += 1
        if held.growing is not None:
            held.growing.change(spec)
        return copy.deepcopy(held.manifest)

    async def delete(self, namespace: str, name: str, uid: str, caller: Caller) -> None:
        """See SearchBackend.delete."""
        held = self._held(namespace, name)
        if uid and uid != held.manifest["metadata"]["uid"]:
            raise ChangedMeanwhileError(f"the search {name!r} is another one now; look again before deleting it")
        self.acts.append(("delete", caller.username, namespace, name))
        del self.searches[namespace, name]
        held.feed.end()

    async def moment(self, namespace: str, name: str) -> SearchMoment:
        """See SearchBackend.moment."""
        return await self._held(namespace, name).feed.moment()

    async def view(self, namespace: str, name: str) -> SearchView:
        """See SearchBackend.view."""
        return await self._held(namespace, name).feed.view()

    async def watch(self, namespace: str, name: str) -> AsyncIterator[SearchMoment]:
        """See SearchBackend.watch."""
        async for moment in self._held(namespace, name).feed.watch():
            yield moment

    async def artifact(self, namespace: str, name: str, key: str) -> AsyncGenerator[bytes, None]:
        """See SearchBackend.artifact."""
        try:
            blocks = self._held(namespace, name).store.open(key)
        except KeyError:
            raise NotFoundError(f"{key} is not in the store of {name!r}") from None

        async def chunks() -> AsyncGenerator[bytes, None]:
            for block in blocks:
                yield block

        return chunks()

    async def request_task(
        self, namespace: str, name: str, candidate: str, kind: TaskKind, parameters: Manifest, caller: Caller
    ) -> None:
        """See SearchBackend.request_task."""
        growing = self._held(namespace, name).growing
        if growing is None:
            raise NotBegunError(f"the search {name!r} was not accepted yet; watch it to learn when it begins")
        if candidate not in growing.engine.by_id:
            raise NotFoundError(f"{name!r} has no candidate {candidate!r}")
        growing.request(kind, candidate, parameters)
        self.acts.append((kind.value, caller.username, namespace, name))

    def _held(self, namespace: str, name: str) -> HeldSearch:
        held = self.searches.get((namespace, name))
        if held is None:
            raise NotFoundError(f"there is no search {name!r} in {namespace!r}")
        return held
