"""Grad-CAM (Selvaraju et al. 2017, eq. 1 and 2), by Captum."""

from __future__ import annotations

import torch
from captum.attr import LayerAttribution, LayerGradCam
from torch import Tensor, nn

from xnas_core.errors import InvalidInputError
from xnas_evaluator.explain.base import Explanation, check_inputs, steps, undisturbed
from xnas_evaluator.explain.budget import BUDGET_BYTES, check_budget, images_at_once
from xnas_evaluator.explain.feature_map import last_feature_map


class GradCamExplainer:
    """Feature maps of a late layer, each weighted by the mean gradient of the class score, added, negatives cut off.

    Which layer: `feature_map` says. It is named in the explanation's parameters. The default of 4 pixels explains
    an 8x8 digit at 4x4 rather than at the 2x2 of the last stage, where a map shows next to nothing; images of 32x32
    are explained at the last stage's 8x8. The coarse map is enlarged to the image by bilinear interpolation.

    Args:
        preferred_side: smallest height and width of the layer's output in pixels, where the network has such a layer.
        layer: only layers of this name, or whose name begins so up to a dot ("stage2"); * stands for any characters.
        budget_bytes: bound of the memory that a step takes; see `budget`.
    """

    def __init__(self, preferred_side: int = 4, layer: str = "", budget_bytes: int = BUDGET_BYTES) -> None:
        if preferred_side < 2:
            raise InvalidInputError(f"gradCam needs a preferred_side of at least 2 pixels, not {preferred_side}")
        self.preferred_side = preferred_side
        self.layer = layer
        self.budget_bytes = check_budget("gradCam", budget_bytes)

    def explain(self, network: nn.Module, inputs: Tensor, targets: Tensor, seed: int) -> Explanation:
        """See `Explainer.explain`; attributions have no sign, (N, 1, H, W).

        Raises:
            NotApplicableError: no layer of the network is fit for it.
        """
        del seed  # nothing here is random
        check_inputs(inputs, targets)
        attributions = []
        with undisturbed(network):
            layer = last_feature_map(network, inputs[:1], self.preferred_side, "gradCam", self.layer)
            method = LayerGradCam(network, layer.module)
            for images, classes in steps(inputs, targets, images_at_once(network, inputs, self.budget_bytes)):
                coarse = method.attribute(images, target=classes, relu_attributions=True)
                size = (inputs.shape[2], inputs.shape[3])
                attributions.append(LayerAttribution.interpolate(coarse.detach(), size, "bilinear"))
        parameters: dict[str, str | int | float | bool] = {
            "layer": layer.name,
            "layerSide": layer.side,
            "enlarged": "bilinear",
        }
        return Explanation(torch.cat(attributions).float(), None, parameters)
