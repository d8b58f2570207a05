"""DeepLIFT with the rescale rule (Shrikumar, Greenside, Kundaje 2017), by Captum, with rules for every operation."""

from __future__ import annotations

import warnings

import torch
from captum.attr import DeepLift
from torch import Tensor, nn

from xnas_evaluator.explain.base import Explanation, NotApplicableError, check_inputs, steps, undisturbed
from xnas_evaluator.explain.baseline import check_baseline, described
from xnas_evaluator.explain.budget import BUDGET_BYTES, check_budget, images_at_once
from xnas_evaluator.explain.multipliers import rule

_COPIES = 4
"""An image and its reference go through together, and of each a rule keeps its multipliers, masks and output."""
_TOLERANCE = 1e-3
"""Largest completeness delta, as a share of the magnitudes that were added: float32 stays well below it."""
_ROUNDING = 1e-5
"""Largest delta in any case, for images that hardly differ from the reference."""


class DeepLiftExplainer:
    """Differences of activations to those of a reference image, propagated back from the class score to the pixels.

    The sum of the attributions equals score(image) - score(reference), up to rounding; what is missing is the
    completeness delta. One pass, where integrated gradients take fifty. See `multipliers` for the rules.

    Args:
        baseline: the reference image, in standard deviations from each channel's mean; 0 is the mean image.
        budget_bytes: bound of the memory that a step takes; see `budget`.
    """

    def __init__(self, baseline: float = 0.0, budget_bytes: int = BUDGET_BYTES) -> None:
        self.baseline = check_baseline("deepLift", baseline)
        self.budget_bytes = check_budget("deepLift", budget_bytes)

    def explain(self, network: nn.Module, inputs: Tensor, targets: Tensor, seed: int) -> Explanation:
        """See `Explainer.explain`; attributions are signed, (N, C, H, W).

        Raises:
            NotApplicableError: there is no rule for an operation of the network, or the attributions do not add up,
                as in a network that computes something outside of its modules.
        """
        del seed  # nothing here is random
        check_inputs(inputs, targets)
        attributions, deltas = [], []
        with undisturbed(network):
            method = _RuledDeepLift(network)
            for images, classes in steps(inputs, targets, images_at_once(network, inputs, self.budget_bytes, _COPIES)):
                with warnings.catch_warnings():
                    # It says that hooks are set and removed again.
                    warnings.filterwarnings("ignore", "Setting forward, backward hooks", UserWarning)
                    attribution, delta = method.attribute(
                        images.requires_grad_(), baselines=self.baseline, target=classes, return_convergence_delta=True
                    )
                attributions.append(_complete(attribution.detach(), delta.detach()))
                deltas.append(delta.detach())
        parameters: dict[str, str | int | float | bool] = {"rule": "rescale", "baseline": described(self.baseline)}
        return Explanation(torch.cat(attributions).float(), torch.cat(deltas).float(), parameters)


class _RuledDeepLift(DeepLift):  # type: ignore[misc]  # Captum has no types
    """Captum's DeepLIFT with the rules of `multipliers` in place of its own; Captum removes the hooks in any case."""

    def _register_hooks(self, module: nn.Module, attribute_to_layer_input: bool = True) -> None:
        del attribute_to_layer_input  # no layer is attributed to
        if not any(module.children()):
            found = rule(module)
            if found is not None:
                self.forward_handles.append(module.register_forward_hook(found))


def _complete(attribution: Tensor, delta: Tensor) -> Tensor:
    """Return the attribution; raise NotApplicableError where it misses the difference of the scores."""
    added = attribution.abs().flatten(1).sum(1)
    if bool((delta.abs() > _TOLERANCE * added + _ROUNDING).any()):
        worst = float((delta.abs() / (added + _ROUNDING)).max())
        raise NotApplicableError(
            f"deepLift's attributions miss the difference of the class scores by a share of {worst:.2g}: the network "
            "computes something outside of its modules, for which there is no rule"
        )
    return attribution
