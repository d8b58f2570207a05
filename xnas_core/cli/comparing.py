"""A comparison on a terminal and as a JSON document."""

from __future__ import annotations

from typing import Any

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from xnas_core.analysis.arms import Comparison, Trial
from xnas_core.analysis.contrasts import Contrast, contrasts
from xnas_core.analysis.summaries import ArmSummary, Averaged, summaries
from xnas_core.cli.tables import fits, pairs
from xnas_core.report.comparison import averaged_text, own_end, sentences
from xnas_core.report.numbers import grouped


def comparison_text(comparison: Comparison, console: Console) -> RenderableType:
    """Return arms, their figures and what was found; a table where there is room for one."""
    found = contrasts(comparison)
    arms = [Text(f"{arm.letter}  {arm.name}: {', '.join(t.label for t in arm.trials)}") for arm in comparison.arms]
    rows = [_row(comparison, figures) for figures in summaries(comparison)]
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for name in rows[0]:
        table.add_column(name, justify="left" if name == "arm" else "right", no_wrap=True)
    for row in rows:
        table.add_row(*map(Text, row.values()))
    figures = table if fits(console, table) else Group(*(pairs(console, row) for row in rows))
    said = [Text(text) for text in (*sentences(comparison, found), *comparison.remarks)]
    return Group(*arms, Text(), figures, Text(), *said)


def comparison_document(comparison: Comparison) -> dict[str, Any]:
    """Return the comparison as a JSON document."""
    return {
        "objectives": [
            {"name": o.name, "metric": o.metric_name, "direction": o.direction.value}
            for o in comparison.views[0].spec.objectives
        ],
        "referencePoint": None if comparison.reference is None else list(comparison.reference),
        "budget": comparison.budget,
        "arms": [_arm(comparison, figures) for figures in summaries(comparison)],
        "contrasts": [_contrast(contrast) for contrast in contrasts(comparison)],
        "remarks": list(comparison.remarks),
    }


def _row(comparison: Comparison, figures: ArmSummary) -> dict[str, str]:
    low, high = figures.evaluations
    row = {
        "arm": figures.arm.letter,
        "searches": str(len(figures.arm.trials)),
        "evaluations": grouped(low) if low == high else f"{grouped(low)} to {grouped(high)}",
        f"hypervolume after {grouped(comparison.budget)}": averaged_text(figures.at_budget),
        "at the end": averaged_text(figures.at_end),
    }
    for k, objective in enumerate(comparison.views[0].spec.objectives):
        row[f"best {objective.name}"] = averaged_text(figures.best[k])
        row[f"median {objective.name}"] = averaged_text(figures.median[k])
    return row


def _arm(comparison: Comparison, figures: ArmSummary) -> dict[str, Any]:
    names = [objective.name for objective in comparison.views[0].spec.objectives]
    return {
        "letter": figures.arm.letter,
        "name": figures.arm.name,
        "differs": dict(figures.arm.differs),
        "searches": [_search(trial) for trial in figures.arm.trials],
        "evaluations": list(figures.evaluations),
        "hypervolumeAtBudget": _averaged(figures.at_budget),
        "hypervolumeAtEnd": _averaged(figures.at_end),
        "frontSize": _averaged(figures.front),
        "best": {name: _averaged(value) for name, value in zip(names, figures.best, strict=True)},
        "median": {name: _averaged(value) for name, value in zip(names, figures.median, strict=True)},
    }


def _search(trial: Trial) -> dict[str, Any]:
    return {
        "search": trial.label,
        "searchId": trial.view.search_id,
        "name": trial.view.name,
        "seed": trial.seed,
        "state": trial.view.state.value,
        "evaluations": trial.evaluations,
        "hypervolume": own_end(trial),
        "frontSize": len(trial.view.front),
    }


def _averaged(value: Averaged) -> dict[str, Any]:
    return {"values": list(value.values), "mean": value.mean, "low": value.low, "high": value.high}


def _contrast(contrast: Contrast) -> dict[str, Any]:
    return {
        "first": contrast.first,
        "second": contrast.second,
        "test": contrast.test,
        "difference": contrast.difference,
        "low": contrast.low,
        "high": contrast.high,
        "p": contrast.p,
        "correctedP": contrast.corrected,
        "smallestPossibleP": contrast.least,
    }
