"""What follows a deletion: dependents, foreground deletion, namespaces. At once; a cluster takes a little while."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xnas_core.testing.fake_api.answers import JsonObject
from xnas_core.testing.fake_api.kinds import NAMESPACES, Kind

if TYPE_CHECKING:  # storage calls this module
    from xnas_core.testing.fake_api.storage import Storage

FOREGROUND = "foregroundDeletion"


def owned(storage: Storage, uid: str) -> list[tuple[Kind, JsonObject]]:
    """The objects that name this uid as an owner."""
    return [
        (kind, item)
        for kind in storage.kinds
        for item in storage.items(kind)
        if any(owner.get("uid") == uid for owner in _owners(item))
    ]


def used(storage: Storage, namespace: str) -> bool:
    """Whether a namespace holds anything."""
    return any(storage.items(kind, namespace) for kind in storage.kinds if kind.namespaced)


def orphan(storage: Storage, uid: str) -> None:
    """Take an owner out of its dependents' references."""
    for kind, item in owned(storage, uid):
        rest = [owner for owner in _owners(item) if owner.get("uid") != uid]
        metadata = {key: value for key, value in item["metadata"].items() if key != "ownerReferences"}
        metadata |= {"ownerReferences": rest} if rest else {}
        storage.store(kind, "MODIFIED", item | {"metadata": metadata}, item)


def after_marking(storage: Storage, kind: Kind, item: JsonObject) -> None:
    """Delete what must go before an object that is marked as being deleted."""
    if kind == NAMESPACES:
        for inner in storage.kinds:
            for content in storage.items(inner, item["metadata"]["name"]) if inner.namespaced else []:
                _delete(storage, inner, content)
    elif FOREGROUND in (item["metadata"].get("finalizers") or []):
        for inner, dependent in owned(storage, item["metadata"]["uid"]):
            _delete(storage, inner, dependent)


def after_removal(storage: Storage, removed: JsonObject) -> None:
    """Collect the dependents that have no owner left; let go of owners and of a namespace that waited for this one."""
    alive = {item["metadata"]["uid"] for kind in storage.kinds for item in storage.items(kind)}
    for kind, item in owned(storage, removed["metadata"]["uid"]):
        if not any(owner.get("uid") in alive for owner in _owners(item)):
            _delete(storage, kind, item)
    waiting = {owner.get("uid") for owner in _owners(removed)} & alive
    for kind in storage.kinds if waiting else ():
        for item in storage.items(kind):
            finalizers = item["metadata"].get("finalizers") or []
            uid = item["metadata"]["uid"]
            if uid in waiting and FOREGROUND in finalizers and not owned(storage, uid):
                rest = [name for name in finalizers if name != FOREGROUND]
                body = item | {"metadata": item["metadata"] | {"finalizers": rest}}
                storage.update(kind, item["metadata"].get("namespace", ""), item["metadata"]["name"], body)
    for space in storage.items(NAMESPACES):
        name = space["metadata"]["name"]
        emptied = name == removed["metadata"].get("namespace") and not used(storage, name)
        if emptied and space["metadata"].get("deletionTimestamp"):
            storage.remove(NAMESPACES, space)


def _owners(item: JsonObject) -> list[JsonObject]:
    return item["metadata"].get("ownerReferences") or []


def _delete(storage: Storage, kind: Kind, item: JsonObject) -> None:
    """Delete unless it went meanwhile, as a dependent of another."""
    namespace, name = item["metadata"].get("namespace", ""), item["metadata"]["name"]
    if any(other["metadata"]["uid"] == item["metadata"]["uid"] for other in storage.items(kind, namespace)):
        storage.delete(kind, namespace, name, {"propagationPolicy": "Background"})
