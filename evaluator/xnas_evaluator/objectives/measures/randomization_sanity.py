"""Sanity check of an explainer by randomising the network's weights."""

from __future__ import annotations

import copy

import torch

from xnas_core.api.metric_parameters import read_parameters
from xnas_core.objectives import METRICS
from xnas_core.tasks import derived_seed
from xnas_evaluator.networks.build import initialise
from xnas_evaluator.objectives.attributions import Compare, rank_correlations
from xnas_evaluator.objectives.estimates import Estimate, mean_of
from xnas_evaluator.objectives.interface import Measurement


class RandomizationSanity:
    """Whether attributions depend on what the network has learnt: they should not survive its weights.

    Formula: mean over samples of |rho|, rho being Spearman's rank correlation of a sample's attributions by the trained
    network and by the same network with all weights drawn anew and batch norm reset (mean of |rho| over
    `randomizations` of these), for the class that the trained network predicts. 0 is best: what is shown comes from
    training. Near 1 the picture shows the image or the architecture (an edge detector passes for an explanation), be
    it upside down: a map whose order is reversed by other weights is as well known without the trained ones. Chance
    alone gives about 0.8 / sqrt(P - 1) for P pixels that do not depend on each other.
    Source: Adebayo et al. 2018, "Sanity Checks for Saliency Maps", model parameter randomization test; they report the
    signed correlation, of attributions with their signs and of their absolute values (`compare`).
    Range: 0 to 1. Direction: minimize. Hypervolume reference: 1.
    Standard error: s / sqrt(n) over samples.
    Cost: 1 + `randomizations` explanations, the first shared with other measures.
    """

    metric = METRICS["randomization_sanity"]

    def measure(self, measurement: Measurement) -> Estimate:
        """Return the value."""
        settings = read_parameters(self.metric.name, measurement.parameters)
        method, seed = settings.word("method"), settings.whole("seed")
        per_class, shared = settings.whole("samplesPerClass"), measurement.shared
        samples = shared.samples(per_class, seed)
        trained = shared.explanation(method, per_class, seed).attributions
        compare: Compare = "signed" if settings.word("compare") == "signed" else "absolute"
        found = []
        for number in range(settings.whole("randomizations")):
            measurement.alive()
            # Drawn on the CPU, so that every device sees the same weights.
            other = copy.deepcopy(measurement.network).cpu()
            initialise(other, derived_seed(measurement.task.spec.seed, "measure", seed, "randomise", number))
            other = other.to(samples.images.device).eval()
            random = shared.explain(method, other, samples, seed).attributions
            found.append(rank_correlations(trained, random, compare).abs())
        return mean_of(torch.stack(found).nanmean(0))
