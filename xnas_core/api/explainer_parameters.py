"""Parameters of explainers: the built-in ones' declared once, a plug-in's are its arguments.

`xnas validate`, the reference page, requests and the evaluator all read them from here.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from xnas_core.api.base import ParameterValue
from xnas_core.api.declared import Kind, Parameter, Settings, UnknownParameterError, number, read, whole
from xnas_core.api.explaining import ExplainerSpec
from xnas_core.errors import InvalidInputError

_BASELINE: dict[str, Parameter] = {
    "baseline": number(
        "every pixel of the image compared with, in standard deviations from its channel's mean", 0.0, -100, 100
    )
}
_LAYER: dict[str, Parameter] = {
    "preferredSide": whole(
        "smallest height and width of the layer in pixels, where the network has such a layer", 4, 2, 1_024
    ),
    "layer": Parameter(
        "the last layer of this name, or whose name begins so up to a dot, that everything passes through; * stands "
        "for any characters; without it the last one of all",
        Kind.TEXT,
        "",
    ),
}
_ALL: dict[str, Parameter] = {
    "budgetMiB": whole("MiB of memory that a step may take beside the weights", 256, 1, 1_048_576)
}

EXPLAINER_PARAMETERS: Mapping[str, Mapping[str, Parameter]] = {
    "integratedGradients": {"steps": whole("points on the way to the image", 50, 1, 10_000), **_BASELINE, **_ALL},
    "saliency": _ALL,
    "inputXGradient": _ALL,
    "deepLift": {**_BASELINE, **_ALL},
    "gradientShap": {
        "samples": whole("draws of a noisy baseline and of a point on the way from it", 50, 1, 10_000),
        "baseline": number("centre of the baselines, in standard deviations from the channel's mean", 0.0, -100, 100),
        "baselineSpread": number("standard deviation of a baseline's pixels, in those of the channel", 1.0, 0, 100),
        **_ALL,
    },
    "gradCam": {**_LAYER, **_ALL},
    "guidedGradCam": {**_LAYER, **_ALL},
    "occlusion": {
        "window": whole(
            "side of the hidden square in pixels; without it a seventh of the image's smaller side, rounded up",
            None,
            1,
            4_096,
        ),
        "stride": whole("pixels that the window moves by; without it half of the window", None, 1, 4_096),
        "baseline": number(
            "what a hidden pixel becomes, in standard deviations from its channel's mean", 0.0, -100, 100
        ),
        **_ALL,
    },
    "layerConductance": {
        "steps": whole("points on the way to the image, both ends included", 50, 2, 10_000),
        **_BASELINE,
        **_LAYER,
        **_ALL,
    },
}
"""Parameters of the built-in explainers, by name."""


def contradiction(explainer: str, parameters: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return the parameter that does not go with another, and why; None where all go together."""
    window, stride = parameters.get("window"), parameters.get("stride")
    if explainer == "occlusion" and isinstance(window, int) and isinstance(stride, int) and stride > window:
        sentence = f"is {stride}, but must be at most the window, {window} pixels: others would never be hidden"
        return "stride", sentence
    return None


def read_built_in(explainer: str, parameters: Mapping[str, Any]) -> Settings:
    """Return a built-in explainer's settings.

    Raises:
        InvalidInputError: an unknown parameter, or a value that is not allowed or contradicts another.
    """
    settings = read(explainer, EXPLAINER_PARAMETERS[explainer], parameters)
    if (found := contradiction(explainer, parameters)) is not None:
        raise InvalidInputError(f"{explainer}: {found[0]} {found[1]}")
    return settings


def arguments(factory: Callable[..., object]) -> list[str] | None:
    """Return the keyword arguments that a plug-in takes; None where it takes any, or does not tell."""
    try:
        found = inspect.signature(factory).parameters.values()
    except (TypeError, ValueError):
        return None
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in found):
        return None
    return [p.name for p in found if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]


def make_plug_in(explainer: str, factory: Callable[..., Any], parameters: Mapping[str, Any]) -> Any:
    """Return a plug-in's explainer; its parameters are its keyword arguments, as they are written.

    Raises:
        InvalidInputError: it does not take a parameter, or refuses its value.
    """
    if not parameters:
        return factory()
    known = arguments(factory)
    if known is not None:
        for name in parameters:
            if name not in known:
                raise UnknownParameterError(explainer, name, known)
    try:
        return factory(**parameters)
    except InvalidInputError:
        raise
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidInputError(f"{explainer} refuses its parameters: {error}") from error


def by_name(explainers: Sequence[ExplainerSpec]) -> dict[str, dict[str, ParameterValue]]:
    """Return the parameters of each explainer that has any."""
    return {item.name: dict(item.parameters) for item in explainers if item.parameters}


def merged(
    first: Mapping[str, Mapping[str, ParameterValue]], second: Mapping[str, Mapping[str, ParameterValue]]
) -> dict[str, dict[str, ParameterValue]]:
    """Return the parameters of both by explainer; where both give one, that of the second."""
    return {name: {**first.get(name, {}), **second.get(name, {})} for name in dict.fromkeys((*first, *second))}
