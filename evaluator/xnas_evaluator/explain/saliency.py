"""Saliency maps (Simonyan, Vedaldi, Zisserman 2013, section 3), by Captum."""

from __future__ import annotations

import torch
from captum.attr import Saliency
from torch import Tensor, nn

from xnas_evaluator.explain.base import Explanation, check_inputs, steps, undisturbed
from xnas_evaluator.explain.budget import BUDGET_BYTES, check_budget, images_at_once


class SaliencyExplainer:
    """Absolute gradient of the class score with respect to each pixel: where a small change matters most.

    Args:
        budget_bytes: bound of the memory that a step takes; see `budget`.
    """

    def __init__(self, budget_bytes: int = BUDGET_BYTES) -> None:
        self.budget_bytes = check_budget("saliency", budget_bytes)

    def explain(self, network: nn.Module, inputs: Tensor, targets: Tensor, seed: int) -> Explanation:
        """See `Explainer.explain`; attributions have no sign, (N, C, H, W)."""
        del seed  # nothing here is random
        check_inputs(inputs, targets)
        attributions = []
        with undisturbed(network):
            method = Saliency(network)
            for images, classes in steps(inputs, targets, images_at_once(network, inputs, self.budget_bytes)):
                # Captum warns when it has to switch gradients on by itself.
                attribution = method.attribute(images.requires_grad_(), target=classes, abs=True)
                attributions.append(attribution.detach())
        return Explanation(torch.cat(attributions).float(), None, {"gradient": "absolute"})
