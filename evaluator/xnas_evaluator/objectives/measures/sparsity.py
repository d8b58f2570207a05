"""Sparsity of attributions."""

from __future__ import annotations

from xnas_core.api.metric_parameters import read_parameters
from xnas_core.objectives import METRICS
from xnas_evaluator.objectives.attributions import gini
from xnas_evaluator.objectives.estimates import Estimate, mean_of
from xnas_evaluator.objectives.interface import Measurement


class Sparsity:
    """How few input values carry an explanation: mean Gini index of absolute attributions over samples.

    Formula: `attributions.gini` for each sample. Samples without any attribution are left out.
    Source: Chalasani et al. 2020, "Concise Explanations of Neural Networks using Adversarial Training";
    the index: Hurley & Rickard 2009.
    Range: 0 to 1. Direction: maximize. Hypervolume reference: 0.
    Standard error: s / sqrt(n) over samples.
    Cost: one explanation of samplesPerClass x classes samples, shared with other measures of the same explainer.
    """

    metric = METRICS["sparsity"]

    def measure(self, measurement: Measurement) -> Estimate:
        """Return the value."""
        settings = read_parameters(self.metric.name, measurement.parameters)
        explanation = measurement.shared.explanation(
            settings.word("method"), settings.whole("samplesPerClass"), settings.whole("seed")
        )
        return mean_of(gini(explanation.attributions))
