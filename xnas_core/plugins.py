"""Plug-ins by Python entry point: spaces, data sets, objectives, explainers.

Built-in ones are registered the same way (a table of `module:attribute` here, so that nothing
is imported before it is used and the agent stays free of torch).
"""

from __future__ import annotations

import difflib
import sys
from enum import StrEnum
from functools import lru_cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from xnas_core.errors import UnknownNameError


class PluginKind(StrEnum):
    """Entry-point groups."""

    SPACE = "xnas.spaces"
    DATASET = "xnas.datasets"
    OBJECTIVE = "xnas.objectives"
    EXPLAINER = "xnas.explainers"


_BUILT_IN: dict[PluginKind, dict[str, str]] = {
    PluginKind.SPACE: {
        "nas-bench-201": "xnas_core.spaces.nas_bench_201:NasBench201",
        "mobile": "xnas_core.spaces.mobile:Mobile",
    },
    PluginKind.DATASET: {
        name: f"xnas_evaluator.datasets.{module}:{attribute}"
        for name, module, attribute in (
            ("digits", "digits", "load"),
            ("lines", "lines", "load"),
            ("mnist", "idx", "load_mnist"),
            ("fashion-mnist", "idx", "load_fashion_mnist"),
            ("cifar10", "cifar10", "load"),
        )
    },
    PluginKind.OBJECTIVE: {
        name: f"xnas_evaluator.objectives.measures.{module}:{attribute}"
        for name, module, attribute in (
            ("introspectability", "introspectability", "Introspectability"),
            ("introspectability_weighted", "introspectability_weighted", "IntrospectabilityWeighted"),
            ("introspectability_live", "introspectability_live", "IntrospectabilityLive"),
            ("futile_share", "futile_share", "FutileShare"),
            ("infidelity", "infidelity", "Infidelity"),
            ("max_sensitivity", "max_sensitivity", "MaxSensitivity"),
            ("sparsity", "sparsity", "Sparsity"),
            ("explainer_agreement", "explainer_agreement", "ExplainerAgreement"),
            ("completeness_error", "completeness_error", "CompletenessError"),
            ("randomization_sanity", "randomization_sanity", "RandomizationSanity"),
            ("expected_calibration_error", "expected_calibration_error", "ExpectedCalibrationError"),
            ("activation_calibration", "activation_calibration", "ActivationCalibration"),
            ("adversarial_accuracy", "adversarial_accuracy", "AdversarialAccuracy"),
            ("latency_ms", "latency", "Latency"),
        )
    },
    PluginKind.EXPLAINER: {
        "integratedGradients": "xnas_evaluator.explain.integrated_gradients:IntegratedGradientsExplainer",
        "saliency": "xnas_evaluator.explain.saliency:SaliencyExplainer",
        "gradCam": "xnas_evaluator.explain.grad_cam:GradCamExplainer",
        "guidedGradCam": "xnas_evaluator.explain.guided_grad_cam:GuidedGradCamExplainer",
        "inputXGradient": "xnas_evaluator.explain.input_x_gradient:InputXGradientExplainer",
        "deepLift": "xnas_evaluator.explain.deep_lift:DeepLiftExplainer",
        "gradientShap": "xnas_evaluator.explain.gradient_shap:GradientShapExplainer",
        "occlusion": "xnas_evaluator.explain.occlusion:OcclusionExplainer",
        "layerConductance": "xnas_evaluator.explain.layer_conductance:LayerConductanceExplainer",
    },
}


def _installed(kind: PluginKind) -> tuple[EntryPoint, ...]:
    """Return what is installed; looking takes some milliseconds, and an evaluator asks for every candidate."""
    return _found(kind, tuple(sys.path))


@lru_cache(maxsize=32)
def _found(kind: PluginKind, path: tuple[str, ...]) -> tuple[EntryPoint, ...]:
    del path  # where `entry_points` looks
    return tuple(entry_points(group=kind.value))


def names(kind: PluginKind) -> list[str]:
    """Return the names of all built-in and installed plug-ins of a kind, sorted."""
    return sorted({*_BUILT_IN[kind], *(entry.name for entry in _installed(kind))})


def load(kind: PluginKind, name: str) -> Any:
    """Import and return the plug-in `name`.

    Raises:
        UnknownNameError: no plug-in of that name; the message suggests the nearest one.
    """
    if name in _BUILT_IN[kind]:
        module, _, attribute = _BUILT_IN[kind][name].partition(":")
        return getattr(import_module(module), attribute)
    for entry in _installed(kind):
        if entry.name == name:
            return entry.load()
    known = names(kind)
    what = {"xnas.spaces": "search space", "xnas.datasets": "data set", "xnas.objectives": "objective"}.get(
        kind.value, "explainer"
    )
    raise UnknownNameError(what, name, known, suggestion=next(iter(difflib.get_close_matches(name, known, 1)), None))
