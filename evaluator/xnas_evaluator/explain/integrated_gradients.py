"""Integrated gradients (Sundararajan, Taly, Yan 2017, eq. 1), by Captum."""

from __future__ import annotations

import torch
from captum.attr import IntegratedGradients
from torch import Tensor, nn

from xnas_core.errors import InvalidInputError
from xnas_evaluator.explain.base import Explanation, check_inputs, steps, undisturbed
from xnas_evaluator.explain.baseline import check_baseline, described
from xnas_evaluator.explain.budget import BUDGET_BYTES, check_budget, images_at_once


class IntegratedGradientsExplainer:
    """Gradients summed along the straight line from a baseline to the image, times their difference.

    The baseline is zero in normalised space: every pixel has its channel's mean over the training split, a flat
    grey image. The sum of the attributions should equal score(image) - score(baseline); what is missing is the
    completeness delta of that image.

    Args:
        n_steps: points of the Gauss-Legendre rule. More steps, smaller deltas, proportionally more time.
        baseline: of every pixel, in standard deviations from its channel's mean.
        budget_bytes: bound of the memory that a step takes; see `budget`.
    """

    def __init__(self, n_steps: int = 50, baseline: float = 0.0, budget_bytes: int = BUDGET_BYTES) -> None:
        if n_steps < 1:
            raise InvalidInputError(f"integratedGradients needs n_steps of at least 1, not {n_steps}")
        self.n_steps = n_steps
        self.baseline = check_baseline("integratedGradients", baseline)
        self.budget_bytes = check_budget("integratedGradients", budget_bytes)

    def explain(self, network: nn.Module, inputs: Tensor, targets: Tensor, seed: int) -> Explanation:
        """See `Explainer.explain`; attributions are signed, (N, C, H, W)."""
        del seed  # nothing here is random
        check_inputs(inputs, targets)
        attributions, deltas = [], []
        with undisturbed(network):
            method = IntegratedGradients(network)
            pairs = images_at_once(network, inputs, self.budget_bytes)
            for images, classes in steps(inputs, targets, pairs):
                attribution, delta = method.attribute(
                    images,
                    baselines=self.baseline,
                    target=classes,
                    n_steps=self.n_steps,
                    method="gausslegendre",
                    internal_batch_size=pairs,
                    return_convergence_delta=True,
                )
                attributions.append(attribution.detach())
                deltas.append(delta.detach())
        return Explanation(
            torch.cat(attributions).float(),
            torch.cat(deltas).float(),
            {"steps": self.n_steps, "rule": "Gauss-Legendre", "baseline": described(self.baseline)},
        )
