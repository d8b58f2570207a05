"""Parameters of the built-in metrics: names, kinds, bounds and defaults, declared once.

`xnas validate`, the reference page and the evaluator all read them from here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from xnas_core.errors import InvalidInputError


class Kind(Enum):
    """What a parameter's value is."""

    CHOICE = "one of a few words"
    WHOLE = "whole number"
    NUMBER = "number"
    EXPLAINER = "an explainer's name"
    PATH = "the path of a file"
    TEXTS = "list of texts"


@dataclass(frozen=True, slots=True)
class MetricParameter:
    """One parameter.

    Attributes:
        description: a few words for the reference page.
        kind: what its value is.
        default: the value where none is given.
        choices: the words of a CHOICE.
        low, high: bounds of a number, both allowed.
    """

    description: str
    kind: Kind
    default: Any
    choices: tuple[str, ...] = ()
    low: float = 0
    high: float = 0

    def wrong(self, value: Any) -> str | None:
        """Return what is wrong with a value, or None."""
        if self.kind is Kind.CHOICE:
            return None if value in self.choices else f"must be {self.allowed}"
        if self.kind in (Kind.WHOLE, Kind.NUMBER):
            types = int if self.kind is Kind.WHOLE else int | float
            number = isinstance(value, types) and not isinstance(value, bool) and math.isfinite(value)
            return None if number and self.low <= value <= self.high else f"must be a {self.allowed}"
        if self.kind is Kind.TEXTS:
            right = isinstance(value, Sequence) and not isinstance(value, str) and value
            return None if right and all(isinstance(v, str) and v for v in value) else f"must be a {self.allowed}"
        return None if isinstance(value, str) and value else f"must be {self.allowed}"

    @property
    def allowed(self) -> str:
        """What is allowed, in words."""
        if self.kind is Kind.CHOICE:
            *others, last = self.choices
            return " or ".join((*((", ".join(others),) if others else ()), last))
        if self.kind in (Kind.WHOLE, Kind.NUMBER):
            return f"{self.kind.value} {_shown(self.low)} to {_shown(self.high)}"
        return str(self.kind.value)


def _shown(number: float) -> str:
    return f"{int(number):,}" if float(number).is_integer() else f"{number:g}"


class MetricSettings:
    """A metric's parameters, checked, with defaults filled in. The getters' names say the type."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = dict(values)

    def word(self, name: str) -> str:
        """Return a choice, an explainer's name or a path; "" where there is none."""
        return str(self._values[name])

    def whole(self, name: str) -> int:
        """Return a whole number."""
        return int(self._values[name])

    def number(self, name: str) -> float:
        """Return a number."""
        return float(self._values[name])

    def words(self, name: str) -> tuple[str, ...]:
        """Return a list of texts."""
        return tuple(self._values[name])


def read_parameters(metric: str, parameters: Mapping[str, Any]) -> MetricSettings:
    """Return a built-in metric's settings.

    Args:
        metric: its name.
        parameters: as the spec has them.

    Raises:
        InvalidInputError: an unknown parameter, or a value that is not allowed; the message says what is.
    """
    known = METRIC_PARAMETERS.get(metric, {})
    for name, value in parameters.items():
        if not known:
            raise InvalidInputError(f"{metric} takes no parameters; remove {name!r}")
        if name not in known:
            raise InvalidInputError(f"{metric} has no parameter {name!r} (known: {', '.join(known)})")
        if (wrong := known[name].wrong(value)) is not None:
            raise InvalidInputError(f"{metric}: {name} is {value!r}, but {wrong}")
    return MetricSettings({name: parameters.get(name, about.default) for name, about in known.items()})


def _choice(description: str, *choices: str) -> MetricParameter:
    """Return a choice; the first is the default."""
    return MetricParameter(description, Kind.CHOICE, choices[0], choices)


def _whole(description: str, default: int, low: int, high: int) -> MetricParameter:
    return MetricParameter(description, Kind.WHOLE, default, low=low, high=high)


def _number(description: str, default: float, low: float, high: float) -> MetricParameter:
    return MetricParameter(description, Kind.NUMBER, default, low=low, high=high)


def _explainer(description: str, default: str) -> MetricParameter:
    return MetricParameter(description, Kind.EXPLAINER, default)


