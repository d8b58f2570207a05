"""What a spec says about one search, in the form the engine computes with: objectives, constraints, sizes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from xnas_core.api.explaining import ExplanationScope
from xnas_core.api.spec import AlgorithmName, ArchitectureSearchSpec, ConstraintSpec, Mode
from xnas_core.objectives import METRICS, to_minimise
from xnas_core.spaces.base import DataShape, Genes, SearchSpace

STATIC = frozenset(name for name, metric in METRICS.items() if metric.static)
"""Metrics that the graph alone gives."""

Values = tuple[float, ...]
"""Value of each objective, sign turned so that smaller is better (`objectives.to_minimise`)."""


def parse_spec(document: Mapping[str, Any]) -> ArchitectureSearchSpec:
    """Return the spec of a JSON document; raise pydantic.ValidationError. Strict models read JSON, not Python."""
    return ArchitectureSearchSpec.model_validate_json(orjson.dumps(document))


class Problem:
    """The part of a search that never changes.

    Args:
        spec: the accepted spec.
        shape: of the data.
        references: hypervolume reference values by metric that the data determine, in the metric's own sign.
    """

    def __init__(self, spec: ArchitectureSearchSpec, shape: DataShape, references: Mapping[str, float]) -> None:
        self.seed = spec.seed
        self.objectives = tuple(spec.objectives)
        self.population_size = spec.algorithm.population_size
        self.generational = spec.algorithm.mode is Mode.GENERATIONAL
        self.random = spec.algorithm.name is AlgorithmName.RANDOM
        self.benchmark = spec.benchmark is not None
        self.graph_only = spec.dataset is None and not self.benchmark
        """Candidates are complete when proposed: there is nothing to train and no table to ask."""
        self.fidelity = 0 if self.benchmark else spec.training.epochs
        self.finalised = not self.benchmark and not self.graph_only
        self.confirmations = spec.confirmation.seeds if self.finalised and spec.confirmation is not None else 0
        self.finalise_all = spec.explanations.scope is ExplanationScope.ALL
        on_static = [] if self.benchmark else [c for c in spec.constraints if self._static_name(c.metric)]
        self._static_constraints = tuple((self._static_name(c.metric), c) for c in on_static)
        self._measured_constraints = tuple(c for c in spec.constraints if c not in on_static)
        self.known_reference = tuple(self._reference(index, shape, references) for index in range(len(self.objectives)))
        """Reference value of each objective (minimised), or None where the first population decides."""

    def _static_name(self, name: str) -> str | None:
        """Return the static metric behind a constraint's metric, which may be the name of an objective."""
        metric = next((o.metric_name for o in self.objectives if o.name == name), name)
        return metric if metric in STATIC else None

    def _reference(self, index: int, shape: DataShape, references: Mapping[str, float]) -> float | None:
        objective = self.objectives[index]
        value = objective.reference
        if value is None:
            value = references.get(objective.name, references.get(objective.metric_name))
        if value is None and not self.benchmark:
            known = METRICS.get(objective.metric_name)
            value = 1 / shape.classes if objective.metric_name == "accuracy" else known.reference if known else None
        return None if value is None else to_minimise(value, objective.direction)

    def reference(self, first: Sequence[Values]) -> npt.NDArray[np.float64]:
        """Return the hypervolume's reference point, minimised: what is known, else the worst of these values."""
        worst = np.asarray(first, dtype=np.float64).max(axis=0) if len(first) else self.known_reference
        known = [w if k is None else k for k, w in zip(self.known_reference, worst, strict=True)]
        return np.asarray(known, dtype=np.float64)

    def values(self, metrics: Mapping[str, float]) -> Values | None:
        """Return the objectives' values, minimised, or None if one is undefined (absent) or not finite.

        An objective's value stands under its own name, or, where there is none, under its metric's.
        """
        values = []
        for objective in self.objectives:
            value = self._look_up(metrics, objective.name)
            if value is None or not math.isfinite(value):
                return None
            values.append(to_minimise(float(value), objective.direction))
        return tuple(values)

    def _look_up(self, metrics: Mapping[str, float], name: str) -> float | None:
        if name not in metrics:
            name = next((o.metric_name for o in self.objectives if o.name == name), name)
        return metrics.get(name)

    def own_sign(self, values: Values) -> tuple[float, ...]:
        """Inverse of the sign rule."""
        return tuple(to_minimise(v, o.direction) for v, o in zip(values, self.objectives, strict=True))

    def violation(self, metrics: Mapping[str, float]) -> float | None:
        """Return the sum of violations of measured constraints, relative to their bounds; None if one is undefined."""
        total = 0.0
        for constraint in self._measured_constraints:
            value = self._look_up(metrics, constraint.metric)
            if value is None or not math.isfinite(value):
                return None
            total += _excess(constraint, value)
        return total

    def allowed(self, parameters: int, macs: int) -> bool:
        """Return whether the constraints on static metrics are met: only such candidates are proposed."""
        static = {"parameters": parameters, "macs": macs}
        return all(name is None or _excess(c, static[name]) == 0 for name, c in self._static_constraints)

    def identity(self, space: SearchSpace, genes: Genes) -> str:
        """Return what makes a candidate: its network, or, where a table answers, its row (protocol.md §2)."""
        return space.encoding(genes) if self.benchmark else space.identity(genes)


def _excess(constraint: ConstraintSpec, value: float) -> float:
    """Return how far a value lies outside, relative to the bound it breaks (to 1 where that is 0)."""
    if constraint.max is not None and value > constraint.max:
        return (value - constraint.max) / (abs(constraint.max) or 1.0)
    if constraint.min is not None and value < constraint.min:
        return (constraint.min - value) / (abs(constraint.min) or 1.0)
    return 0.0
