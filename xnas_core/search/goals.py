"""What a search is for, made from its spec: objectives as numbers to minimise, constraints, reference values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from xnas_core.api.spec import ArchitectureSearchSpec, ConstraintSpec, Direction
from xnas_core.objectives import METRICS, to_minimise
from xnas_core.spaces.base import StaticMetrics

STATIC = frozenset(name for name, metric in METRICS.items() if metric.static)


@dataclass(frozen=True, slots=True)
class Goals:
    """Objectives and constraints of one spec.

    Attributes:
        directions: of the objectives, in the spec's order.
        references: hypervolume reference values in the objectives' own sign; None: worst of the first population.
        graph_only: the graph alone gives everything that is asked, so there are no tasks.
    """

    spec: ArchitectureSearchSpec
    directions: tuple[Direction, ...]
    references: tuple[float | None, ...]
    graph_only: bool

    def static_metrics(self, static: StaticMetrics) -> dict[str, float]:
        """Return static metrics by metric name and by the name of each objective that measures one."""
        values = {"parameters": float(static.parameters), "macs": float(static.macs)}
        if self.spec.benchmark is None:
            for objective in self.spec.objectives:
                if objective.metric_name in STATIC:
                    values[objective.name] = values[objective.metric_name]
        return values

    def objectives(self, metrics: Mapping[str, float]) -> tuple[float | None, ...]:
        """Return each objective's value in its own sign; None where it is undefined."""
        return tuple(metrics.get(objective.name) for objective in self.spec.objectives)

    def minimised(self, objectives: tuple[float | None, ...]) -> tuple[float, ...] | None:
        """Return the objectives as numbers to minimise, or None if one is undefined."""
        values = [
            to_minimise(value, direction)
            for value, direction in zip(objectives, self.directions, strict=True)
            if value is not None and math.isfinite(value)
        ]
        return tuple(values) if len(values) == len(objectives) else None

    def violation(self, metrics: Mapping[str, float]) -> float:
        """Return the sum of constraint violations, each relative to its bound; infinite where a metric is undefined."""
        total = 0.0
        for constraint in self.spec.constraints:
            value = metrics.get(constraint.metric)
            if value is None:
                return math.inf
            total += _excess(constraint, value)
        return total

    def allowed(self, static: StaticMetrics) -> bool:
        """Return whether a network may be proposed: all constraints on static metrics are met."""
        values = self.static_metrics(static)
        return all(
            _excess(constraint, values[constraint.metric]) == 0
            for constraint in self.spec.constraints
            if constraint.metric in values
        )


def goals(spec: ArchitectureSearchSpec, classes: int, references: Mapping[str, float]) -> Goals:
    """Return the goals of a spec.

    Args:
        spec: the accepted spec.
        classes: number of classes, for the reference value of accuracy (1 / classes).
        references: reference values that the data give (a benchmark table's worst values), by objective.
    """

    def reference(name: str, metric: str, stated: float | None) -> float | None:
        if stated is not None:
            return stated
        if name in references:
            return references[name]
        if spec.benchmark is not None or metric not in METRICS:
            return None
        return 1.0 / classes if metric == "accuracy" else METRICS[metric].reference

    return Goals(
        spec,
        tuple(objective.direction for objective in spec.objectives),
        tuple(reference(o.name, o.metric_name, o.reference) for o in spec.objectives),
        spec.dataset is None and spec.benchmark is None,
    )


def _excess(constraint: ConstraintSpec, value: float) -> float:
    excess = 0.0
    if constraint.max is not None and value > constraint.max:
        excess += (value - constraint.max) / max(abs(constraint.max), 1e-12)
    if constraint.min is not None and value < constraint.min:
        excess += (constraint.min - value) / max(abs(constraint.min), 1e-12)
    return excess
