"""What changed between two specs, and the digest that pins the accepted one."""

from __future__ import annotations

import copy
import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from xnas_core.api.model_tree import DocumentPath, apply_defaults, dotted
from xnas_core.api.spec import MUTABLE_FIELDS, ArchitectureSearchSpec

_INDEX = re.compile(r"\[\d+\]")


def spec_digest(spec_document: Mapping[str, Any]) -> str:
    """Return the SHA-256 (hex) of a spec document as canonical JSON.

    Keys are sorted and whole numbers have one form (2.0 is 2), so the digest survives a journey through JSON in other
    languages. Defaults are not applied: pass `ArchitectureSearchSpec.to_document()`.
    """
    text = json.dumps(_canonical(spec_document), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _canonical(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _canonical(child) for key, child in value.items()}
    if isinstance(value, list | tuple):
        return [_canonical(child) for child in value]
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    return value


def changed_fields(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """Compare two spec documents, defaults applied.

    Returns:
        (fields that may change, fields that may not), as camelCase paths below spec, each list sorted
        ("limits.maxEvaluations", "objectives[1].direction"). A list whose length changed is named as a whole.
    """
    paths = _differences(apply_defaults(old, ArchitectureSearchSpec), apply_defaults(new, ArchitectureSearchSpec), ())
    names = sorted({dotted(path) for path in paths})
    return [name for name in names if is_mutable(name)], [name for name in names if not is_mutable(name)]


def with_mutable(accepted: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """Return the accepted spec document with those fields of the new one that may change while a search runs."""
    merged: dict[str, Any] = copy.deepcopy(dict(accepted))
    for path in MUTABLE_FIELDS:
        *parents, last = path.split(".")
        source: Any = new
        target: dict[str, Any] = merged
        for parent in parents:
            source = source.get(parent, {})
            target = target.setdefault(parent, {})
        if last in source:
            target[last] = copy.deepcopy(source[last])
        else:
            target.pop(last, None)
    return merged


def is_mutable(field: str) -> bool:
    """Return whether a field (camelCase path below spec) may change while a search runs."""
    plain = _INDEX.sub("", field)
    return any(plain == path or plain.startswith(f"{path}.") for path in MUTABLE_FIELDS)


def _differences(old: Any, new: Any, path: DocumentPath) -> list[DocumentPath]:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        found: list[DocumentPath] = []
        for key in [*old, *(key for key in new if key not in old)]:
            if key not in old or key not in new:
                found.append((*path, key))
            else:
                found += _differences(old[key], new[key], (*path, key))
        return found
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        return [p for i, (a, b) in enumerate(zip(old, new, strict=True)) for p in _differences(a, b, (*path, i))]
    same = old == new and isinstance(old, bool) == isinstance(new, bool)
    return [] if same else [path]
