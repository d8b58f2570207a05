"""Parameters of the built-in metrics, declared once.

`xnas validate`, the reference page and the evaluator all read them from here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from xnas_core.api.declared import Kind, Parameter, Settings, choice, number, read, whole


def read_parameters(metric: str, parameters: Mapping[str, Any]) -> Settings:
    """Return a built-in metric's settings.

    Args:
        metric: its name.
        parameters: as the spec has them.

    Raises:
        InvalidInputError: an unknown parameter, or a value that is not allowed; the message says what is.
    """
    return read(metric, METRIC_PARAMETERS.get(metric, {}), parameters)


def judged(measured: Iterable[tuple[str, Mapping[str, Any]]]) -> list[str]:
    """Return the explainers that metrics judge, given each metric's name and parameters."""
    return [
        str(parameters.get(name, about.default))
        for metric, parameters in measured
        for name, about in METRIC_PARAMETERS.get(metric, {}).items()
        if about.kind is Kind.EXPLAINER
    ]


def _explainer(description: str, default: str) -> Parameter:
    return Parameter(description, Kind.EXPLAINER, default)


_ACTIVATIONS: dict[str, Parameter] = {
    "groupBy": choice("classes that activations are averaged over", "predictedClass", "trueClass"),
    "layers": choice("outputs that count as activations", "convolutionsAndActivations", "all", "named"),
    "layerNames": Parameter(
        "with layers: named, names of operations or their beginnings up to a dot; * stands for any characters",
        Kind.TEXTS,
        (),
    ),
    "maxSamples": whole("validation samples used at most, spread evenly over the classes", 25_000, 2, 10_000_000),
}
_ABLATION: dict[str, Parameter] = {
    "tolerance": number(
        "an activation is futile where the class scores change by at most this share of their spread without it",
        0.01,
        0,
        1,
    ),
    "replaceBy": choice("what a left-out activation is replaced by: its mean over the samples, or 0", "mean", "zero"),
    "ablationSamples": whole("validation samples that activations are left out on", 128, 2, 100_000),
}
_SAMPLES: dict[str, Parameter] = {
    "samplesPerClass": whole("validation samples of each class that are explained, drawn by seed", 4, 1, 1_000),
    "seed": whole("which samples and random numbers, with the search's seed", 0, 0, 2**31 - 1),
}
_METHOD: dict[str, Parameter] = {"method": _explainer("the explainer that is judged", "integratedGradients")}

METRIC_PARAMETERS: Mapping[str, Mapping[str, Parameter]] = {
    "introspectability": _ACTIVATIONS,
    "introspectability_weighted": {
        **_ACTIVATIONS,
        "similarities": Parameter(
            "CSV file of class,class,similarity, one line a pair; without it WordNet is asked", Kind.PATH, ""
        ),
        "wordNetNames": Parameter(
            "WordNet name of each class in order (dog.n.01, n02084071 or dog); the class names where absent",
            Kind.TEXTS,
            (),
        ),
    },
    "introspectability_live": {**_ACTIVATIONS, **_ABLATION},
    "futile_share": {**_ACTIVATIONS, **_ABLATION},
    "infidelity": {
        **_METHOD,
        **_SAMPLES,
        "perturbation": choice("pixels set to the mean image, or Gaussian noise subtracted", "removal", "noise"),
        "amount": number("share of pixels removed, or the noise's standard deviation (normalised)", 0.2, 1e-6, 1),
        "perturbations": whole("perturbations of each sample", 16, 2, 10_000),
        "scale": choice(
            "share of the score's change left unexplained, or squared score units with attributions scaled to fit or as"
            " they are",
            "relative",
            "fitted",
            "plain",
        ),
    },
    "max_sensitivity": {
        **_METHOD,
        **_SAMPLES,
        "radius": number("largest change of a pixel, in normalised units", 0.02, 1e-6, 10),
        "perturbations": whole("perturbations of each sample", 10, 1, 10_000),
    },
    "sparsity": {**_METHOD, **_SAMPLES},
    "explainer_agreement": {
        "first": _explainer("one explainer", "integratedGradients"),
        "second": _explainer("the other", "gradCam"),
        "compare": choice("size of the attributions only, or their signs too", "absolute", "signed"),
        **_SAMPLES,
    },
    "completeness_error": {**_METHOD, **_SAMPLES},
    "randomization_sanity": {
        **_METHOD,
        **_SAMPLES,
        "compare": choice("size of the attributions only, or their signs too", "absolute", "signed"),
        "randomizations": whole("random networks that are compared with", 1, 1, 100),
    },
    "expected_calibration_error": {"bins": whole("bins of equal width", 15, 2, 1_000)},
    "activation_calibration": {
        "layers": _ACTIVATIONS["layers"],
        "layerNames": _ACTIVATIONS["layerNames"],
        "maxSamples": _ACTIVATIONS["maxSamples"],
        "bins": whole("bins of equal width over similarities 0 to 1", 50, 3, 1_000),
        "statistic": choice("correlation over the bins", "pearson", "spearman"),
        "seed": whole("of the bootstrap, with the search's seed", 0, 0, 2**31 - 1),
    },
    "adversarial_accuracy": {
        "epsilon": number("largest change of a pixel, as a share of the range of pixel values", 8 / 255, 0, 1),
        "maxSamples": whole("validation samples used at most, spread evenly over the classes", 1_000, 2, 10_000_000),
    },
    "latency_ms": {
        "batchSize": whole("samples in a batch", 1, 1, 65_536),
        "repeats": whole("passes that the median is taken over", 20, 1, 10_000),
        "warmUp": whole("passes before them", 5, 0, 10_000),
    },
}
"""Parameters by metric. Metrics that are not listed take none; those of plug-ins are checked by the plug-in."""
