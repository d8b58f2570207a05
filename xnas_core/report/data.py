"""The columns that plots and the table of the report are made from, and their compact JSON form."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from xnas_core.api.spec import Direction, ObjectiveSpec
from xnas_core.objectives import METRICS, meaning, spec_metrics
from xnas_core.report.confirmed import SEEDS, source_of
from xnas_core.report.tables import metric_names
from xnas_core.search.view import CandidateRecord, CandidateState, HypervolumePoint, SearchView

Number = float | int | None

_REFINED = "refined_"
_DELTA = "completeness_delta"
_LATER: Mapping[str, tuple[str, Direction]] = {
    _DELTA: (
        "Mean gap between summed attributions and the score’s difference that they explain, in units of the score.",
        Direction.MINIMIZE,
    ),
    f"{_REFINED}distance_before": (
        "Distance of the class pairs to be pulled apart, before refinement.",
        Direction.MAXIMIZE,
    ),
    f"{_REFINED}distance": (
        "Distance of the class pairs that were pulled apart, after refinement.",
        Direction.MAXIMIZE,
    ),
}
"""What tasks after the evaluation record, and no metric of a search is."""


@dataclass(frozen=True, slots=True)
class Field:
    """A quantity of candidates.

    Attributes:
        name: as in tables.
        unit: "1" for a pure number.
        description: one sentence, or "".
        direction: which way is better; None where nobody said.
        objective: whether the search optimised it.
    """

    name: str
    unit: str
    description: str
    direction: Direction | None
    objective: bool


@dataclass(frozen=True)
class ReportData:
    """All candidates, column by column. `values[f][i]` is field `f` of candidate `i`, rounded to six figures."""

    view: SearchView
    fields: tuple[Field, ...]
    values: tuple[tuple[Number, ...], ...]
    errors: tuple[tuple[Number, ...] | None, ...]

    @cached_property
    def index(self) -> Mapping[str, int]:
        """Position of each candidate by id."""
        return {candidate.id: i for i, candidate in enumerate(self.view.candidates)}

    @cached_property
    def front(self) -> tuple[int, ...]:
        """Positions of the front's members, best first objective first."""
        return tuple(self.index[identity] for identity in self.view.front if identity in self.index)

    @cached_property
    def infeasible(self) -> frozenset[int]:
        """Positions of scored candidates that break a constraint."""
        return frozenset(i for i, candidate in enumerate(self.view.candidates) if candidate.violation > 0)

    def field(self, name: str) -> int | None:
        """Return the position of a field, or None."""
        return next((i for i, field in enumerate(self.fields) if field.name == name), None)

    @property
    def objectives(self) -> range:
        """Positions of the objectives' fields."""
        return range(len(self.view.spec.objectives))


EVALUATION = Field("number", "1", "Order of proposal, from 1.", None, False)


def report_data(view: SearchView) -> ReportData:
    """Collect the fields: objectives, then the other metrics, then timings, then the order of proposal."""
    fields: list[Field] = []
    values: list[tuple[Number, ...]] = []
    errors: list[tuple[Number, ...] | None] = []

    def add(field: Field, column: list[float | None], spread: list[float | None] | None = None) -> None:
        fields.append(field)
        values.append(tuple(_rounded(value) for value in column))
        known = spread is not None and any(value is not None for value in spread)
        errors.append(tuple(_rounded(value) for value in spread or ()) if known else None)

    for index, objective in enumerate(view.spec.objectives):
        known = METRICS.get(objective.metric_name)
        add(
            Field(
                objective.name,
                known.unit if known else "1",
                known.description if known else "",
                objective.direction,
                True,
            ),
            [candidate.objectives[index] for candidate in view.candidates],
            [standard_error(candidate, objective) for candidate in view.candidates],
        )
    taken = {name for objective in view.spec.objectives for name in (objective.name, objective.metric_name)}
    names = {objective.name: objective.metric_name for objective in view.spec.objectives}
    named = spec_metrics(view.spec)
    others = [name for name in metric_names(view) if name not in taken and not _of_one_seed(name, names)]
    for name in others:
        add(
            _metric_field(name, names, named),
            [candidate.metrics.get(name) for candidate in view.candidates],
            [candidate.errors.get(name) for candidate in view.candidates],
        )
    for name in sorted({name for candidate in view.candidates for name in candidate.timings} - taken - set(others)):
        add(Field(name, "s", "", Direction.MINIMIZE, False), [c.timings.get(name) for c in view.candidates])
    add(EVALUATION, [candidate.number + 1 for candidate in view.candidates])
    return ReportData(view, tuple(fields), tuple(values), tuple(errors))


