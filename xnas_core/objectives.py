"""Metrics and objectives: names, directions, units, the one sign rule, constraints, hypervolume reference.

The sign rule: the engine minimises. `to_minimise` is the only place where a direction becomes a sign.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from xnas_core.api.spec import Direction


@dataclass(frozen=True, slots=True)
class Metric:
    """A quantity that is recorded for a candidate.

    Attributes:
        name: its name in results, tables and constraints.
        direction: which way is better.
        unit: "1" for a pure number.
        static: computed from the graph, before training.
        measures_time: differs between two runs, so the promise (protocol.md §1) excludes it.
        reference: default hypervolume reference value; None: taken from the data (`accuracy`: 1 / classes) or
            from the first population's worst value.
        description: one sentence, for reports and docs.
    """

    name: str
    direction: Direction
    unit: str
    static: bool
    measures_time: bool
    reference: float | None
    description: str


def _metric(
    name: str,
    direction: Direction,
    unit: str,
    reference: float | None,
    description: str,
    *,
    static: bool = False,
    measures_time: bool = False,
) -> tuple[str, Metric]:
    return name, Metric(name, direction, unit, static, measures_time, reference, description)


_UP, _DOWN = Direction.MAXIMIZE, Direction.MINIMIZE

METRICS: Mapping[str, Metric] = dict(
    (
        _metric("accuracy", _UP, "1", None, "Share of validation samples classified correctly."),
        _metric("loss", _DOWN, "nat", None, "Mean cross-entropy over the validation split."),
        _metric(
            "introspectability",
            _UP,
            "1",
            0.0,
            "Mean cosine distance between class-mean activations (Carmichael et al. 2023).",
        ),
        _metric("parameters", _DOWN, "1", None, "Trainable parameters.", static=True),
        _metric("macs", _DOWN, "1", None, "Multiply-accumulates of one forward pass of one sample.", static=True),
        _metric("latency_ms", _DOWN, "ms", None, "Median time of one forward pass of one batch.", measures_time=True),
        _metric("train_seconds", _DOWN, "s", None, "Time to train, all attempts together.", measures_time=True),
        _metric("generalization_gap", _DOWN, "1", None, "Training accuracy minus validation accuracy, after training."),
    )
)
"""Built-in metrics. Plug-in objectives declare theirs (entry-point group `xnas.objectives`)."""


def to_minimise(value: float, direction: Direction) -> float:
    """Return the value with the sign under which smaller is better."""
    return -value if direction is Direction.MAXIMIZE else value