_ACTIVATIONS: dict[str, MetricParameter] = {
    "groupBy": _choice("classes that activations are averaged over", "predictedClass", "trueClass"),
    "layers": _choice("outputs that count as activations", "convolutionsAndActivations", "all", "named"),
    "layerNames": MetricParameter(
        "with layers: named, names of operations or their beginnings up to a dot; * stands for any characters",
        Kind.TEXTS,
        (),
    ),
    "maxSamples": _whole("validation samples used at most, spread evenly over the classes", 25_000, 2, 10_000_000),
}
_ABLATION: dict[str, MetricParameter] = {
    "tolerance": _number(
        "an activation is futile where the class scores change by at most this share of their spread without it",
        0.01,
        0,
        1,
    ),
    "replaceBy": _choice("what a left-out activation is replaced by: its mean over the samples, or 0", "mean", "zero"),
    "ablationSamples": _whole("validation samples that activations are left out on", 128, 2, 100_000),
}
_SAMPLES: dict[str, MetricParameter] = {
    "samplesPerClass": _whole("validation samples of each class that are explained, drawn by seed", 4, 1, 1_000),
    "seed": _whole("which samples and random numbers, with the search's seed", 0, 0, 2**31 - 1),
}
_METHOD: dict[str, MetricParameter] = {"method": _explainer("the explainer that is judged", "integratedGradients")}

METRIC_PARAMETERS: Mapping[str, Mapping[str, MetricParameter]] = {
    "introspectability": _ACTIVATIONS,
    "introspectability_weighted": {
        **_ACTIVATIONS,
        "similarities": MetricParameter(
            "CSV file of class,class,similarity, one line a pair; without it WordNet is asked", Kind.PATH, ""
        ),
        "wordNetNames": MetricParameter(
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
        "perturbation": _choice("pixels set to the mean image, or Gaussian noise subtracted", "removal", "noise"),
        "amount": _number("share of pixels removed, or the noise's standard deviation (normalised)", 0.2, 1e-6, 1),
        "perturbations": _whole("perturbations of each sample", 16, 2, 10_000),
        "scale": _choice(
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
        "radius": _number("largest change of a pixel, in normalised units", 0.02, 1e-6, 10),
        "perturbations": _whole("perturbations of each sample", 10, 1, 10_000),
    },
    "sparsity": {**_METHOD, **_SAMPLES},
    "explainer_agreement": {
        "first": _explainer("one explainer", "integratedGradients"),
        "second": _explainer("the other", "gradCam"),
        "compare": _choice("size of the attributions only, or their signs too", "absolute", "signed"),
        **_SAMPLES,
    },
    "completeness_error": {**_METHOD, **_SAMPLES},
    "randomization_sanity": {
        **_METHOD,
        **_SAMPLES,
        "compare": _choice("size of the attributions only, or their signs too", "absolute", "signed"),
        "randomizations": _whole("random networks that are compared with", 1, 1, 100),
    },
    "expected_calibration_error": {"bins": _whole("bins of equal width", 15, 2, 1_000)},
    "activation_calibration": {
        "layers": _ACTIVATIONS["layers"],
        "layerNames": _ACTIVATIONS["layerNames"],
        "maxSamples": _ACTIVATIONS["maxSamples"],
        "bins": _whole("bins of equal width over similarities 0 to 1", 50, 3, 1_000),
        "statistic": _choice("correlation over the bins", "pearson", "spearman"),
        "seed": _whole("of the bootstrap, with the search's seed", 0, 0, 2**31 - 1),
    },
    "adversarial_accuracy": {
        "epsilon": _number("largest change of a pixel, as a share of the range of pixel values", 8 / 255, 0, 1),
        "maxSamples": _whole("validation samples used at most, spread evenly over the classes", 1_000, 2, 10_000_000),
    },
    "latency_ms": {
        "batchSize": _whole("samples in a batch", 1, 1, 65_536),
        "repeats": _whole("passes that the median is taken over", 20, 1, 10_000),
        "warmUp": _whole("passes before them", 5, 0, 10_000),
    },
}
"""Parameters by metric. Metrics that are not listed take none; those of plug-ins are checked by the plug-in."""
