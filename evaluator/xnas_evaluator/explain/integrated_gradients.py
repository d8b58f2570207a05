"""Integrated gradients (Sundararajan, Taly, Yan 2017, eq. 1), by Captum."""

from __future__ import annotations

import torch
from captum.attr import IntegratedGradients
from torch import Tensor, nn

from xnas_core.errors import InvalidInputError
from xnas_evaluator.explain.base import MAX_SAMPLES_PER_STEP, Explanation, check_inputs, steps, undisturbed


class IntegratedGradientsExplainer:
    """Gradients summed along the straight line from a baseline to the image, times their difference.

    The baseline is zero in normalised space: every pixel has its channel's mean over the training split, a flat
    grey image. The sum of the attributions should equal score(image) - score(baseline); what is missing is the
    completeness delta of that image.

    Args:
        n_steps: points of the Gauss-Legendre rule. More steps, smaller deltas, proportionally more time.
        internal_batch_size: largest number of (image, step) pairs in one forward pass.
    """

    def __init__(self, n_steps: int = 50, internal_batch_size: int = MAX_SAMPLES_PER_STEP) -> None:
        if n_steps < 1 or internal_batch_size < 1:
            raise InvalidInputError(
                f"integratedGradients needs n_steps and internal_batch_size of at least 1, "
                f"not {n_steps} and {internal_batch_size}"
            )
        self.n_steps = n_steps
        self.internal_batch_size = internal_batch_size

    def explain(self, network: nn.Module, inputs: Tensor, targets: Tensor, seed: int) -> Explanation:
        """See `Explainer.explain`; attributions are signed, (N, C, H, W)."""
        del seed  # nothing here is random
        check_inputs(inputs, targets)
        attributions, deltas = [], []
        with undisturbed(network):
            method = IntegratedGradients(network)
            for images, classes in steps(inputs, targets, self.internal_batch_size):
                attribution, delta = method.attribute(
                    images,
                    baselines=0.0,
                    target=classes,
                    n_steps=self.n_steps,
                    method="gausslegendre",
                    internal_batch_size=self.internal_batch_size,
                    return_convergence_delta=True,
                )
                attributions.append(attribution.detach())
                deltas.append(delta.detach())
        return Explanation(
            torch.cat(attributions).float(),
            torch.cat(deltas).float(),
            {"steps": self.n_steps, "rule": "Gauss-Legendre", "baseline": "mean image (0 in normalised space)"},
        )
