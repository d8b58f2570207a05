"""Parameters of the built-in metrics: names, kinds and bounds. The evaluator applies the defaults."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class MetricParameter:
    """One parameter: either one of `choices`, or a whole number from `low` to `high`."""

    description: str
    choices: tuple[str, ...] = ()
    low: int = 0
    high: int = 0

    def wrong(self, value: Any) -> str | None:
        """Return what is wrong with a value, or None."""
        if self.choices:
            return None if value in self.choices else f"must be {' or '.join(self.choices)}"
        whole = isinstance(value, int) and not isinstance(value, bool)
        return (
            None if whole and self.low <= value <= self.high else f"must be a whole number {self.low} to {self.high:,}"
        )

    @property
    def allowed(self) -> str:
        """What is allowed, for the reference."""
        return " or ".join(self.choices) if self.choices else f"{self.low:,} to {self.high:,}"


METRIC_PARAMETERS: Mapping[str, Mapping[str, MetricParameter]] = {
    "introspectability": {
        "groupBy": MetricParameter(
            "classes that activations are averaged over; predictedClass by default", ("trueClass", "predictedClass")
        ),
        "layers": MetricParameter(
            "outputs that count as activations; convolutionsAndActivations by default",
            ("all", "convolutionsAndActivations"),
        ),
        "maxSamples": MetricParameter("validation samples used at most; 25,000 by default", low=2, high=10_000_000),
    },
    "latency_ms": {
        "batchSize": MetricParameter("samples in a batch; 1 by default", low=1, high=65_536),
        "repeats": MetricParameter("passes that the median is taken over; 20 by default", low=1, high=10_000),
        "warmUp": MetricParameter("passes before them; 5 by default", low=0, high=10_000),
    },
}
"""Parameters by metric. Metrics that are not listed take none; those of plug-ins are checked by the plug-in."""
