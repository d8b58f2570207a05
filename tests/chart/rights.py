"""The operator's rights as the chart grants them, as plain tuples that recorded requests can be compared with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

OPERATOR = "xnas-operator"
README = Path(__file__).resolve().parents[2] / "charts" / "xnas" / "README.md"


class Right(NamedTuple):
    """One verb on one resource.

    Attributes:
        where: "searches" (where searches live), "cluster" or "own" (the operator's namespace).
        group: API group, "" for core.
        resource: plural, with a subresource after "/".
        name: the only object that is meant, "" for all.
        verb: get, list, watch, create, update, patch or delete.
    """

    where: str
    group: str
    resource: str
    name: str
    verb: str


def granted(documents: Sequence[dict[str, Any]], namespace: str = "xnas") -> set[Right]:
    """Return the operator's rights in documents rendered with `namespaces` set, where the three places are apart."""
    rights = set()
    for document in documents:
        metadata = document["metadata"]
        if document["kind"] not in ("Role", "ClusterRole") or not metadata["name"].startswith(OPERATOR):
            continue
        here = metadata.get("namespace")
        where = "cluster" if here is None else "own" if here == namespace else "searches"
        rights |= {
            Right(where, group, resource, name, verb)
            for rule in document["rules"]
            for group in rule["apiGroups"]
            for resource in rule["resources"]
            for name in rule.get("resourceNames", [""])
            for verb in rule["verbs"]
        }
    return rights


def documented() -> set[Right]:
    """Return the rights in the table of the chart's README."""
    text = README.read_text(encoding="utf-8").partition("## Rights of the operator")[2].partition("## Values")[0]
    rights = set()
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) != 5 or cells[0] not in ("searches", "cluster", "own"):
            continue
        resource, _, name = cells[2].partition(" ")
        group = "" if cells[1] == "core" else cells[1]
        rights |= {Right(cells[0], group, resource, name.strip("`"), verb) for verb in cells[3].split(", ")}
    return rights