def standard_error(record: CandidateRecord, objective: ObjectiveSpec) -> float | None:
    """Return the standard error of an objective, which evaluators give under its own or its metric's name."""
    return record.errors.get(objective.name, record.errors.get(objective.metric_name))


def compact_json(
    data: ReportData, *, knee: int | None, x: int, y: int, tree: Sequence[tuple[float, float]] = ()
) -> str:
    """Return what the report's script needs, as JSON that is safe inside a script element.

    Args:
        data: all candidates.
        knee: position of the knee point.
        x, y: fields on the first plot's axes.
        tree: pixel of each candidate in the family tree.
    """
    view = data.view
    states = [state.value for state in CandidateState]
    document: dict[str, Any] = {
        "fields": [
            {"name": f.name, "unit": f.unit, "about": f.description, "direction": f.direction, "objective": f.objective}
            for f in data.fields
        ],
        "values": data.values,
        "errors": data.errors,
        "id": [c.id for c in view.candidates],
        "arch": [c.arch for c in view.candidates],
        "generation": [c.generation for c in view.candidates],
        "parents": [[data.index[p] for p in c.parents if p in data.index] for c in view.candidates],
        "number": [c.number for c in view.candidates],
        "tree": [round(value) for place in tree for value in place],
        "attempts": [c.attempts for c in view.candidates],
        "states": states,
        "state": [states.index(c.state.value) for c in view.candidates],
        "infeasible": sorted(data.infeasible),
        "failure": {str(i): c.failure for i, c in enumerate(view.candidates) if c.failure},
        "front": data.front,
        "knee": knee,
        "axes": [x, y],
        "history": [[p.evaluations, _rounded(p.hypervolume), p.front_size] for p in steps(view.history)],
    }
    text = json.dumps(document, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    # No character that could end the element or start markup in it is left; JSON reads them back.
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def steps(history: tuple[HypervolumePoint, ...]) -> list[HypervolumePoint]:
    """Return the first point, the last, and those where hypervolume or front size changed."""
    return [
        point
        for i, point in enumerate(history)
        if i in (0, len(history) - 1)
        or (point.hypervolume, point.front_size) != (history[i - 1].hypervolume, history[i - 1].front_size)
    ]


def _metric_field(name: str, objectives: Mapping[str, str], named: Mapping[str, str]) -> Field:
    """Return the field of a recorded metric.

    Args:
        name: as recorded.
        objectives: metric of each objective.
        named: metric of each name that the spec gives.
    """
    found = meaning(name, named)
    if found:
        about, way = found.description, found.direction
        if name.startswith("test_") and name not in named:
            about = f"On the test split, which decides nothing: {about.replace('validation', 'test')}"
        return Field(name, found.unit, about, way, False)
    if name == SEEDS:
        return Field(name, "1", "Trainings of the same architecture with other seeds that gave values.", None, False)
    confirming = source_of(name, objectives)
    if confirming:
        objective, part = confirming
        again = METRICS.get(objectives[objective])
        said = "Mean" if part == "mean" else "Sample standard deviation"
        about = f"{said} of {objective} over trainings of the same architecture with other seeds."
        better = again.direction if again and part == "mean" else None
        return Field(name, again.unit if again else "1", about, better, False)
    before = meaning(name.removeprefix(_REFINED), named) if name.startswith(_REFINED) else None
    if before:
        return Field(name, before.unit, f"After refinement: {before.description}", before.direction, False)
    about, better = _LATER.get(_DELTA if name.startswith(f"{_DELTA}_") else name, ("", None))
    return Field(name, "1", about, better, False)


def _of_one_seed(name: str, objectives: Mapping[str, str]) -> bool:
    """Return whether it is a value of one confirming training; mean and deviation are shown, tables have them all."""
    found = source_of(name, objectives)
    return found is not None and found[1].isdigit()


def _rounded(value: float | None) -> Number:
    if value is None or not math.isfinite(value):
        return None
    if value == round(value) and abs(value) < 1e15:
        return round(value)
    return float(f"{value:.6g}")
