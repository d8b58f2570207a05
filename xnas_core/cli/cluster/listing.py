"""Searches on a cluster as a table and as JSON, from what their resources say."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from xnas_core.cli.tables import fits
from xnas_core.report.numbers import duration, number
from xnas_core.service.resources import info
from xnas_core.service.values import SearchInfo


def search_table(found: Sequence[SearchInfo], console: Console, *, namespaces: bool) -> RenderableType:
    """Return one row for each search; lines where there is no room."""
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    rows = [_row(search, namespaces=namespaces) for search in found]
    for name in rows[0]:
        right = name in ("evaluations", "front", "hypervolume", "evaluators", "age")
        table.add_column(name, no_wrap=True, justify="right" if right else "left")
    for row in rows:
        table.add_row(*map(Text, row.values()))
    if fits(console, table):
        return table
    return Group(*(_lines(row) for row in rows))


def _row(search: SearchInfo, *, namespaces: bool) -> dict[str, str]:
    progress = search.progress
    done = 0 if progress is None else progress.succeeded + progress.failed
    limit = None if progress is None else progress.max_evaluations
    age = "" if search.created_at is None else duration(max(1, round(time.time() - search.created_at)))
    row = {"namespace": search.namespace} if namespaces else {}
    return row | {
        "name": search.name,
        "state": search.standing.state.value,
        "evaluations": f"{done}/{limit}" if limit is not None else str(done),
        "front": str(progress.front_size) if progress is not None else "0",
        "hypervolume": number(progress.hypervolume) if progress is not None and progress.front_size else "",
        "evaluators": f"{search.evaluators_ready}/{search.evaluators_desired}",
        "age": age,
    }


def _lines(row: dict[str, str]) -> RenderableType:
    name = "/".join(filter(None, (row.get("namespace"), row["name"])))
    rest = [Text(f"  {key} {value}") for key, value in row.items() if value and key not in ("name", "namespace")]
    return Group(Text(name, style="bold"), *rest)


def resource_document(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a resource says of its search as JSON. Times: seconds since the epoch."""
    search = info(manifest)
    progress = search.progress
    status = manifest.get("status") or {}
    return {
        "namespace": search.namespace,
        "name": search.name,
        "uid": search.uid,
        "state": search.standing.state.value,
        "reason": search.standing.reason,
        "message": search.standing.message,
        "evaluations": None
        if progress is None
        else {
            "proposed": progress.proposed,
            "running": progress.running,
            "succeeded": progress.succeeded,
            "failed": progress.failed,
            "limit": progress.max_evaluations,
        },
        "frontSize": None if progress is None else progress.front_size,
        "hypervolume": None if progress is None else progress.hypervolume,
        "evaluators": {"desired": search.evaluators_desired, "ready": search.evaluators_ready},
        "suspend": bool((manifest.get("spec") or {}).get("suspend")),
        "artifacts": status.get("artifactsUri"),
        "report": status.get("reportUri"),
        "createdAt": search.created_at,
        "startedAt": search.started_at,
        "finishedAt": search.finished_at,
    }
