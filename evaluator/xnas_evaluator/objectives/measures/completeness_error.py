"""Completeness error of attributions."""

from __future__ import annotations

from collections.abc import Mapping

from xnas_core.api.base import ParameterValue
from xnas_core.api.metric_parameters import read_parameters
from xnas_core.errors import InvalidInputError
from xnas_core.objectives import METRICS
from xnas_evaluator.objectives.estimates import Estimate, ratio_of
from xnas_evaluator.objectives.interface import Measurement

WITHOUT_COMPLETENESS = frozenset({"saliency", "inputXGradient", "gradCam", "guidedGradCam", "occlusion"})
"""Built-in explainers that have no deltas: refused before any network is trained. Of a plug-in only trying tells."""


class CompletenessError:
    """How far attributions are from adding up to what they should explain, relative to it.

    Formula: sum over samples of |delta| / sum over samples of |f(x) - f(x0)|, with delta = sum of attributions -
    (f(x) - f(x0)), f the score of the predicted class and x0 the explainer's baseline (integrated gradients: the mean
    image). A ratio of sums, as a single sample's score may hardly differ from the baseline's. Undefined where no score
    differs. With integrated gradients it measures how well their sum over steps approximates the integral, so how
    curved the network is on the way.
    Source: Sundararajan, Taly, Yan 2017, "Axiomatic Attribution for Deep Networks", proposition 1.
    Range: 0 and up. Direction: minimize. Hypervolume reference: 1.
    Standard error: delta method for a ratio over samples (Cochran 1977).
    Cost: one explanation, shared with other measures of the same explainer.
    """

    metric = METRICS["completeness_error"]

    def check(self, parameters: Mapping[str, ParameterValue]) -> None:
        """Raise InvalidInputError for a built-in explainer that does not promise completeness."""
        method = read_parameters(self.metric.name, parameters).word("method")
        if method in WITHOUT_COMPLETENESS:
            raise _no_promise(method)

    def measure(self, measurement: Measurement) -> Estimate:
        """Return the value; raise InvalidInputError where the explainer does not promise completeness."""
        settings = read_parameters(self.metric.name, measurement.parameters)
        method = settings.word("method")
        explanation = measurement.shared.explanation(method, settings.whole("samplesPerClass"), settings.whole("seed"))
        if explanation.deltas is None:
            raise _no_promise(method)
        deltas = explanation.deltas.double()
        differences = explanation.attributions.double().flatten(1).sum(1) - deltas
        return ratio_of(deltas.abs(), differences.abs())


def _no_promise(method: str) -> InvalidInputError:
    return InvalidInputError(
        f"completeness_error: the explainer {method} does not promise completeness; choose one that does, "
        "such as integratedGradients"
    )
