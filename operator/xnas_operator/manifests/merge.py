"""A template over another, as Kubernetes' strategic merge patch does it for pods.

Maps are merged key by key and null removes a key; lists of named things are merged by that name; other lists replace.
Two differences, both towards what a person means: an item of `env` replaces the one of its name as a whole (`value` and
`valueFrom` exclude each other), and tolerations are added to those that are there instead of replacing them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

from xnas_core.errors import InvalidInputError

MERGE_KEYS: Mapping[str, tuple[str, ...]] = {
    "claims": ("name",),
    "containers": ("name",),
    "env": ("name",),
    "hostAliases": ("ip",),
    "imagePullSecrets": ("name",),
    "initContainers": ("name",),
    "ports": ("containerPort", "protocol"),
    "resourceClaims": ("name",),
    "schedulingGates": ("name",),
    "tolerations": ("key", "operator", "value", "effect"),
    "topologySpreadConstraints": ("topologyKey",),
    "volumeDevices": ("devicePath",),
    "volumeMounts": ("mountPath",),
    "volumes": ("name",),
}
"""Lists that are merged, and what tells their items apart; the first of each must be given, tolerations' excepted."""
_WHOLE = frozenset({"env", "tolerations"})
_ONE_SOURCE = frozenset({"volumes", "resourceClaims"})
"""Items with one source of several kinds: another kind of source replaces the item (`retainKeys` in Kubernetes)."""
_OPTIONAL_KEY = frozenset({"tolerations"})
_DIRECTIVE = "$patch"


def merge(base: Mapping[str, Any], patch: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return `patch` over `base`; neither is changed.

    Args:
        base: the lower template, or a part of it.
        patch: what goes over it.
        where: path of `patch`, for messages.

    Raises:
        InvalidInputError: a value of the patch has another type than it must have; the message names its path.
    """
    directive = patch.get(_DIRECTIVE)
    if directive not in (None, "replace"):
        raise InvalidInputError(f"{where}.{_DIRECTIVE}: {directive!r} is not possible here; use null to remove a field")
    merged: dict[str, Any] = {} if directive else dict(base)
    for key, value in patch.items():
        if key == _DIRECTIVE:
            continue
        if not isinstance(key, str) or key.startswith("$"):
            raise InvalidInputError(f"{where}: {key!r} is no field of a pod template; remove it")
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = _value(key, merged.get(key), value, f"{where}.{key}")
    return merged


def _value(key: str, old: Any, new: Any, where: str) -> Any:
    if key in MERGE_KEYS and (isinstance(new, list) or isinstance(old, list)):
        return _merge_list(key, old or [], new, where)
    if isinstance(old, Mapping) or isinstance(new, Mapping):
        if not isinstance(new, Mapping):
            raise InvalidInputError(f"{where}: must be a map of fields, not {_kind(new)}")
        return merge(old if isinstance(old, Mapping) else {}, new, where)
    return deepcopy(new)


def _merge_list(key: str, old: Sequence[Any], new: Any, where: str) -> list[Any]:
    if not isinstance(new, list):
        raise InvalidInputError(f"{where}: must be a list, not {_kind(new)}")
    merged = [deepcopy(item) for item in old]
    seen: set[tuple[Any, ...]] = set()
    for index, item in enumerate(new):
        place = f"{where}[{index}]"
        if not isinstance(item, Mapping):
            raise InvalidInputError(f"{place}: must be a map of fields, not {_kind(item)}")
        first = MERGE_KEYS[key][0]
        if key not in _OPTIONAL_KEY and item.get(first) is None:
            raise InvalidInputError(f"{place}: {first} is missing; it says which of {key} is meant")
        identity = _identity(key, item)
        if identity in seen:
            raise InvalidInputError(f"{place}: {item.get(first)} is there twice; join the two")
        seen.add(identity)
        directive = item.get(_DIRECTIVE)
        found = next((i for i, there in enumerate(merged) if _identity(key, there) == identity), None)
        if directive == "delete":
            merged[:] = merged[:found] + merged[found + 1 :] if found is not None else merged
        elif found is None:
            merged.append(merge({}, item, place))
        elif key in _WHOLE or (key in _ONE_SOURCE and _sources(merged[found]) != _sources(item)):
            merged[found] = merge({}, item, place)
        else:
            merged[found] = merge(merged[found], item, place)
    return merged


def _identity(key: str, item: Mapping[str, Any]) -> tuple[Any, ...]:
    default = {"protocol": "TCP", "operator": "Equal"}
    return tuple(str(item.get(name) or default.get(name, "")) for name in MERGE_KEYS[key])


def _sources(item: Mapping[str, Any]) -> set[str]:
    return {key for key in item if key not in ("name", _DIRECTIVE)}


def _kind(value: Any) -> str:
    words = {str: "a text", bool: "true or false", int: "a number", float: "a number", list: "a list", dict: "a map"}
    return words.get(type(value), "nothing")
