"""A candidate's card on the terminal."""

from __future__ import annotations

from rich.console import Console, RenderableType

from xnas_core.cli.tables import pairs
from xnas_core.errors import InvalidInputError
from xnas_core.objectives import meaning, spec_metrics
from xnas_core.plugins import PluginKind, load
from xnas_core.report.numbers import UNKNOWN, duration, number, size, with_error
from xnas_core.search.view import CandidateRecord, SearchView


def print_card(console: Console, view: SearchView, record: CandidateRecord) -> None:
    """Write everything that is known of a candidate."""
    console.print(f"{record.id} · {record.state.value}{' · on the front' if record.on_front else ''}", style="bold")
    console.print(record.arch, soft_wrap=True)
    console.print(pairs(console, _facts(record)))
    for title, rows in (
        ("Objectives", _objectives(view, record)),
        ("Metrics", _metrics(view, record)),
        ("Architecture", _choices(view, record)),
        ("Time", _timings(record)),
        ("Attempts", _attempts(record)),
        ("Ran on", dict(sorted(record.environment.items()))),
        ("Files", {artifact.key: size(artifact.size) for artifact in record.artifacts}),
    ):
        if rows:
            console.print()
            console.print(title, style="bold")
            console.print(_files(console, rows) if title == "Files" else pairs(console, rows))


def _facts(record: CandidateRecord) -> dict[str, str]:
    facts = {
        "proposed": f"number {record.number + 1}, generation {record.generation}",
        "parents": ", ".join(record.parents) or "none: drawn at random",
    }
    if record.operators:
        facts["operators"] = ", ".join(record.operators)
    if record.violation > 0:
        facts["violation"] = f"{number(record.violation)}: a constraint is not met"
    if record.failure:
        facts["failed"] = record.failure
    return facts


def _objectives(view: SearchView, record: CandidateRecord) -> dict[str, str]:
    rows = {}
    for objective, value in zip(view.spec.objectives, record.objectives, strict=True):
        shown = with_error(value, record.errors.get(objective.name), _unit(view, objective.name))
        rows[objective.name] = shown if value is None else f"{shown} ({objective.direction.value})"
    return rows


def _metrics(view: SearchView, record: CandidateRecord) -> dict[str, str]:
    names = {objective.name for objective in view.spec.objectives}
    return {
        name: with_error(value, record.errors.get(name), _unit(view, name))
        for name, value in sorted(record.metrics.items())
        if name not in names
    }


def _choices(view: SearchView, record: CandidateRecord) -> dict[str, str]:
    """Return what each gene says; nothing where the space's plug-in is not installed here."""
    try:
        space = load(PluginKind.SPACE, view.spec.search_space.name)(view.spec.search_space.parameters, view.data_shape)
    except InvalidInputError:
        return {}
    return {name: space.gene_label(i, record.genes[i]) for i, name in enumerate(space.gene_names)}


def _timings(record: CandidateRecord) -> dict[str, str]:
    """Return the parts that took a millisecond or more."""
    known = sorted((name, value) for name, value in record.timings.items() if value >= 0.001)
    return {name.removesuffix("_seconds"): duration(value) for name, value in known}


def _attempts(record: CandidateRecord) -> dict[str, str]:
    rows = {}
    for attempt in record.history:
        took = duration(attempt.ended - attempt.started) if attempt.ended is not None else UNKNOWN
        said = f": {attempt.message}" if attempt.message else ""
        rows[f"{attempt.task.value} {attempt.attempt}"] = f"{attempt.outcome} after {took} on {attempt.evaluator}{said}"
    return rows


def _files(console: Console, rows: dict[str, str]) -> RenderableType:
    """Return keys and sizes; without the folders where there is no room for them."""
    if max(map(len, rows)) + 12 <= console.width:
        return pairs(console, rows)
    return "\n".join(f"{name.rpartition('/')[2]} {value}" for name, value in rows.items())


def _unit(view: SearchView, name: str) -> str:
    known = meaning(name, spec_metrics(view.spec))
    return known.unit if known else "1"
