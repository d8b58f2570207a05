"""All metrics of a trained candidate, under the metrics' own names and under those that the search gives them."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import torch

from xnas_core.api.explainer_parameters import by_name
from xnas_core.api.metric_parameters import METRIC_PARAMETERS
from xnas_core.objectives import futile_share_of
from xnas_evaluator.context import NonFiniteError, TaskContext
from xnas_evaluator.explain.base import NotApplicableError
from xnas_evaluator.networks.build import GraphNetwork
from xnas_evaluator.objectives.ablation import AblationSettings
from xnas_evaluator.objectives.estimates import UNDEFINED, Estimate
from xnas_evaluator.objectives.futile import distance_estimate, share_estimate
from xnas_evaluator.objectives.interface import Guarded, Measurement
from xnas_evaluator.objectives.introspectability import GroupBy
from xnas_evaluator.objectives.latency import latency_ms
from xnas_evaluator.objectives.plan import INTROSPECTABILITY, LATENCY, Plan, plan
from xnas_evaluator.objectives.shared import Shared
from xnas_evaluator.objectives.validation import Scores, score
from xnas_evaluator.training.device_data import DeviceData, DevicePart
from xnas_evaluator.training.settings import Arithmetic

__all__ = ["GAP_SAMPLES", "Measured", "Plan", "measure", "plan"]

GAP_SAMPLES = 10_000
"""At most so many training samples, evenly spread, for the training accuracy in generalization_gap."""
_ABLATION = "ablation"
_GROUPINGS: Mapping[str, GroupBy] = {
    "introspectability_true_class": "trueClass",
    "introspectability_predicted_class": "predictedClass",
}


@dataclass(frozen=True)
class Measured:
    """Values and their standard errors, by name.

    Attributes:
        seconds: of each measure that was asked for, by metric; and of looking for live activations (`ablation`).
    """

    metrics: dict[str, float]
    errors: dict[str, float]
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def fixed_seconds(self) -> float:
        """Seconds of what works on a number of samples of its own, however many the validation split has."""
        own = (name for name in self.seconds if "samplesPerClass" in METRIC_PARAMETERS.get(name, {}))
        return sum(self.seconds[name] for name in (*own, *({_ABLATION} & self.seconds.keys())))


def measure(
    context: TaskContext,
    plan: Plan,
    network: GraphNetwork,
    data: DeviceData,
    arithmetic: Arithmetic,
    train_seconds: float,
) -> Measured:
    """Measure everything on a trained network; it is left in eval mode.

    Raises:
        NonFiniteError: a class score or a metric is infinite or NaN.
        InvalidInputError: a measure refused its parameters.
        TaskCancelledError: the attempt is not wanted any more.
    """
    network.eval()
    shared = Shared(network, data, arithmetic, context.spec.seed, by_name(context.spec.explainers))
    settings = plan.introspectability
    started = time.perf_counter()
    live = shared.live(settings.layers, AblationSettings()) if plan.guarded else None
    looked = {_ABLATION: time.perf_counter() - started} if plan.guarded else {}
    found = _always(shared.scores(settings, live), network, data, arithmetic, train_seconds)
    found[INTROSPECTABILITY] = found[
        "introspectability_true_class" if settings.group_by == "trueClass" else "introspectability_predicted_class"
    ]
    if not plan.latency_matters:
        found[LATENCY] = Estimate(latency_ms(network, arithmetic, plan.latency))
    if plan.unpruned:
        scores = shared.scores(settings, live)
        for name, group_by in _GROUPINGS.items():
            share = share_estimate(scores.distances[group_by], scores.live_distances[group_by])
            found[futile_share_of(name)] = share
            if group_by == settings.group_by:
                found[futile_share_of(INTROSPECTABILITY)] = share
    view = Measurement(network, data, arithmetic, {}, _defined(found), context, shared)
    seconds = _requested(plan, view, found)
    values = _defined(found)
    errors = {name: estimate.error for name, estimate in found.items() if estimate.error is not None}
    return Measured(values, {name: error for name, error in errors.items() if name in values}, looked | seconds)


def _always(
    scores: Scores, network: GraphNetwork, data: DeviceData, arithmetic: Arithmetic, train_seconds: float
) -> dict[str, Estimate]:
    """Return what every evaluation records."""
    trained = _train_scores(network, data, arithmetic)
    gap_error = math.hypot(trained.accuracy_error, scores.accuracy_error)
    return {
        "accuracy": Estimate(scores.accuracy, scores.accuracy_error),
        "loss": Estimate(scores.loss, scores.loss_error),
        "parameters": Estimate(network.graph.parameters),
        "macs": Estimate(network.graph.macs),
        "train_seconds": Estimate(train_seconds),
        "generalization_gap": Estimate(trained.accuracy - scores.accuracy, gap_error),
        **{name: distance_estimate(scores.distances[group_by]) for name, group_by in _GROUPINGS.items()},
    }


def _requested(plan: Plan, view: Measurement, found: dict[str, Estimate]) -> dict[str, float]:
    """Add what is asked for to `found`; equal requests are measured once. Return seconds by metric."""
    seconds: dict[str, float] = {}
    made: dict[tuple[str, str], Estimate] = {}
    asked = {request.name for request in plan.requests}
    for request in plan.requests:
        measure = plan.measures.get(request.metric)
        if measure is None:
            found[request.name] = found[request.metric]
            continue
        if request.key not in made:
            epochs = view.task.spec.training.epochs
            view.task.progress(epochs, epochs, f"measuring {request.metric}")
            started = time.perf_counter()
            seen = replace(view, parameters=request.parameters, metrics=_defined(found))
            made[request.key] = _estimate(measure.measure, seen)
            seconds[request.metric] = seconds.get(request.metric, 0.0) + time.perf_counter() - started
        found[request.name] = made[request.key]
        guard = futile_share_of(request.name)
        if plan.unpruned and isinstance(measure, Guarded) and guard not in asked:
            found[guard] = _estimate(measure.futile_share, replace(view, parameters=request.parameters))
    return seconds


def _estimate(measured: Callable[[Measurement], Estimate | float | None], view: Measurement) -> Estimate:
    try:
        value = measured(view)
    except NotApplicableError:
        return UNDEFINED
    return value if isinstance(value, Estimate) else Estimate(value)


def _train_scores(network: GraphNetwork, data: DeviceData, arithmetic: Arithmetic) -> Scores:
    part = data.train
    if len(part) > GAP_SAMPLES:
        chosen = torch.arange(GAP_SAMPLES, device=part.labels.device) * len(part) // GAP_SAMPLES
        part = DevicePart(part.images[chosen], part.labels[chosen])
    return score(network, part, data, arithmetic)


def _defined(found: Mapping[str, Estimate]) -> dict[str, float]:
    """Leave out undefined values; refuse infinite ones."""
    kept = {name: float(estimate.value) for name, estimate in found.items() if estimate.value is not None}
    bad = next((name for name, value in kept.items() if not math.isfinite(value)), None)
    if bad is not None:
        raise NonFiniteError(f"the metric {bad} is {kept[bad]}")
    return kept
