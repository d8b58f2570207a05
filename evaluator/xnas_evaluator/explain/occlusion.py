"""Occlusion (Zeiler and Fergus 2014, section 4.2), by Captum."""

from __future__ import annotations

from math import ceil

import torch
from captum.attr import Occlusion
from torch import Tensor, nn

from xnas_core.errors import InvalidInputError
from xnas_evaluator.explain.base import Explanation, check_inputs, steps, undisturbed
from xnas_evaluator.explain.baseline import check_baseline, described
from xnas_evaluator.explain.budget import BUDGET_BYTES, check_budget, images_at_once

_WINDOWS_PER_SIDE = 7


class OcclusionExplainer:
    """How far the class score falls when a square window, in all channels, is set to the baseline.

    The window moves over the image; a pixel gets the mean fall over the windows that cover it. No gradient is used, so
    it works where gradients vanish. The cost is one forward pass for each window: with the defaults 49 for images of
    8x8, 169 to 225 for larger ones.

    Args:
        window: side in pixels. None: a seventh of the image's smaller side, rounded up (2 for 8, 4 for 28, 5 for 32, 32
            for 224).
        stride: pixels that the window moves by; None: half of the window.
        baseline: what a hidden pixel becomes, in standard deviations from its channel's mean.
        budget_bytes: bound of the memory that a step takes; see `budget`.
    """

    def __init__(
        self,
        window: int | None = None,
        stride: int | None = None,
        baseline: float = 0.0,
        budget_bytes: int = BUDGET_BYTES,
    ) -> None:
        for name, value in (("window", window), ("stride", stride)):
            if value is not None and value < 1:
                raise InvalidInputError(f"occlusion needs a {name} of at least 1 pixel, not {value}")
        if window is not None and stride is not None and stride > window:
            raise InvalidInputError(
                f"occlusion needs a window of at least its stride, {stride} pixels, not {window}: pixels between two "
                "windows would never be hidden"
            )
        self.window = window
        self.stride = stride
        self.baseline = check_baseline("occlusion", baseline)
        self.budget_bytes = check_budget("occlusion", budget_bytes)

    def explain(self, network: nn.Module, inputs: Tensor, targets: Tensor, seed: int) -> Explanation:
        """See `Explainer.explain`; attributions are signed, (N, 1, H, W)."""
        del seed  # nothing here is random
        check_inputs(inputs, targets)
        window, stride = self._placed(inputs)
        channels = inputs.shape[1]
        attributions = []
        with undisturbed(network):
            method = Occlusion(network)
            at_once = images_at_once(network, inputs, self.budget_bytes)
            for images, classes in steps(inputs, targets, at_once):
                attribution = method.attribute(
                    images,
                    (channels, window, window),
                    strides=(channels, stride, stride),
                    baselines=self.baseline,
                    target=classes,
                    perturbations_per_eval=max(1, at_once // len(images)),
                )
                # All channels are hidden together, so each has the whole fall.
                attributions.append(attribution.detach()[:, :1])
        parameters: dict[str, str | int | float | bool] = {
            "window": window,
            "stride": stride,
            "baseline": described(self.baseline),
        }
        return Explanation(torch.cat(attributions).float(), None, parameters)

    def _placed(self, inputs: Tensor) -> tuple[int, int]:
        side = min(inputs.shape[2:])
        window = ceil(side / _WINDOWS_PER_SIDE) if self.window is None else self.window
        stride = min(window, max(1, window // 2)) if self.stride is None else self.stride
        if window > side:
            raise InvalidInputError(
                f"occlusion's window of {window} pixels does not fit into images of "
                f"{inputs.shape[2]}x{inputs.shape[3]}; use one of at most {side}"
            )
        if stride > window:
            raise InvalidInputError(f"occlusion needs a stride of at most its window, {window} pixels, not {stride}")
        return window, stride
