"""Label and field selectors, as in the query of a list or watch."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from xnas_core.testing.fake_api.answers import ApiError, JsonObject
from xnas_core.testing.fake_api.kinds import Kind

Matcher = Callable[[JsonObject], bool]
_SET = re.compile(r"^\s*(\S+)\s+(in|notin)\s+\(([^)]*)\)\s*$")
_EQUAL = re.compile(r"^\s*([^\s!=]+)\s*(==|!=|=)\s*([^\s!=]*)\s*$")
_PRESENT = re.compile(r"^\s*(!?)\s*([^\s!=()]+)\s*$")
_COMMA = re.compile(r",(?![^(]*\))")  # not one inside the parentheses of a set


def label_matcher(selector: str) -> Matcher:
    """A test of an object's labels. ApiError 400 for a selector that cannot be read."""
    tests = [_requirement(part) for part in _COMMA.split(selector)] if selector.strip() else []
    return lambda item: all(test(item.get("metadata", {}).get("labels") or {}) for test in tests)


def _requirement(text: str) -> Callable[[Mapping[str, str]], bool]:
    if found := _SET.match(text):
        key, operator, values = found[1], found[2], {value.strip() for value in found[3].split(",")}
        if operator == "in":
            return lambda labels: labels.get(key) in values
        return lambda labels: labels.get(key) not in values
    if found := _EQUAL.match(text):
        key, operator, value = found[1], found[2], found[3]
        if operator == "!=":
            return lambda labels: labels.get(key) != value
        return lambda labels: labels.get(key) == value
    if found := _PRESENT.match(text):
        absent, key = bool(found[1]), found[2]
        return lambda labels: (key in labels) is not absent
    raise ApiError(400, f"unable to parse requirement: {text!r}")


def field_matcher(kind: Kind, selector: str) -> Matcher:
    """A test of an object's fields. ApiError 400 for a field that this kind does not select by."""
    known = {"metadata.name", *(["metadata.namespace"] if kind.namespaced else []), *kind.fields}
    tests = []
    for text in filter(None, selector.split(",")):
        found = _EQUAL.match(text)
        if not found:
            raise ApiError(400, f"invalid field selector: {text!r}")
        path, operator, value = found[1], found[2], found[3]
        if path not in known:
            raise ApiError(400, f'"{path}" is not a known field selector: only {sorted(known)}')
        tests.append((path.split("."), operator != "!=", value))
    return lambda item: all((_text_at(item, path) == value) is wanted for path, wanted, value in tests)


def _text_at(item: JsonObject, path: list[str]) -> str:
    value: object = item
    for step in path:
        value = value.get(step) if isinstance(value, dict) else None
    return "" if value is None else str(value)
