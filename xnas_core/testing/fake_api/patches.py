"""Patches. Server-side apply is simplified: maps merge, lists are replaced whole (a real server merges some by key)."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any

from xnas_core.testing.fake_api.answers import ApiError, JsonObject

Path = tuple[str, ...]


def merge_patch(target: JsonObject, patch: Mapping[str, Any]) -> JsonObject:
    """RFC 7386: null removes a key, maps merge, all else replaces. Neither argument is altered."""
    merged = dict(target)
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, Mapping):
            before = merged.get(key)
            merged[key] = merge_patch(before if isinstance(before, dict) else {}, value)
        else:
            merged[key] = copy.deepcopy(value)
    return merged


def json_patch(target: JsonObject, operations: list[JsonObject]) -> JsonObject:
    """RFC 6902 without move and copy. ApiError 422 for a test that fails or a path that is not there."""
    document = copy.deepcopy(target)
    for operation in operations:
        steps = [step.replace("~1", "/").replace("~0", "~") for step in operation["path"].split("/")[1:]]
        try:
            _operate(document, operation["op"], steps, operation.get("value"))
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise ApiError(422, "the server rejected our request due to an error in our request") from error
    return document


def _operate(document: Any, operation: str, steps: list[str], value: Any) -> None:
    for step in steps[:-1]:
        document = document[int(step)] if isinstance(document, list) else document[step]
    key: Any = steps[-1]
    if isinstance(document, list):
        key = len(document) if key == "-" else int(key)
    if operation == "test":
        found = document.get(key) if isinstance(document, dict) else document[key]
        if found != value:
            raise ValueError(key)
    elif operation == "remove":
        del document[key]
    elif operation == "add" and isinstance(document, list):
        document.insert(key, copy.deepcopy(value))
    elif operation in ("add", "replace"):
        if operation == "replace":
            document[key]  # must be there: raises KeyError or IndexError where it is not
        document[key] = copy.deepcopy(value)
    else:
        raise ValueError(operation)


def leaves(value: Mapping[str, Any], path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Every field that an applied configuration sets, lists as one value each."""
    for key, item in value.items():
        if isinstance(item, Mapping) and item:
            yield from leaves(item, (*path, key))
        else:
            yield (*path, key), item


def without(target: JsonObject, path: Path) -> JsonObject:
    """A copy lacking one field, and the maps that are empty because of that."""
    if path[0] not in target:
        return target
    copied = dict(target)
    if len(path) == 1:
        del copied[path[0]]
    elif isinstance(copied[path[0]], dict):
        copied[path[0]] = without(copied[path[0]], path[1:])
        if not copied[path[0]]:
            del copied[path[0]]
    return copied


def value_at(target: Any, path: Path) -> Any:
    """The field's value, None where it is not set."""
    for step in path:
        target = target.get(step) if isinstance(target, dict) else None
    return target
