"""What every name in the report means: formula, source, unit, direction. All names link to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from markupsafe import Markup, escape

from xnas_core.api.spec import Direction
from xnas_core.objectives import spec_metrics
from xnas_core.report.data import Field, ReportData
from xnas_core.report.formulas import formula
from xnas_core.report.svg import tag


@dataclass(frozen=True, slots=True)
class Entry:
    """A name: its id in the page, what it means, formula and source, unit, which way is better ("" where not known)."""

    id: str
    name: str
    meaning: str
    formula: str = ""
    source: str = ""
    unit: str = ""
    better: str = ""
    objective: bool = False


TERMS: tuple[tuple[str, str], ...] = (
    (
        "front",
        "The candidates that no other one equals or beats in every objective and beats in one (Pareto 1896). "
        "Only scored candidates that break no constraint can be on it.",
    ),
    (
        "hypervolume",
        "Volume of the part of the objective space that the front dominates, up to the reference point: the measure of "
        "the union of the boxes between each member and the reference point (Zitzler and Thiele 1998). Exact up to "
        "five objectives; with more, estimated from 16,384 directions (Deng and Zhang 2019, eq. 8), within about 2 %. "
        "It has the product of the objectives’ units and depends on the reference point, so only hypervolumes with the "
        "same reference point may be compared.",
    ),
    (
        "reference point",
        "A value for each objective: the spec’s reference, else the metric’s default (accuracy: 1 / classes), else "
        "the worst value of the first population.",
    ),
    (
        "knee point",
        "The front member with the smallest sum of objectives, each scaled to [0, 1] between its best and worst value "
        "on the front; with two objectives the member furthest from the line between the extremes (Das 1999).",
    ),
    (
        "standard error",
        "After “±”: the standard deviation of the estimate, as the evaluator that measured the value gives it "
        "(accuracy: √(a (1 − a) / samples)). It says how much another draw of samples would change the value of this "
        "one trained network; of introspectability, how much other classes would (jackknife). It says nothing of "
        "another training, nor that the best of many noisy values is too good on average: see “confirmed”.",
    ),
    (
        "confirmed",
        "Mean ± standard deviation over trainings of the same architecture with other seeds, made after the search. "
        "A front is picked from noisy values, so its members’ own values are too good on average; these are not.",
    ),
    (
        "rank correlation",
        "Spearman’s ρ: Pearson’s correlation of the ranks, ties sharing theirs; −1 to 1. Interval: 95 %, Fisher’s z "
        "with variance (1 + ρ²/2) / (n − 3) (Bonett and Wright 2000). p: of all orders up to eight candidates, else "
        "t = ρ √((n − 2) / (1 − ρ²)) with n − 2 degrees of freedom; corrected for all pairs shown by Holm 1979. A "
        "search’s candidates are no random sample of its space, and relatives resemble each other: both are too "
        "narrow for the space.",
    ),
    (
        "corrected p value",
        "How often a front drawn at random from the scored candidates has any choice or motif that is as unusual: "
        "min-P of Westfall and Young 1993 over seeded random fronts, (1 + as extreme) / (1 + drawn). It bounds the "
        "probability of even one false discovery among all that were tested, whatever their dependence. It takes "
        "candidates as exchangeable; relatives resemble each other, so small values say “more than by chance "
        "among these candidates” and not why.",
    ),
    (
        "lift",
        "Share of a choice or motif on the front divided by its share among all scored candidates.",
    ),
    (
        "motif",
        "Fixed values of some genes (operations on some edges), all others free, such that the fixed ones touch or are "
        "joined by at most one free gene (“any”). Motifs that fewer than five scored candidates have, or lack, are "
        "not tested.",
    ),
    (
        "futile activations",
        "Activations whose replacement by their mean changes no class score by more than a tolerated share of the "
        "scores’ spread: parts of the network that lead nowhere, or to (nearly) nothing. They count for "
        "introspectability all the same. A front member is marked where another candidate beats it once every "
        "value v is replaced by v (1 − futile share).",
    ),
    (
        "ancestor",
        "A candidate from which another one descends through parents, their parents, and so on.",
    ),
)  # fmt: skip
"""Words of the report that are no metric, with formula and source."""


@dataclass(frozen=True)
class Glossary:
    """All entries: metrics in the order of the table's columns, then terms."""

    metrics: tuple[Entry, ...]
    terms: tuple[Entry, ...]

    @cached_property
    def _ids(self) -> Mapping[str, str]:
        return {entry.name: entry.id for entry in (*self.terms, *self.metrics)}

    def link(self, name: str, text: str = "") -> Markup:
        """Return the name, or another text for it, as a link to its entry; plain text where there is none."""
        found = self._ids.get(name)
        return tag("a", text or name, href=f"#{found}", class_="term") if found else escape(text or name)


def glossary(data: ReportData) -> Glossary:
    """Return the entries for the metrics that a search has, and for the report's own words."""
    # Ids come from places and not from names: a name may hold anything.
    measured = spec_metrics(data.view.spec)
    metrics = tuple(
        _metric(place, field, measured.get(field.name, field.name)) for place, field in enumerate(data.fields)
    )
    return Glossary(metrics, terms())


def terms() -> tuple[Entry, ...]:
    """Return the entries of the report's own words."""
    return tuple(Entry(f"term-{name.replace(' ', '-')}", name, meaning) for name, meaning in TERMS)


def _metric(place: int, field: Field, metric: str) -> Entry:
    better = {Direction.MAXIMIZE: "more", Direction.MINIMIZE: "less", None: ""}[field.direction]
    timing = "Wall-clock time of this part of the evaluation." if field.unit == "s" else ""
    meaning = field.description or timing or "Declared by a plug-in or a table, which gives no description here."
    said, source = formula(metric)
    unit = "" if field.unit == "1" else field.unit
    return Entry(f"metric-{place}", field.name, meaning, said, source, unit, better, field.objective)
