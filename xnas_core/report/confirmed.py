"""Confirmation: front members trained again with other seeds, beside what the search itself measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from xnas_core.objectives import to_minimise
from xnas_core.report.numbers import with_error
from xnas_core.search.view import CandidateRecord, SearchView


@dataclass(frozen=True, slots=True)
class Confirmed:
    """An objective over several trainings of one architecture: mean and standard deviation (None: not known)."""

    mean: float
    deviation: float | None


@dataclass(frozen=True, slots=True)
class Flattery:
    """How much better the front's values are than those of other trainings, on average over its members.

    Attributes:
        objective: its position in the spec.
        members: front members with both values.
        better: mean of (search's value less confirmed mean), with the sign under which positive is better.
    """

    objective: int
    members: int
    better: float


def confirmed(record: CandidateRecord, objective: str) -> Confirmed | None:
    """Return what other trainings gave for an objective; None where there was none."""
    mean = record.metrics.get(f"confirmed_{objective}_mean")
    return None if mean is None else Confirmed(mean, record.metrics.get(f"confirmed_{objective}_deviation"))


def confirmed_text(record: CandidateRecord, objective: str, unit: str = "1") -> str:
    """Return "0.929 ± 0.004", or "" where nothing was confirmed."""
    found = confirmed(record, objective)
    return "" if found is None else with_error(found.mean, found.deviation, unit)


def source_of(name: str, objectives: Mapping[str, str]) -> tuple[str, str] | None:
    """Return (objective, "mean" or "deviation") for the name of a confirming metric; None for any other name.

    Args:
        name: of a metric.
        objectives: names of the objectives, as keys.
    """
    for objective in objectives:
        for part in ("mean", "deviation"):
            if name == f"confirmed_{objective}_{part}":
                return objective, part
    return None


def flattery(view: SearchView) -> tuple[Flattery, ...]:
    """Return for each objective how much the search's values flatter the front; () where nothing was confirmed."""
    front = frozenset(view.front)
    found = []
    for place, objective in enumerate(view.spec.objectives):
        gains = []
        for record in view.candidates:
            again, own = confirmed(record, objective.name), record.objectives[place]
            if record.id in front and again is not None and own is not None:
                gains.append(to_minimise(again.mean, objective.direction) - to_minimise(own, objective.direction))
        if gains:
            found.append(Flattery(place, len(gains), sum(gains) / len(gains)))
    return tuple(found)
