"""What a measure is, built-in or plug-in (entry-point group `xnas.objectives`), and what it sees.

A measure is a class without constructor arguments. `metric` declares name, direction and unit; `measure` is called
once for each trained candidate and each set of parameters under which a search names it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from xnas_core.api.base import ParameterValue
from xnas_core.objectives import Metric
from xnas_evaluator.context import TaskContext
from xnas_evaluator.networks.build import GraphNetwork
from xnas_evaluator.objectives.estimates import Estimate
from xnas_evaluator.objectives.shared import Shared
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
        shared: passes, samples and attributions that other measures need as well.
    """

    network: GraphNetwork
    data: DeviceData
    arithmetic: Arithmetic
    parameters: Mapping[str, ParameterValue]
    metrics: Mapping[str, float]
    task: TaskContext
    shared: Shared

    def alive(self) -> None:
        """Give a sign of life, now and then in what may take minutes.

        Raises:
            TaskCancelledError: the attempt is not wanted any more.
        """
        epochs = self.task.spec.training.epochs
        self.task.progress(epochs, epochs, "measuring")


class Objective(Protocol):
    """A measure."""

    metric: Metric

    def measure(self, measurement: Measurement) -> Estimate | float | None:
        """Return the value, with its standard error where there is one; None where it is undefined for this candidate.

        Raises:
            InvalidInputError: a parameter is wrong (the candidate fails for good; nothing is retried).
        """
        ...


@runtime_checkable
class Checking(Protocol):
    """A measure that can tell before training that it will not be possible."""

    def check(self, parameters: Mapping[str, ParameterValue]) -> None:
        """Raise InvalidInputError if a parameter is wrong, or something that it needs is not there."""
        ...


@runtime_checkable
class Guarded(Protocol):
    """A measure of activations that can say how much of its value is owed to futile ones."""

    def futile_share(self, measurement: Measurement) -> Estimate:
        """Return that share, 0 to 1, for the same parameters."""
        ...
