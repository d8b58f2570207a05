"""Explainers by name, with the parameters that a search or a request gives them."""

from __future__ import annotations

from collections.abc import Mapping

from xnas_core.api.base import ParameterValue
from xnas_core.api.explainer_parameters import EXPLAINER_PARAMETERS, make_plug_in, read_built_in
from xnas_core.plugins import PluginKind, load
from xnas_evaluator.explain.base import Explainer

_ARGUMENTS = {
    "steps": "n_steps",
    "samples": "n_samples",
    "baselineSpread": "baseline_spread",
    "preferredSide": "preferred_side",
}
_BUDGET = "budgetMiB"


def configured(name: str, parameters: Mapping[str, ParameterValue]) -> Explainer:
    """Return an explainer with its parameters.

    Args:
        name: of a built-in explainer or a plug-in.
        parameters: what a spec or a request says; what is left out has its default.

    Raises:
        UnknownNameError: there is no such explainer.
        InvalidInputError: a parameter is unknown or wrong.
    """
    factory = load(PluginKind.EXPLAINER, name)
    if name not in EXPLAINER_PARAMETERS:
        plug_in: Explainer = make_plug_in(name, factory, parameters)
        return plug_in
    settings = read_built_in(name, parameters)
    arguments = {_ARGUMENTS.get(key, key): value for key, value in parameters.items() if key != _BUDGET}
    if _BUDGET in parameters:
        arguments["budget_bytes"] = settings.whole(_BUDGET) * 2**20
    built_in: Explainer = factory(**arguments)
    return built_in


def check(name: str, parameters: Mapping[str, ParameterValue]) -> None:
    """Raise InvalidInputError if a parameter is unknown or wrong; a built-in explainer is not imported for it."""
    if name in EXPLAINER_PARAMETERS:
        read_built_in(name, parameters)
    elif parameters:
        configured(name, parameters)
