"""Agreement of two explainers."""

from __future__ import annotations

from xnas_core.api.metric_parameters import read_parameters
from xnas_core.objectives import METRICS
from xnas_evaluator.objectives.attributions import Compare, rank_correlations
from xnas_evaluator.objectives.estimates import Estimate, mean_of
from xnas_evaluator.objectives.interface import Measurement


class ExplainerAgreement:
    """Whether two explainers point at the same pixels: mean Spearman rank correlation over samples.

    Formula: for each sample, Spearman's rho (ties share the mean of their ranks) of the two attributions' pixels,
    channels summed; of their sizes, or with signs where `compare` says so. Samples on which one of the two is constant
    are left out.
    Source: Krishna et al. 2022, "The Disagreement Problem in Explainable Machine Learning" (rank
    correlation).
    Range: -1 to 1. Direction: maximize. Hypervolume reference: 0, no agreement.
    Standard error: s / sqrt(n) over samples.
    Cost: one explanation by each of the two.
    """

    metric = METRICS["explainer_agreement"]

    def measure(self, measurement: Measurement) -> Estimate:
        """Return the value."""
        settings = read_parameters(self.metric.name, measurement.parameters)
        per_class, seed = settings.whole("samplesPerClass"), settings.whole("seed")
        first, second = (
            measurement.shared.explanation(settings.word(name), per_class, seed).attributions
            for name in ("first", "second")
        )
        compare: Compare = "signed" if settings.word("compare") == "signed" else "absolute"
        return mean_of(rank_correlations(first, second, compare))
