"""Guided Grad-CAM (Selvaraju et al. 2017, section 3.2), by Captum."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from captum.attr import GuidedGradCam
from torch import Tensor, nn

from xnas_core.errors import InvalidInputError
from xnas_evaluator.explain.base import Explanation, NotApplicableError, check_inputs, steps, undisturbed
from xnas_evaluator.explain.budget import BUDGET_BYTES, check_budget, images_at_once
from xnas_evaluator.explain.feature_map import last_feature_map
from xnas_evaluator.explain.multipliers import LINEAR
from xnas_evaluator.networks.operations import Multiply

_COPIES = 2
"""Captum copies the input of every ReLU, and so do we."""


class GuidedGradCamExplainer:
    """Grad-CAM's map times guided backpropagation: as fine as the image, and only where the class is.

    Guided backpropagation (Springenberg et al. 2015) is the gradient of the class score in which every ReLU lets only
    positive gradients through. It is defined for ReLU alone, so a network with another activation is not explained.
    It is known to depend little on the weights of late layers (Adebayo et al. 2018): use it to look, not to judge.

    Args:
        preferred_side, layer: as of `GradCamExplainer`.
        budget_bytes: bound of the memory that a step takes; see `budget`.
    """

    def __init__(self, preferred_side: int = 4, layer: str = "", budget_bytes: int = BUDGET_BYTES) -> None:
        if preferred_side < 2:
            raise InvalidInputError(f"guidedGradCam needs a preferred_side of at least 2 pixels, not {preferred_side}")
        self.preferred_side = preferred_side
        self.layer = layer
        self.budget_bytes = check_budget("guidedGradCam", budget_bytes)

    def explain(self, network: nn.Module, inputs: Tensor, targets: Tensor, seed: int) -> Explanation:
        """See `Explainer.explain`; attributions are signed, (N, C, H, W).

        Raises:
            NotApplicableError: an activation is not a ReLU, or no layer is fit for Grad-CAM.
        """
        del seed  # nothing here is random
        check_inputs(inputs, targets)
        attributions = []
        with undisturbed(network):
            relus = _relus(network)
            layer = last_feature_map(network, inputs[:1], self.preferred_side, "guidedGradCam", self.layer)
            method = GuidedGradCam(network, layer.module)
            for images, classes in steps(inputs, targets, images_at_once(network, inputs, self.budget_bytes, _COPIES)):
                with _inputs_of_their_own(relus), warnings.catch_warnings():
                    # It says that hooks are set and removed again.
                    warnings.filterwarnings("ignore", "Setting backward hooks", UserWarning)
                    attribution = method.attribute(images.requires_grad_(), target=classes, interpolate_mode="bilinear")
                attributions.append(attribution.detach())
        parameters: dict[str, str | int | float | bool] = {
            "layer": layer.name,
            "layerSide": layer.side,
            "enlarged": "bilinear",
        }
        return Explanation(torch.cat(attributions).float(), None, parameters)


def _relus(network: nn.Module) -> list[nn.Module]:
    """Return the ReLUs; raise NotApplicableError where another activation makes the method undefined."""
    found: list[nn.Module] = []
    for module in network.modules():
        if any(module.children()):
            continue
        if isinstance(module, nn.ReLU) and not module.inplace:
            found.append(module)
        elif not isinstance(module, (*LINEAR, nn.MaxPool2d, Multiply)):
            what = "a ReLU that works in place" if isinstance(module, nn.ReLU) else f"a {type(module).__name__}"
            raise NotApplicableError(
                "guidedGradCam is defined for networks whose only activation is ReLU, not in place; this one has "
                f"{what}. Use gradCam or integratedGradients"
            )
    return found


@contextmanager
def _inputs_of_their_own(modules: list[nn.Module]) -> Iterator[None]:
    """Give each module a copy of its input that nobody else reads.

    Captum changes the gradient of the tensor that a ReLU reads: shared with another operation, the other's part would
    be cut as well. And a tensor without gradient, in a dead branch of a network that is not pruned, would be refused.
    """

    def copy(_: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return tuple(tensor.clone() if tensor.requires_grad else tensor.clone().requires_grad_() for tensor in inputs)

    handles = []
    try:
        for module in modules:
            handles.append(module.register_forward_pre_hook(copy))
        yield
    finally:
        for handle in handles:
            handle.remove()
