"""What an objective plug-in is (entry-point group `xnas.objectives`), and what it sees.

A plug-in is a class without constructor arguments. `metric` declares name, direction and unit; `measure` is called
once for each trained candidate for each objective of the search that names it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from xnas_core.api.base import ParameterValue
from xnas_core.objectives import Metric
from xnas_evaluator.context import TaskContext
from xnas_evaluator.networks.build import GraphNetwork
from xnas_evaluator.training.device_data import DeviceData
from xnas_evaluator.training.settings import Arithmetic


@dataclass(frozen=True)
class Measurement:
    """What an objective sees of a trained candidate.

    Attributes:
        network: on the device, in eval mode; leave it as it is. Its `graph` gives names, shapes and costs.
        data: on the device; use `validation` (and `train`), never `test`.
        arithmetic: device, precision (`arithmetic.autocast()`) and memory layout.
        parameters: the objective's `parameters`; check them and raise InvalidInputError for what is wrong.
        metrics: what has been measured already (accuracy, loss ...).
        task: the task, for `progress` and `exclusive`.
    """

    network: GraphNetwork
    data: DeviceData
    arithmetic: Arithmetic
    parameters: Mapping[str, ParameterValue]
    metrics: Mapping[str, float]
    task: TaskContext


class Objective(Protocol):
    """An objective plug-in."""

    metric: Metric

    def measure(self, measurement: Measurement) -> float | None:
        """Return the value; None where it is undefined for this candidate.

        Raises:
            InvalidInputError: a parameter is wrong (the candidate fails for good; nothing is retried).
        """
        ...
