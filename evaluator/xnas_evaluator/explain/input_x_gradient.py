"""Input x gradient (Shrikumar, Greenside, Shcherbina, Kundaje 2016, section 2), by Captum."""

from __future__ import annotations

import torch
from captum.attr import InputXGradient
from torch import Tensor, nn

from xnas_evaluator.explain.base import Explanation, check_inputs, steps, undisturbed
from xnas_evaluator.explain.baseline import described
from xnas_evaluator.explain.budget import BUDGET_BYTES, check_budget, images_at_once


class InputXGradientExplainer:
    """Each pixel's difference to the mean image, times the gradient of the class score with respect to it.

    Pixels are normalised, so a pixel of its channel's mean gets nothing, whatever the network does with it. For a
    linear network this is exact; for others it is integrated gradients with the single step at the image.

    Args:
        budget_bytes: bound of the memory that a step takes; see `budget`.
    """

    def __init__(self, budget_bytes: int = BUDGET_BYTES) -> None:
        self.budget_bytes = check_budget("inputXGradient", budget_bytes)

    def explain(self, network: nn.Module, inputs: Tensor, targets: Tensor, seed: int) -> Explanation:
        """See `Explainer.explain`; attributions are signed, (N, C, H, W)."""
        del seed  # nothing here is random
        check_inputs(inputs, targets)
        attributions = []
        with undisturbed(network):
            method = InputXGradient(network)
            for images, classes in steps(inputs, targets, images_at_once(network, inputs, self.budget_bytes)):
                attributions.append(method.attribute(images.requires_grad_(), target=classes).detach())
        return Explanation(torch.cat(attributions).float(), None, {"baseline": described(0.0)})
