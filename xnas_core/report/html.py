"""report.html: one file that works offline, on a phone and on paper.

The page holds its style, its script, its data and its pictures; a content security policy forbids it to load
anything and to run any other script. Without JavaScript it still shows front, front members, lineage and account
(docs/adr/0003-report-plots.md says why plots are our own SVG). The same view gives the same bytes.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from functools import cache
from importlib import resources
from pathlib import Path

import jinja2
from markupsafe import Markup

from xnas_core.api import spec_digest
from xnas_core.errors import InvalidInputError
from xnas_core.plugins import PluginKind, load
from xnas_core.report import account, numbers
from xnas_core.report.cards import CARD_LIMIT, carded, cards
from xnas_core.report.data import ReportData, compact_json, report_data
from xnas_core.report.files import replace_file
from xnas_core.report.lineage import LIMIT as LINEAGE_LIMIT
from xnas_core.report.lineage import lineage
from xnas_core.report.plots import front_axes, front_plot, hypervolume_plot, scatter
from xnas_core.report.summary import data_name, elapsed_seconds, summarise
from xnas_core.search.view import SearchView
from xnas_core.spaces.base import SearchSpace

_TEMPLATES = "templates"
_SCRIPTS = ("plot.js", "candidates.js", "page.js")
_COSTS = ("parameters", "macs", "train_seconds", "latency_ms", "generalization_gap")
_FAILURES_SHOWN = 200


def write_report(view: SearchView, read: Callable[[str], bytes], path: Path) -> None:
    """Write `render(view, read)`, replacing the file whole; raise StoreError if it cannot."""
    replace_file(path, render(view, read).encode())


def render(view: SearchView, read: Callable[[str], bytes]) -> str:
    """Return the report as HTML.

    Args:
        view: the search, finished or not.
        read: gives an artifact's content by its key; KeyError, OSError or StoreError where it is not to be had.
            Asked for the front's explanation panels only.

    A space that is not installed here, a panel that is gone: the page says so and shows the rest.
    """
    data = report_data(view)
    summary = summarise(data)
    space = _space(view)
    chosen = carded(data, summary.knee)
    style, script = _text("report.css"), "\n".join(_text(name) for name in _SCRIPTS)
    failed = account.failed_candidates(view)
    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            view=view,
            data=data,
            summary=summary,
            policy=_policy(style, script),
            style=Markup(style),
            script=Markup(script),
            json=Markup(compact_json(data, knee=summary.knee, x=front_axes(data)[0], y=front_axes(data)[1])),
            plotted=any(None not in c.objectives for c in view.candidates),
            front_plot=front_plot(data, frozenset(chosen), summary.knee),
            hypervolume_plot=hypervolume_plot(data) if view.history else "",
            multiples=_multiples(data),
            cards=cards(data, space, read, summary.knee),
            card_limit=CARD_LIMIT,
            lineages=[lineage(data, i) for i in chosen],
            lineage_first=summary.knee if summary.knee is not None else next(iter(chosen), None),
            lineage_limit=LINEAGE_LIMIT,
            genes=account.genes(data, space),
            ended=account.ended_attempts(view),
            failed=failed[:_FAILURES_SHOWN],
            failed_hidden=max(0, len(failed) - _FAILURES_SHOWN),
            spec_yaml=account.spec_yaml(view),
            spec_digest=spec_digest(view.spec.to_document()),
            environments=account.environments(view),
            data_name=data_name(view),
            elapsed=elapsed_seconds(view),
        )
    )


def _multiples(data: ReportData) -> list[tuple[str, list[tuple[int, int, Markup]]]]:
    """Return, for each objective, small plots of it over each cost that is known and varies."""
    known = [place for name in _COSTS if (place := data.field(name)) is not None]
    varying = [x for x in known if len({value for value in data.values[x] if value is not None}) > 1]
    made = []
    for y in data.objectives:
        plots = [(x, y, scatter(data, x, y, (360.0, 240.0))) for x in varying if x != y]
        if plots:
            made.append((data.fields[y].name, plots))
    return made


def _space(view: SearchView) -> SearchSpace | None:
    """Return the search space, or None where its plug-in is not installed here."""
    try:
        made: SearchSpace = load(PluginKind.SPACE, view.spec.search_space.name)(
            view.spec.search_space.parameters, view.data_shape
        )
    except (InvalidInputError, ImportError):
        return None
    return made


def _policy(style: str, script: str) -> str:
    """Return a content security policy: nothing from the network, this style and this script only."""
    return (
        f"default-src 'none'; style-src {_source(style)}; script-src {_source(script)}; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _source(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


@cache
def _text(name: str) -> str:
    return resources.files(__package__).joinpath(_TEMPLATES, name).read_text(encoding="utf-8")


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_text),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        number=numbers.number,
        tick=numbers.tick,
        duration=numbers.duration,
        plural=numbers.plural,
        grouped=numbers.grouped,
        percent=lambda share: f"{100 * share:.0f} %",
    )
    return environment
