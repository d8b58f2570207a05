"""All metrics of a trained candidate, under the metrics' own names and under the objectives' names."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch

from xnas_core import plugins
from xnas_core.api.spec import ArchitectureSearchSpec, ObjectiveSpec
from xnas_core.errors import InvalidInputError
from xnas_core.objectives import METRICS
from xnas_evaluator.context import NonFiniteError, TaskContext
from xnas_evaluator.networks.build import GraphNetwork
from xnas_evaluator.objectives.interface import Measurement, Objective
from xnas_evaluator.objectives.introspectability import IntrospectabilitySettings
from xnas_evaluator.objectives.latency import LatencySettings, latency_ms
from xnas_evaluator.objectives.validation import Scores, score
from xnas_evaluator.training.device_data import DeviceData, DevicePart
from xnas_evaluator.training.settings import Arithmetic

GAP_SAMPLES = 10_000
"""At most so many training samples, evenly spread, for the training accuracy in generalization_gap."""

_INTROSPECTABILITY = "introspectability"
_LATENCY = "latency_ms"


@dataclass(frozen=True)
class Plan:
    """What is measured, parsed and checked before training starts.

    Attributes:
        introspectability: settings of the recorded metric: the first objective's that names it, else the defaults.
        latency: likewise.
        latency_matters: it is an objective or a constraint, so the exclusive moment is worth waiting for.
        objectives: the spec's.
        plugins: instances by metric name.
    """

    introspectability: IntrospectabilitySettings
    latency: LatencySettings
    latency_matters: bool
    objectives: tuple[ObjectiveSpec, ...]
    plugins: Mapping[str, Objective]


@dataclass(frozen=True)
class Measured:
    """Values and their standard errors, by name."""

    metrics: dict[str, float]
    errors: dict[str, float]


def plan(spec: ArchitectureSearchSpec) -> Plan:
    """Check the objectives and load their plug-ins.

    Raises:
        InvalidInputError: an unknown metric or parameter.
    """
    first: dict[str, ObjectiveSpec] = {}
    for objective in spec.objectives:
        first.setdefault(objective.metric_name, objective)
        if objective.metric_name == _INTROSPECTABILITY:
            IntrospectabilitySettings.parse(objective.parameters)
        elif objective.metric_name == _LATENCY:
            LatencySettings.parse(objective.parameters)
        elif objective.metric_name in METRICS and objective.parameters:
            raise InvalidInputError(f"objective {objective.name!r}: {objective.metric_name} takes no parameters")
    names = {constraint.metric for constraint in spec.constraints} - {o.name for o in spec.objectives}
    loaded = {name: _plugin(name) for name in sorted({*first, *names} - set(METRICS))}
    parameters = {name: objective.parameters for name, objective in first.items()}
    return Plan(
        IntrospectabilitySettings.parse(parameters.get(_INTROSPECTABILITY, {})),
        LatencySettings.parse(parameters.get(_LATENCY, {})),
        _LATENCY in first or _LATENCY in names,
        tuple(spec.objectives),
        loaded,
    )


def _plugin(name: str) -> Objective:
    plugin: Objective = plugins.load(plugins.PluginKind.OBJECTIVE, name)()
    if plugin.metric.name != name:
        raise InvalidInputError(
            f"objective plug-in {name!r} calls its metric {plugin.metric.name!r}; the two names have to be equal"
        )
    return plugin


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
        InvalidInputError: a plug-in refused its parameters.
    """
    network.eval()
    settings = plan.introspectability
    scores = score(network, data.validation, data, arithmetic, settings.layers, settings.max_samples)
    metrics: dict[str, float | None] = {
        "accuracy": scores.accuracy,
        "loss": scores.loss,
        "introspectability_true_class": scores.introspectability_true_class,
        "introspectability_predicted_class": scores.introspectability_predicted_class,
        _INTROSPECTABILITY: _grouped(scores, settings),
        "parameters": network.graph.parameters,
        "macs": network.graph.macs,
        "train_seconds": train_seconds,
        "generalization_gap": _train_accuracy(network, data, arithmetic) - scores.accuracy,
    }
    errors = {"accuracy": scores.accuracy_error, "loss": scores.loss_error}
    metrics[_LATENCY] = _latency(context, network, arithmetic, plan.latency, exclusive=plan.latency_matters)
    view = Measurement(network, data, arithmetic, {}, _defined(metrics), context)
    named = {objective.metric_name: objective.parameters for objective in reversed(plan.objectives)}
    for name, plugin in plan.plugins.items():
        metrics[name] = plugin.measure(replace(view, parameters=named.get(name, {})))
    for objective in plan.objectives:
        metrics[objective.name] = _objective(objective, plan, metrics, scores, view)
        if objective.metric_name in errors:
            errors[objective.name] = errors[objective.metric_name]
    return Measured(_defined(metrics), errors)


def _objective(
    objective: ObjectiveSpec, plan: Plan, metrics: Mapping[str, float | None], scores: Scores, view: Measurement
) -> float | None:
    """Return an objective's value; measured again only where its parameters differ from what was recorded."""
    name = objective.metric_name
    if name == _INTROSPECTABILITY:
        settings = IntrospectabilitySettings.parse(objective.parameters)
        recorded = plan.introspectability
        if (settings.layers, settings.max_samples) != (recorded.layers, recorded.max_samples):
            part = view.data.validation
            scores = score(view.network, part, view.data, view.arithmetic, settings.layers, settings.max_samples)
        return _grouped(scores, settings)
    if name == _LATENCY and LatencySettings.parse(objective.parameters) != plan.latency:
        settings_ = LatencySettings.parse(objective.parameters)
        return _latency(view.task, view.network, view.arithmetic, settings_, exclusive=True)
    first = next(other for other in plan.objectives if other.metric_name == name)
    if name in plan.plugins and objective.parameters != first.parameters:
        return plan.plugins[name].measure(replace(view, parameters=objective.parameters))
    return metrics[name]


def _grouped(scores: Scores, settings: IntrospectabilitySettings) -> float | None:
    if settings.group_by == "trueClass":
        return scores.introspectability_true_class
    return scores.introspectability_predicted_class


def _train_accuracy(network: GraphNetwork, data: DeviceData, arithmetic: Arithmetic) -> float:
    part = data.train
    if len(part) > GAP_SAMPLES:
        chosen = torch.arange(GAP_SAMPLES, device=part.labels.device) * len(part) // GAP_SAMPLES
        part = DevicePart(part.images[chosen], part.labels[chosen])
    return score(network, part, data, arithmetic).accuracy


def _latency(
    context: TaskContext, network: GraphNetwork, arithmetic: Arithmetic, settings: LatencySettings, *, exclusive: bool
) -> float:
    if not exclusive:
        return latency_ms(network, arithmetic, settings)
    with context.exclusive():
        return latency_ms(network, arithmetic, settings)


def _defined(metrics: Mapping[str, float | None]) -> dict[str, float]:
    """Leave out undefined values; refuse infinite ones."""
    kept = {name: float(value) for name, value in metrics.items() if value is not None}
    bad = next((name for name, value in kept.items() if not math.isfinite(value)), None)
    if bad is not None:
        raise NonFiniteError(f"the metric {bad} is {kept[bad]}")
    return kept
