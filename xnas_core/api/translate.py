"""pydantic's errors in plain English: what is wrong, and what would be right."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from xnas_core.api.model_tree import DocumentPath, aliases, model_at
from xnas_core.api.resource import ArchitectureSearch
from xnas_core.api.suggest import nearest, unknown_field

_SCALARS = "a number, true or false, or a text of at most 1,024 characters"
_PATTERNS = {
    "name": 'use small letters, digits and "-", beginning and ending with a letter or digit, at most 63 characters',
    "metric": 'use letters, digits and "_", beginning with a letter, at most 63 characters',
}


@dataclass(frozen=True, slots=True)
class Fault:
    """A mistake at a path of the document."""

    path: DocumentPath
    message: str
    suggestion: str | None = None


def translate(error: ValidationError, document: Any) -> list[Fault]:
    """Return one fault for each wrong place, in pydantic's order."""
    faults: dict[DocumentPath, Fault] = {}
    for detail in error.errors(include_url=False, include_context=True):
        path, whole = _locate(detail["loc"], document)
        missing = detail["type"] == "missing"
        if missing:
            path = tuple(detail["loc"])
        if path in faults:
            continue
        value = None if missing else _value(document, path)
        if not whole and not missing:
            faults[path] = Fault(path, _of_inner(value, detail, path))
            continue
        message, suggestion = _sentence(detail["type"], detail.get("ctx", {}), value, path)
        faults[path] = Fault(path, message, suggestion)
    return list(faults.values())


def _locate(location: Sequence[str | int], document: Any) -> tuple[DocumentPath, bool]:
    """Return the part of pydantic's location that the document has, and whether that is all of it."""
    path: list[str | int] = []
    here = document
    for part in location:
        in_list = isinstance(here, list) and isinstance(part, int) and part < len(here)
        if not in_list and not (isinstance(here, Mapping) and part in here):
            return tuple(path), False
        here = here[part]
        path.append(part)
    return tuple(path), True


def _value(document: Any, path: DocumentPath) -> Any:
    for part in path:
        document = document[part]
    return document


def shown(value: Any) -> str:
    """Return a value as a person would write it, shortened."""
    if value is None:
        return "empty"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return "NaN" if math.isnan(value) else "infinite" if math.isinf(value) else f"{value:g}"
    if isinstance(value, str):
        return f'the text "{value[:60]}{"…" if len(value) > 60 else ""}"'
    if isinstance(value, Mapping):
        return "a map"
    return "a list" if isinstance(value, list) else str(value)[:80]


def _of_inner(value: Any, detail: Any, path: DocumentPath) -> str:
    """Return the sentence about a value that pydantic looked into (a union, or the key of a map)."""
    if detail["loc"] and detail["loc"][-1] == "[key]":
        return "this name has a character that is not allowed, or is too long"
    if isinstance(value, float) and not math.isfinite(value):
        return f"is {shown(value)}, but must be a finite number"
    if path[-2:-1] == ("classes",):
        return f"is {shown(value)}, but must be a class: its name, or its number from 0"
    return f"is {shown(value)}, but must be {_SCALARS}, or a list of at most 64 of these"


def _sentence(kind: str, context: Mapping[str, Any], value: Any, path: DocumentPath) -> tuple[str, str | None]:
    if kind == "extra_forbidden":
        return unknown_field(path)
    if kind == "missing":
        return _missing(path), None
    if kind in ("enum", "literal_error"):
        return _choice(str(context.get("expected", "")), value)
    if value is None:
        return "is empty; give it a value or leave it out", None
    if kind == "finite_number":
        return f"is {shown(value)}, but must be a finite number", None
    if kind == "string_pattern_mismatch":
        return f"is {shown(value)}; {_pattern(path)}", None
    return _bound(kind, context, value) or _type(kind, value, path), None


def _missing(path: DocumentPath) -> str:
    model = model_at(ArchitectureSearch, path[:-1])
    info = aliases(model).get(str(path[-1])) if model is not None else None
    meaning = (info.description or "").split("\n")[0].rstrip(".") if info is not None else ""
    return f"is missing; it is required ({meaning})" if meaning else "is missing; it is required"


def _choice(expected: str, value: Any) -> tuple[str, str | None]:
    allowed = re.findall(r"'([^']*)'", expected)
    listed = ", ".join(allowed[:-1]) + f" or {allowed[-1]}" if len(allowed) > 1 else "".join(allowed)
    if value is None:
        return f"is empty, but must be {listed}", None
    meant = nearest(value, allowed) if isinstance(value, str) and len(allowed) > 1 else None
    hint = f'; did you mean "{meant}"?' if meant else ""
    return f"is {shown(value)}, but must be {listed}{hint}", meant


def _pattern(path: DocumentPath) -> str:
    last = path[-1] if path else ""
    if path[:1] == ("metadata",) and last not in ("name", "namespace"):
        return 'use letters, digits, "-", "_" and ".", beginning and ending with a letter or digit'
    in_metric = last == "metric" or (last == "name" and path[1:2] == ("objectives",))
    return _PATTERNS["metric" if in_metric else "name"]


def _bound(kind: str, context: Mapping[str, Any], value: Any) -> str | None:
    limits = {
        "greater_than": ("gt", "must be greater than"),
        "greater_than_equal": ("ge", "must be at least"),
        "less_than": ("lt", "must be less than"),
        "less_than_equal": ("le", "must be at most"),
    }
    if kind in limits:
        key, words = limits[kind]
        return f"is {shown(value)}, but {words} {_number(context[key])}"
    if kind == "string_too_short":
        return "is an empty text; give it a value or leave it out"
    if kind == "string_too_long":
        return f"is a text of {len(value):,} characters, but must have at most {context['max_length']:,}"
    if kind == "too_short":
        return f"has {len(value)} entries, but must have at least {context['min_length']}"
    if kind == "too_long":
        return f"has {len(value):,} entries, but must have at most {context['max_length']:,}"
    return None


def _number(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"


_WANTED = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "string": "a text",
    "list": "a list",
    "dict": "a map of names and values",
    "model": "a map of fields",
    "datetime": "a time such as 2030-01-31T12:00:00Z",
    "timezone": "a time with its zone, such as 2030-01-31T12:00:00Z",
}


def _type(kind: str, value: Any, path: DocumentPath) -> str:
    wanted = _WANTED.get(kind.partition("_")[0], "of another kind")
    advice = ""
    if kind.startswith("int") and isinstance(value, float) and value.is_integer():
        advice = f"; write {int(value)}"
    elif kind.startswith(("int", "float")) and isinstance(value, str):
        advice = _number_advice(value)
    elif kind.startswith("bool") and isinstance(value, str):
        meant = {"yes": "true", "on": "true", "true": "true", "no": "false", "off": "false", "false": "false"}
        advice = f"; write {meant[value.lower()]}, without quotes" if value.lower() in meant else ""
    elif kind.startswith("string") and not isinstance(value, Mapping | list):
        advice = "; put it in quotes"
    elif kind.startswith("model"):
        fields = aliases(model) if (model := model_at(ArchitectureSearch, path)) is not None else {}
        advice = f": {', '.join(list(fields)[:8])}" if fields else ""
        if isinstance(value, list):
            advice += '; remove the "-" in front'
    elif kind.startswith("list"):
        advice = '; begin each entry with "- "'
    return f"is {shown(value)}, but must be {wanted}{advice}"


def _number_advice(text: str) -> str:
    plain = text.replace("_", "").replace(",", "").strip()
    try:
        float(plain)
    except ValueError:
        return ""
    return f"; write {plain}, without quotes, '_' and ','"
