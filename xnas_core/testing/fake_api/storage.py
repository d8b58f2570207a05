"""The objects of the fake API server: versions, history for watches, finalizers and garbage collection.

Differences from a real one, on purpose: garbage is collected at once rather than a little later, schemas and CEL rules
of custom resources are not checked, and nothing runs (no scheduler, no kubelet, no Job controller).
"""

from __future__ import annotations

import copy
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from xnas_core.testing.fake_api import garbage, patches, strategies
from xnas_core.testing.fake_api.answers import ApiError, JsonObject, conflict, invalid, not_found
from xnas_core.testing.fake_api.kinds import NAMESPACES, PODS, Kind

Key = tuple[str, str]
"""(namespace, name); the namespace is empty for what is cluster-wide."""
_OWN = (
    "uid",
    "creationTimestamp",
    "namespace",
    "name",
    "generation",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
)
"""Metadata that a writer cannot change."""


@dataclass(frozen=True)
class Change:
    """One step of history.

    Attributes:
        version: the resourceVersion that it made.
        type: ADDED, MODIFIED or DELETED.
        item: the object afterwards (for DELETED its last state); `before`: beforehand, None for ADDED.
    """

    version: int
    kind: Kind
    type: str
    item: JsonObject
    before: JsonObject | None


class Storage:
    """All objects. An object in it is never altered, only replaced; callers must not alter what they are given."""

    def __init__(self, kinds: Iterable[Kind], now: Callable[[], datetime] | None = None) -> None:
        self.kinds = tuple(kinds)
        self._objects: dict[Kind, dict[Key, JsonObject]] = {kind: {} for kind in self.kinds}
        self._applied: dict[tuple[str, str], JsonObject] = {}  # (uid, field manager) -> what it applied last
        self._history: deque[Change] = deque(maxlen=20_000)
        self._now = now or (lambda: datetime.now(UTC))
        self.version = 100
        self.oldest = 100
        """Watches that ask for an older version are told 410."""
        self.listeners: set[Callable[[Change], None]] = set()

    # Reading

    def kind(self, plural: str) -> Kind:
        """The kind with this plural name, or `plural.group`."""
        for kind in self.kinds:
            if plural in (kind.plural, kind.qualified):
                return kind
        raise LookupError(f"the fake API server has no kind {plural}")

    def get(self, kind: Kind, namespace: str, name: str) -> JsonObject:
        """The object. ApiError 404."""
        item = self._objects[kind].get((namespace, name))
        if item is None:
            raise not_found(kind.qualified, name)
        return item

    def items(self, kind: Kind, namespace: str = "") -> list[JsonObject]:
        """All objects of the kind, of one namespace or of all, by namespace and name."""
        found = self._objects[kind]
        return [found[key] for key in sorted(found) if namespace in ("", key[0])]

    def changes_since(self, version: int) -> Iterator[Change]:
        """History after a version. ApiError 410 where it is forgotten."""
        if version < self.oldest:
            raise ApiError(410, f"too old resource version: {version} ({self.oldest})")
        return iter([change for change in self._history if change.version > version])

    def forget(self) -> None:
        """Compaction: every watch that does not start from now is told 410."""
        self._history.clear()
        self.oldest = self.version

    # Writing

    def create(self, kind: Kind, namespace: str, body: Mapping[str, Any]) -> JsonObject:
        """Store a new object. ApiError 404 (no such namespace), 409, 422."""
        item: JsonObject = copy.deepcopy(dict(body))
        metadata = item["metadata"] = dict(item.get("metadata") or {})
        if not metadata.get("name") and metadata.get("generateName"):
            metadata["name"] = metadata["generateName"] + uuid.uuid4().hex[:5]
        name = str(metadata.get("name") or "")
        strategies.check_name(kind, name)
        strategies.check_labels(kind, item)
        if metadata.get("resourceVersion"):
            raise ApiError(400, "resourceVersion should not be set on objects to be created")
        if metadata.get("namespace", namespace) != namespace:
            raise ApiError(400, "the namespace of the object does not match the namespace on the request")
        if kind.namespaced:
            self._check_namespace(kind, namespace, name)
            metadata["namespace"] = namespace
        if (namespace, name) in self._objects[kind]:
            raise ApiError(409, f'{kind.qualified} "{name}" already exists', "AlreadyExists")
        if kind.status:
            item.pop("status", None)
        for field in ("deletionTimestamp", "deletionGracePeriodSeconds", "generation"):
            metadata.pop(field, None)
        metadata |= {"uid": str(uuid.uuid4()), "creationTimestamp": self._time()}
        if kind.generation:
            metadata["generation"] = 1
        item = {"apiVersion": kind.api_version, "kind": kind.kind} | item
        return self.store(kind, "ADDED", strategies.created(kind, strategies.defaulted(kind, item)), None)

    def update(
        self, kind: Kind, namespace: str, name: str, body: Mapping[str, Any], subresource: str = ""
    ) -> JsonObject:
        """Replace an object, or its status. Returns it unchanged where nothing differs. ApiError 404, 409, 422."""
        before = self.get(kind, namespace, name)
        item: JsonObject = copy.deepcopy(dict(body))
        metadata = dict(item.get("metadata") or {})
        self._check_identity(kind, before, metadata, uid_given=not subresource)
        if subresource == "status":
            item = before | {"status": item.get("status") or {}}
        else:
            item = strategies.defaulted(kind, item)
            kept = {key: value for key, value in metadata.items() if key not in _OWN and value is not None}
            own = {key: before["metadata"][key] for key in _OWN if key in before["metadata"]}
            item |= {"apiVersion": before["apiVersion"], "kind": before["kind"], "metadata": kept | own}
            if kind.status:
                item.pop("status", None)
                item |= {"status": before["status"]} if "status" in before else {}
            strategies.check_labels(kind, item)
            strategies.check_change(kind, before, item)
        if _content(before) == _content(item):
            return before
        if kind.generation and _spec(before) != _spec(item):
            item["metadata"] = item["metadata"] | {"generation": before["metadata"]["generation"] + 1}
        released = item["metadata"].get("deletionTimestamp") and not item["metadata"].get("finalizers")
        if released and (kind != PODS or before["metadata"].get("finalizers")):
            return self.remove(kind, item)
        return self.store(kind, "MODIFIED", item, before)

    def apply(
        self, kind: Kind, namespace: str, name: str, body: JsonObject, *, manager: str, force: bool
    ) -> tuple[JsonObject, bool]:
        """Server-side apply, simplified (see `patches`). Returns the object and whether it was created.

        A field that this manager applied before and does not now is removed, unless another manager applied it too.
        ApiError 409 where another manager applied another value, unless forced.
        """
        wanted = {key: value for key, value in body.items() if key not in ("apiVersion", "kind")}
        identity = ("name", "namespace", "uid", "resourceVersion")
        given = wanted.get("metadata") or {}
        wanted["metadata"] = {key: value for key, value in given.items() if key not in identity}
        try:
            before = self.get(kind, namespace, name)
        except ApiError as error:
            if error.code != 404:
                raise
            item = self.create(kind, namespace, wanted | {"metadata": wanted["metadata"] | {"name": name}})
            self._applied[item["metadata"]["uid"], manager] = wanted
            return item, True
        self._check_identity(kind, before, given)
        uid = before["metadata"]["uid"]
        others = {who: fields for (owner, who), fields in self._applied.items() if owner == uid and who != manager}
        for who, fields in others.items():
            for path, value in patches.leaves(wanted):
                if not force and patches.value_at(fields, path) not in (None, value):
                    raise ApiError(409, f'Apply failed with 1 conflict: conflict with "{who}": .{".".join(path)}')
        item = before
        kept = {path for path, _ in patches.leaves(wanted)}
        for path, _ in patches.leaves(self._applied.get((uid, manager), {})):
            shared = any(patches.value_at(fields, path) is not None for fields in others.values())
            if path not in kept and not shared:
                item = patches.without(item, path)
        item = self.update(kind, namespace, name, patches.merge_patch(item, wanted))
        self._applied[uid, manager] = wanted
        return item, False

    def delete(self, kind: Kind, namespace: str, name: str, options: Mapping[str, Any] | None = None) -> JsonObject:
        """Delete, or mark as being deleted where finalizers or a running pod hold it. ApiError 404, 409."""
        options = options or {}
        before = self.get(kind, namespace, name)
        for field, wanted in (options.get("preconditions") or {}).items():
            found = before["metadata"].get(field)
            if wanted is not None and found != wanted:
                raise conflict(kind.qualified, name, f"Precondition failed: {field} in precondition: {wanted}: {found}")
        metadata = dict(before["metadata"])
        policy = options.get("propagationPolicy") or ("Orphan" if kind.orphans else "Background")
        if policy == "Orphan":
            garbage.orphan(self, metadata["uid"])
        elif policy == "Foreground" and garbage.owned(self, metadata["uid"]):
            metadata["finalizers"] = sorted({*(metadata.get("finalizers") or []), garbage.FOREGROUND})
        grace = _grace_seconds(kind, before, options)
        held = bool(metadata.get("finalizers")) or grace > 0 or (kind == NAMESPACES and garbage.used(self, name))
        if not held:
            return self.remove(kind, before)
        if not metadata.get("deletionTimestamp"):
            metadata |= {"deletionTimestamp": self._time(), "deletionGracePeriodSeconds": grace}
            if kind.generation:
                metadata["generation"] += 1
            before = self.store(kind, "MODIFIED", before | {"metadata": metadata}, before)
        garbage.after_marking(self, kind, before)
        return before

    # Parts

    def _check_namespace(self, kind: Kind, namespace: str, name: str) -> None:
        space = self._objects[NAMESPACES].get(("", namespace))
        if space is None:
            raise not_found(NAMESPACES.qualified, namespace)
        if space["metadata"].get("deletionTimestamp"):
            why = f"unable to create new content in namespace {namespace} because it is being terminated"
            raise ApiError(403, f'{kind.qualified} "{name}" is forbidden: {why}')

    def _check_identity(
        self, kind: Kind, before: JsonObject, metadata: Mapping[str, Any], *, uid_given: bool = True
    ) -> None:
        name = before["metadata"]["name"]
        if metadata.get("name", name) != name:
            raise ApiError(400, f"the name of the object ({metadata['name']}) does not match the name on the URL")
        if uid_given and metadata.get("uid") not in (None, before["metadata"]["uid"]):
            raise invalid(kind.qualified, name, f"metadata.uid: Invalid value: {metadata['uid']}: field is immutable")
        if metadata.get("resourceVersion") not in (None, "", before["metadata"]["resourceVersion"]):
            why = "the object has been modified; please apply your changes to the latest version and try again"
            raise conflict(kind.qualified, name, why)

    def check_replacement(self, kind: Kind, namespace: str, name: str, body: JsonObject) -> None:
        """What a PUT must fulfil. ApiError 422 (no resourceVersion, where the kind demands one), 409 (another uid)."""
        uid = (body.get("metadata") or {}).get("uid")
        if uid not in (None, self.get(kind, namespace, name)["metadata"]["uid"]):
            raise conflict(kind.qualified, name, f"Precondition failed: UID in precondition: {uid}")
        if kind.versioned_update and not (body.get("metadata") or {}).get("resourceVersion"):
            raise invalid(kind.qualified, name, "metadata.resourceVersion: must be specified for an update")

    def store(self, kind: Kind, change: str, item: JsonObject, before: JsonObject | None) -> JsonObject:
        """Take one step of history, with a new resourceVersion."""
        self.version += 1
        item = item | {"metadata": item["metadata"] | {"resourceVersion": str(self.version)}}
        key = (item["metadata"].get("namespace", ""), item["metadata"]["name"])
        if change == "DELETED":
            self._objects[kind].pop(key, None)
        else:
            self._objects[kind][key] = item
        done = Change(self.version, kind, change, item, before)
        if len(self._history) == self._history.maxlen:
            self.oldest = self._history[0].version
        self._history.append(done)
        for listener in tuple(self.listeners):
            listener(done)
        return item

    def remove(self, kind: Kind, item: JsonObject) -> JsonObject:
        """Take an object away, and what depends on it alone."""
        removed = self.store(kind, "DELETED", item, item)
        uid = item["metadata"]["uid"]
        self._applied = {key: value for key, value in self._applied.items() if key[0] != uid}
        garbage.after_removal(self, removed)
        return removed

    def _time(self) -> str:
        return self._now().strftime("%Y-%m-%dT%H:%M:%SZ")


def _grace_seconds(kind: Kind, item: JsonObject, options: Mapping[str, Any]) -> int:
    """How long a kubelet has to end a pod: nothing for one that runs nowhere or has ended."""
    spec = item.get("spec") or {}
    if kind != PODS or not spec.get("nodeName") or item.get("status", {}).get("phase") in ("Succeeded", "Failed"):
        return 0
    return int(options.get("gracePeriodSeconds", spec.get("terminationGracePeriodSeconds", 30)))


def _content(item: JsonObject) -> JsonObject:
    return item | {"metadata": {k: v for k, v in item["metadata"].items() if k != "resourceVersion"}}


def _spec(item: JsonObject) -> JsonObject:
    return {key: value for key, value in item.items() if key not in ("metadata", "status")}
