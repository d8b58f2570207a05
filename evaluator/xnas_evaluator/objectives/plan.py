"""Which measures a search asks for, under which names and parameters: read and checked before training starts."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from xnas_core import plugins
from xnas_core.api.base import ParameterValue
from xnas_core.api.declared import Kind
from xnas_core.api.explainer_parameters import by_name
from xnas_core.api.metric_parameters import METRIC_PARAMETERS, read_parameters
from xnas_core.api.spec import ArchitectureSearchSpec
from xnas_core.errors import InvalidInputError
from xnas_core.objectives import FUTILE, METRICS
from xnas_evaluator.explain.configured import check
from xnas_evaluator.objectives.interface import Checking, Objective
from xnas_evaluator.objectives.introspectability import IntrospectabilitySettings
from xnas_evaluator.objectives.latency import LatencySettings

INTROSPECTABILITY = "introspectability"
LATENCY = "latency_ms"
LIVE = "introspectability_live"


@dataclass(frozen=True)
class Request:
    """A value that is recorded.

    Attributes:
        name: under which name.
        metric: what is measured.
        parameters: of the metric, as written.
    """

    name: str
    metric: str
    parameters: Mapping[str, ParameterValue]

    @property
    def key(self) -> tuple[str, str]:
        """Equal for requests that give the same value: metric, and parameters with defaults filled in."""
        known = METRIC_PARAMETERS.get(self.metric)
        defaults = {name: about.default for name, about in known.items()} if known else {}
        return self.metric, json.dumps({**defaults, **self.parameters}, sort_keys=True)


@dataclass(frozen=True)
class Plan:
    """What is measured.

    Attributes:
        introspectability: settings of the recorded metric: those under which it is first named, else the defaults.
        latency: likewise.
        latency_matters: it is asked for, so the exclusive moment is worth waiting for.
        requests: a value each: metrics under their own names first, then as objectives and `metrics` name them.
        measures: by metric name, built-in and plug-ins.
        unpruned: the space builds what does not reach the output, so introspectability comes with its futile share.
    """

    introspectability: IntrospectabilitySettings
    latency: LatencySettings
    latency_matters: bool
    requests: tuple[Request, ...]
    measures: Mapping[str, Objective]
    unpruned: bool

    @property
    def guarded(self) -> bool:
        """Whether live activations are looked for."""
        return self.unpruned or any(request.metric in (LIVE, FUTILE) for request in self.requests)


def plan(spec: ArchitectureSearchSpec) -> Plan:
    """Check what is asked for and load it.

    Raises:
        InvalidInputError: an unknown metric, parameter or explainer, a wrong parameter of an explainer, or something
            that a measure needs is not there.
    """
    asked = [Request(o.name, o.metric_name, o.parameters) for o in spec.objectives]
    asked += [Request(m.name, m.metric_name, m.parameters) for m in spec.metrics]
    first: dict[str, Request] = {}
    for request in asked:
        first.setdefault(request.metric, Request(request.metric, request.metric, request.parameters))
    names = {request.name for request in asked}
    bounded = [constraint.metric for constraint in spec.constraints if constraint.metric not in names]
    for metric in bounded:
        # A bound on the share is one on that of the recorded introspectability.
        like = first.get(INTROSPECTABILITY) if metric == FUTILE else None
        first.setdefault(metric, Request(metric, metric, like.parameters if like else {}))
    requests = (*first.values(), *asked)
    measures = {metric: found for metric in first if (found := _load(metric)) is not None}
    _check(requests, measures)
    for name, parameters in by_name(spec.explainers).items():
        if name in plugins.names(plugins.PluginKind.EXPLAINER):
            check(name, parameters)
    latency = first[LATENCY].parameters if LATENCY in first else {}
    return Plan(
        recorded_introspectability(spec),
        LatencySettings.parse(latency),
        LATENCY in first,
        requests,
        measures,
        spec.search_space.parameters.get("prune") is False,
    )


def recorded_introspectability(spec: ArchitectureSearchSpec) -> IntrospectabilitySettings:
    """Return the settings of the introspectability that is recorded: those under which it is first named, or defaults.

    What is made of a candidate later (diagnosis, refinement) takes the same, so that values compare.

    Raises:
        InvalidInputError: a parameter is wrong.
    """
    named = [(o.metric_name, o.parameters) for o in spec.objectives]
    named += [(m.metric_name, m.parameters) for m in spec.metrics]
    return IntrospectabilitySettings.parse(next((given for name, given in named if name == INTROSPECTABILITY), {}))


def _load(metric: str) -> Objective | None:
    """Return the measure, or None for what every evaluation records without one."""
    if metric in METRICS and metric not in plugins.names(plugins.PluginKind.OBJECTIVE):
        return None
    found: Objective = plugins.load(plugins.PluginKind.OBJECTIVE, metric)()
    if found.metric.name != metric:
        raise InvalidInputError(
            f"objective plug-in {metric!r} calls its metric {found.metric.name!r}; the two names have to be equal"
        )
    return found


def _check(requests: Sequence[Request], measures: Mapping[str, Objective]) -> None:
    for request in requests:
        measure = measures.get(request.metric)
        if request.metric in METRICS:
            settings = read_parameters(request.metric, request.parameters)
            for name, about in METRIC_PARAMETERS.get(request.metric, {}).items():
                if about.kind is Kind.EXPLAINER:
                    plugins.load(plugins.PluginKind.EXPLAINER, settings.word(name))
        if isinstance(measure, Checking):
            measure.check(request.parameters)
