"""Objectives against what networks cost: scatter plots, and rank correlations as their text form."""

from __future__ import annotations

from markupsafe import Markup

from xnas_core.report.data import ReportData
from xnas_core.report.material import Material, Section
from xnas_core.report.pages import fragment
from xnas_core.report.plots import scatter

_COSTS = ("parameters", "macs", "train_seconds", "latency_ms", "generalization_gap")


def section(material: Material) -> Section | None:
    """Return the section; None where no cost is known and varies."""
    multiples = _multiples(material.data)
    if not multiples:
        return None
    html = fragment(
        "costs.html.j2", multiples=multiples, correlations=material.correlations, term=material.glossary.link
    )
    return Section("costs", "Costs", html)


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
