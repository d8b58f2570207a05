"""Layer conductance (Dhamdhere, Sundararajan, Yan 2019, eq. 1 and 2): how much of the score flows through a layer."""

from __future__ import annotations

from math import ceil

import torch
from torch import Tensor, nn

from xnas_core.errors import InvalidInputError
from xnas_evaluator.explain.base import Explanation, check_inputs, steps, undisturbed
from xnas_evaluator.explain.baseline import check_baseline, described
from xnas_evaluator.explain.budget import BUDGET_BYTES, check_budget, images_at_once
from xnas_evaluator.explain.conductance import Flow, branches, conductance
from xnas_evaluator.explain.feature_map import last_feature_map

_COPIES = 2
"""The gradients of the layers' outputs stay until all are there."""


class LayerConductanceExplainer:
    """What the last feature maps contribute to the class score, and each branch of each sum on the way to them.

    As the image fades in from the baseline, every change of the score passes through a layer's neurons; a neuron's
    conductance is the part that passes through it. The map is that of the layer that Grad-CAM looks at, through which
    everything passes: channels added, and each of its pixels spread evenly over the pixels of the image that it
    stands for. So it adds up to score(image) - score(baseline), as integrated gradients do; the rest is the delta.

    `Explanation.layers` has the share of every operand of every sum: of each edge of a cell, and of the block and the
    short cut around it. At each sum that everything passes through they add up to the same difference of scores.

    Args:
        n_steps: points of the trapezoid rule on the way from baseline to image, both ends included.
        baseline: of every pixel, in standard deviations from its channel's mean.
        preferred_side, layer: as of `GradCamExplainer`.
        budget_bytes: bound of the memory that a step takes; see `budget`.
    """

    def __init__(
        self,
        n_steps: int = 50,
        baseline: float = 0.0,
        preferred_side: int = 4,
        layer: str = "",
        budget_bytes: int = BUDGET_BYTES,
    ) -> None:
        if n_steps < 2:
            raise InvalidInputError(f"layerConductance needs n_steps of at least 2, not {n_steps}")
        if preferred_side < 2:
            raise InvalidInputError(f"layerConductance needs a preferred_side of at least 2, not {preferred_side}")
        self.n_steps = n_steps
        self.baseline = check_baseline("layerConductance", baseline)
        self.preferred_side = preferred_side
        self.layer = layer
        self.budget_bytes = check_budget("layerConductance", budget_bytes)

    def explain(self, network: nn.Module, inputs: Tensor, targets: Tensor, seed: int) -> Explanation:
        """See `Explainer.explain`; attributions are signed, (N, 1, H, W).

        Raises:
            NotApplicableError: no layer of the network is fit for it.
        """
        del seed  # nothing here is random
        check_inputs(inputs, targets)
        size = (inputs.shape[2], inputs.shape[3])
        flows: list[Flow] = []
        with undisturbed(network):
            layer = last_feature_map(network, inputs[:1], self.preferred_side, "layerConductance", self.layer)
            sums = branches(network)
            rows = images_at_once(network, inputs, self.budget_bytes, _COPIES)
            for images, classes in steps(inputs, targets, max(1, rows // self.n_steps)):
                flows.append(
                    conductance(network, layer.module, sums, images, classes, self.baseline, self.n_steps, rows)
                )
        attributions = torch.cat([spread(flow.through_layer.sum(1, keepdim=True), size) for flow in flows])
        gained = torch.cat([flow.gained for flow in flows])
        parameters: dict[str, str | int | float | bool] = {
            "steps": self.n_steps,
            "rule": "trapezoid",
            "baseline": described(self.baseline),
            "layer": layer.name,
            "layerSide": layer.side,
            "enlarged": "evenly over the pixels that a layer's pixel stands for",
        }
        shares = {name: torch.cat([flow.through_branch[name] for flow in flows]).float() for name in sums.names}
        return Explanation(attributions.float(), (attributions.sum((1, 2, 3)) - gained).float(), parameters, shares)


def spread(coarse: Tensor, size: tuple[int, int]) -> Tensor:
    """Return (N, 1, H, W) from (N, 1, h, w): every value divided evenly among the pixels next to its place.

    The sum stays. Where `size` is not a multiple, some values are divided among one pixel more than others; where it is
    smaller, which no network of the spaces has, values that share a pixel are added.
    """
    rows, columns = (_owners(fine, given) for fine, given in zip(size, coarse.shape[2:], strict=True))
    return torch.einsum("Hh,nchw,Ww->ncHW", rows.to(coarse), coarse, columns.to(coarse))


def _owners(fine: int, coarse: int) -> Tensor:
    """Return (fine, coarse) weights, each column of sum 1: which fine positions a coarse one is divided among."""
    weights = torch.zeros(fine, coarse, dtype=torch.float64)
    for position in range(coarse):
        first = position * fine // coarse
        last = max(
            first + 1, ceil((position + 1) * fine / coarse) if fine < coarse else (position + 1) * fine // coarse
        )
        weights[first:last, position] = 1 / (last - first)
    return weights
