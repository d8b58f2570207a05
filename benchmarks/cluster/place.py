"""A namespace for a benchmark's searches, and how busy the machine was meanwhile."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import yaml

from tests.e2e.cluster_tools import ROOT, Cluster, Document, until
from tests.e2e.search_tools import search, table_config_map

_GONE_SECONDS = 120.0


@contextmanager
def namespace(cluster: Cluster, *, table: bool = False) -> Iterator[str]:
    """Make a namespace, with the benchmark table where it is asked for, and remove all that is in it afterwards."""
    name = f"bench-{uuid.uuid4().hex[:8]}"
    cluster.kubectl("create", "namespace", name)
    try:
        if table:
            document = table_config_map()
            document["metadata"]["namespace"] = name
            # Too large for the annotation that `apply` would keep.
            cluster.kubectl("create", "-f", "-", given=yaml.safe_dump(document))
        yield name
    finally:
        cluster.kubectl("delete", "architecturesearches,jobs", "--all", "-n", name, "--wait=false")
        until(lambda: not cluster.items("architecturesearches,jobs,pods", name), _GONE_SECONDS, f"{name} is empty")
        cluster.kubectl("delete", "namespace", name, "--wait=false")


def remove(cluster: Cluster, place: str, name: str) -> None:
    """Delete a search and wait until its evaluators are gone, so that they do not disturb what is measured next."""
    cluster.delete("architecturesearches", place, name)
    until(
        lambda: not cluster.items("architecturesearches,jobs,pods", place, f"xnas.dev/search={name}"),
        _GONE_SECONDS,
        f"{place}/{name} is gone",
    )


def quickstart(name: str, place: str, **spec: Any) -> Document:
    """Return the README's first search; keywords replace fields of its spec."""
    document = yaml.safe_load((ROOT / "examples/quickstart.yaml").read_text())
    return search(name, place, {**document["spec"], **spec})


def graph_only(evaluations: int, seed: int = 1) -> Mapping[str, Any]:
    """Return the spec of a search of the mobile space whose objectives follow from the graph."""
    return {
        "seed": seed,
        "searchSpace": {"name": "mobile", "parameters": {"stages": 5}},
        "objectives": [
            {"name": "parameters", "direction": "minimize"},
            {"name": "macs", "direction": "minimize"},
        ],
        "constraints": [{"metric": "parameters", "min": 1_000_000}],
        "limits": {"maxEvaluations": evaluations},
    }


def load() -> str:
    """Return a sentence on how busy this machine is."""
    minute, five, _ = os.getloadavg()
    return f"load average when measured: {minute:.1f} over a minute, {five:.1f} over five, on {os.cpu_count()} cores"


def goal(text: str, value: str, met: bool) -> str:
    """Return a note that says whether a goal was met."""
    return f"goal: {text}: {value} ({'met' if met else 'not met'})"
