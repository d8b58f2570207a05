"""Saliency maps (Simonyan, Vedaldi, Zisserman 2013, section 3), by Captum."""

from __future__ import annotations

import torch
from captum.attr import Saliency
from torch import Tensor, nn

from xnas_evaluator.explain.base import MAX_SAMPLES_PER_STEP, Explanation, check_inputs, steps, undisturbed


class SaliencyExplainer:
    """Absolute gradient of the class score with respect to each pixel: where a small change matters most."""

    def explain(self, network: nn.Module, inputs: Tensor, targets: Tensor, seed: int) -> Explanation:
        """See `Explainer.explain`; attributions have no sign, (N, C, H, W)."""
        del seed  # nothing here is random
        check_inputs(inputs, targets)
        attributions = []
        with undisturbed(network):
            method = Saliency(network)
            for images, classes in steps(inputs, targets, MAX_SAMPLES_PER_STEP):
                # Captum warns when it has to switch gradients on by itself.
                attribution = method.attribute(images.requires_grad_(), target=classes, abs=True)
                attributions.append(attribution.detach())
        return Explanation(torch.cat(attributions).float(), None, {"gradient": "absolute"})
