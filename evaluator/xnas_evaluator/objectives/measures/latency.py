"""Latency of one forward pass."""

from __future__ import annotations

from xnas_core.objectives import METRICS
from xnas_evaluator.objectives.estimates import Estimate
from xnas_evaluator.objectives.interface import Measurement
from xnas_evaluator.objectives.latency import LatencySettings, latency_ms


class Latency:
    """Median milliseconds of one forward pass of one batch, in the evaluator's exclusive moment.

    Range: above 0. Direction: minimize. Hypervolume reference: the first population's worst.
    Standard error: none; it measures time, so it is outside the promise of protocol.md §1.
    Cost: `warmUp` + `repeats` passes of a batch, while no other worker of the evaluator computes.
    """

    metric = METRICS["latency_ms"]

    def measure(self, measurement: Measurement) -> Estimate:
        """Return the value."""
        settings = LatencySettings.parse(measurement.parameters)
        with measurement.task.exclusive():
            return Estimate(latency_ms(measurement.network, measurement.arithmetic, settings))
