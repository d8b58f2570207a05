"""Accuracy under one step of attack."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from xnas_core.api.metric_parameters import read_parameters
from xnas_core.objectives import METRICS
from xnas_evaluator.context import NonFiniteError
from xnas_evaluator.explain.base import undisturbed
from xnas_evaluator.explain.budget import BUDGET_BYTES, images_at_once
from xnas_evaluator.networks.build import GraphNetwork
from xnas_evaluator.objectives.estimates import Estimate
from xnas_evaluator.objectives.interface import Measurement
from xnas_evaluator.objectives.validation import PLAIN_BATCH, spread
from xnas_evaluator.training.device_data import DeviceData

PIXEL_RANGE = 255.0
"""Pixels are 0 to 255."""


class AdversarialAccuracy:
    """Accuracy on images that were changed a little, in the direction that hurts most.

    Formula: share of samples with argmax f(x') = y for x' = clip(x + epsilon sign(grad_x L(f(x), y)), 0, 1), with pixel
    values as shares of their range (epsilon 8/255 is 8 of 255 grey levels) and L the cross-entropy with the true class.
    Source: Goodfellow, Shlens, Szegedy 2015, "Explaining and Harnessing Adversarial Examples", section 4 (FGSM).
    Range: 0 to 1. Direction: maximize. Hypervolume reference: 0.
    Standard error: sqrt(p (1 - p) / n).
    Cost: one forward and backward pass and one forward pass over at most `maxSamples` samples, in float32.
    A single step does not find every weakness: it is an upper bound of the accuracy under attack, and a network whose
    gradients vanish passes without being robust.
    """

    metric = METRICS["adversarial_accuracy"]

    def measure(self, measurement: Measurement) -> Estimate:
        """Return the value; raise NonFiniteError where a class score is NaN or infinite."""
        settings = read_parameters(self.metric.name, measurement.parameters)
        part = measurement.data.validation
        order = torch.argsort(part.labels, stable=True)
        chosen = order[spread(len(order), settings.whole("maxSamples")).to(order.device)]
        images, labels = part.images.index_select(0, chosen), part.labels.index_select(0, chosen)
        size = min(PLAIN_BATCH, images_at_once(measurement.network, images, BUDGET_BYTES))
        correct = 0
        for pixels, own in zip(torch.split(images, size), torch.split(labels, size), strict=True):
            measurement.alive()
            attacked = attack(measurement.network, measurement.data, pixels, own, settings.number("epsilon"))
            with torch.no_grad():
                scores = measurement.network(measurement.data.normalise(attacked.clone()))
            if not bool(scores.isfinite().all()):
                raise NonFiniteError("a class score of an attacked image is NaN or infinite")
            correct += int((scores.argmax(1) == own).sum())
        share = correct / len(labels)
        return Estimate(share, math.sqrt(share * (1 - share) / len(labels)))


def attack(network: GraphNetwork, data: DeviceData, images: Tensor, labels: Tensor, epsilon: float) -> Tensor:
    """Return the images after one step of the fast gradient sign method.

    Args:
        network: in eval mode; left as it was.
        data: for the statistics that networks are fed with.
        images: (N, C, H, W) uint8.
        labels: (N,) true classes.
        epsilon: largest change of a pixel, as a share of the range 0 to 255.

    Returns:
        (N, C, H, W) float32 in 0..255, not normalised.
    """
    pixels = images.float()
    with undisturbed(network):
        # z-scoring divides by a positive number, so the gradient's sign is that by the pixel itself.
        inputs = data.normalise(images).requires_grad_()
        loss = F.cross_entropy(network(inputs), labels, reduction="sum")
        (gradient,) = torch.autograd.grad(loss, inputs)
    return (pixels + PIXEL_RANGE * epsilon * gradient.sign()).clamp(0, PIXEL_RANGE)
