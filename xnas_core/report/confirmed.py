"""Confirmation: front members trained again with other seeds, beside what the search itself measured."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from xnas_core.objectives import to_minimise
from xnas_core.report.numbers import with_error
from xnas_core.search.view import CandidateRecord, SearchView

PREFIX = "confirmed_"
"""How the metrics begin that trainings with other seeds give."""
SEEDS = f"{PREFIX}seeds"
"""Metric that counts the trainings that gave values."""

_FORM = re.compile(rf"{PREFIX}(.+)_(mean|deviation|\d+)")


@dataclass(frozen=True, slots=True)
class Confirmed:
    """An objective over other trainings of one architecture: mean, standard deviation, how many (None: not known)."""

    mean: float
    deviation: float | None
    seeds: int | None


@dataclass(frozen=True, slots=True)
class Flattery:
    """How much better the front's values are than those of other trainings, on average over its members.

    Attributes:
        objective: its position in the spec.
        members: front members with both values.
        seeds: the most trainings of a member; None: not known.
        better: mean of (search's value less confirmed mean), with the sign under which positive is better.
    """

    objective: int
    members: int
    seeds: int | None
    better: float


def confirmed(record: CandidateRecord, objective: str) -> Confirmed | None:
    """Return what other trainings gave for an objective; None where there was none."""
    mean, seeds = record.metrics.get(f"{PREFIX}{objective}_mean"), record.metrics.get(SEEDS)
    if mean is None:
        return None
    return Confirmed(mean, record.metrics.get(f"{PREFIX}{objective}_deviation"), None if seeds is None else int(seeds))


def confirmed_text(record: CandidateRecord, objective: str, unit: str = "1") -> str:
    """Return "0.929 ± 0.004 (n = 3)", or "" where nothing was confirmed."""
    found = confirmed(record, objective)
    if found is None:
        return ""
    return with_error(found.mean, found.deviation, unit) + (f" (n = {found.seeds})" if found.seeds else "")


def source_of(name: str, objectives: Mapping[str, str]) -> tuple[str, str] | None:
    """Return (objective, "mean", "deviation" or a number) for the name of a confirming metric; None for any other.

    Args:
        name: of a metric.
        objectives: names of the objectives, as keys.
    """
    found = _FORM.fullmatch(name)
    return (found[1], found[2]) if found and found[1] in objectives else None


def flattery(view: SearchView) -> tuple[Flattery, ...]:
    """Return for each objective how much the search's values flatter the front; () where nothing was confirmed."""
    front = frozenset(view.front)
    found = []
    for place, objective in enumerate(view.spec.objectives):
        gains: list[float] = []
        counts: list[int] = []
        for record in view.candidates:
            again, own = confirmed(record, objective.name), record.objectives[place]
            if record.id in front and again is not None and own is not None:
                gains.append(to_minimise(again.mean, objective.direction) - to_minimise(own, objective.direction))
                counts.append(again.seeds or 0)
        if gains:
            found.append(Flattery(place, len(gains), max(counts) or None, sum(gains) / len(gains)))
    return tuple(found)
