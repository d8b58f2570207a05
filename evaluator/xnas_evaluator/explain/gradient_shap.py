"""Gradient SHAP (Lundberg and Lee 2017; as expected gradients: Erion et al. 2021, eq. 3), by Captum's gradients."""

from __future__ import annotations

import math

import torch
from captum.attr import Saliency
from torch import Tensor, nn

from xnas_core.errors import InvalidInputError
from xnas_evaluator.explain.base import Explanation, check_inputs, steps, undisturbed
from xnas_evaluator.explain.baseline import check_baseline
from xnas_evaluator.explain.budget import BUDGET_BYTES, check_budget, images_at_once


class GradientShapExplainer:
    """Integrated gradients averaged over many baselines, one point on each line.

    A baseline is noise with the pixels' mean and standard deviation over the training split, so no single flat image
    decides what counts as "nothing there". In expectation the attributions sum to score(image) minus the mean score of
    the baselines; what this sample of draws misses is the delta.

    Captum's GradientShap takes its draws from numpy's global generator, other ones for each place in the batch. Here
    every image sees the same draws, made from the seed, so an image's attributions depend on nothing else.

    Args:
        n_samples: draws of a baseline and a point; the points are spread evenly, one in each n-th of the line.
        baseline: centre of the baselines, in standard deviations from each channel's mean.
        baseline_spread: standard deviation of a baseline's pixels, in standard deviations of the channel.
        budget_bytes: bound of the memory that a step takes; see `budget`.
    """

    def __init__(
        self,
        n_samples: int = 50,
        baseline: float = 0.0,
        baseline_spread: float = 1.0,
        budget_bytes: int = BUDGET_BYTES,
    ) -> None:
        if n_samples < 1:
            raise InvalidInputError(f"gradientShap needs n_samples of at least 1, not {n_samples}")
        if not math.isfinite(baseline_spread) or baseline_spread < 0:
            raise InvalidInputError(f"gradientShap needs a baseline_spread of at least 0, not {baseline_spread}")
        self.n_samples = n_samples
        self.baseline = check_baseline("gradientShap", baseline)
        self.baseline_spread = baseline_spread
        self.budget_bytes = check_budget("gradientShap", budget_bytes)

    def explain(self, network: nn.Module, inputs: Tensor, targets: Tensor, seed: int) -> Explanation:
        """See `Explainer.explain`; attributions are signed, (N, C, H, W)."""
        check_inputs(inputs, targets)
        attributions, deltas = [], []
        with undisturbed(network):
            rows = images_at_once(network, inputs, self.budget_bytes)
            baselines, points = self._draws(inputs, seed)
            # (D, classes): each image is compared with the same baselines.
            with torch.no_grad():
                scores = torch.cat([network(part) for part in torch.split(baselines, rows)]).double()
            for images, classes in steps(inputs, targets, rows):
                attribution = _mean_over_draws(network, images, classes, baselines, points, rows)
                with torch.no_grad():
                    reached = network(images).double().gather(1, classes[:, None]).squeeze(1)
                expected = reached - scores[:, classes].mean(0)
                attributions.append(attribution)
                deltas.append(attribution.double().sum((1, 2, 3)) - expected)
        parameters: dict[str, str | int | float | bool] = {
            "samples": self.n_samples,
            "baseline": f"noise, mean {self.baseline:g}, standard deviation {self.baseline_spread:g} "
            "(normalised space)",
            "seed": seed,
        }
        return Explanation(torch.cat(attributions).float(), torch.cat(deltas).float(), parameters)

    def _draws(self, inputs: Tensor, seed: int) -> tuple[Tensor, Tensor]:
        """Return baselines (D, C, H, W) and points (D,) in [0, 1], 1 being the image; drawn on the CPU."""
        source = torch.Generator().manual_seed(seed)
        noise = torch.randn((self.n_samples, *inputs.shape[1:]), generator=source)
        points = (torch.arange(self.n_samples) + torch.rand(self.n_samples, generator=source)) / self.n_samples
        return (self.baseline + self.baseline_spread * noise).to(inputs), points.to(inputs)


def _mean_over_draws(
    network: nn.Module, images: Tensor, classes: Tensor, baselines: Tensor, points: Tensor, rows: int
) -> Tensor:
    """Return (image - baseline) x gradient at the point between, averaged over the draws: (N, C, H, W)."""
    method = Saliency(network)
    total = torch.zeros_like(images)
    draws = max(1, rows // len(images))
    for part, at in zip(torch.split(baselines, draws), torch.split(points, draws), strict=True):
        # (n, D, C, H, W), in the images' order.
        difference = images[:, None] - part[None]
        between = (part[None] + at[None, :, None, None, None] * difference).flatten(0, 1).requires_grad_()
        gradient = method.attribute(between, target=classes.repeat_interleave(len(part)), abs=False)
        total += (difference * gradient.detach().view_as(difference)).sum(1)
    return total / len(baselines)
