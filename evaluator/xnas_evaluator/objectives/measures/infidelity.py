"""Infidelity of attributions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from xnas_core.api.declared import Settings
from xnas_core.api.metric_parameters import read_parameters
from xnas_core.objectives import METRICS
from xnas_evaluator.explain.budget import BUDGET_BYTES, images_at_once
from xnas_evaluator.objectives.attributions import Perturbations, over_channels
from xnas_evaluator.objectives.estimates import Estimate, mean_of
from xnas_evaluator.objectives.interface import Measurement
from xnas_evaluator.objectives.shared import Explained

Scale = Literal["plain", "fitted", "relative"]


class Infidelity:
    """How badly attributions predict what perturbations of the image do to the class score.

    Formula: for each sample E_I (I . phi - (f(x) - f(x - I)))^2 over random perturbations I, f the score of the
    predicted class, phi the attributions; the mean over samples. `perturbation: removal` sets each pixel to the mean
    image with probability `amount`, and I . phi sums the attributions of the pixels removed: for explainers whose
    attributions are shares of the score (integrated gradients, DeepLIFT, input x gradient). `noise` subtracts Gaussian
    noise I of standard deviation `amount`: for gradients (saliency). `scale` says in which unit:
    plain: squared class score, as the formula stands. fitted: phi times the factor that fits best for each sample,
    E(I.phi df) / E(I.phi)^2, as in the authors' code, so that the explainer's unit does not count. relative: fitted,
    divided by E(df^2): the share of the score's changes that is left unexplained. Only relative does not reward a
    network for small scores; where the score never changes a sample is left out.
    Source: Yeh et al. 2019, "On the (In)fidelity and Sensitivity of Explanations", definition 2.1;
    computed by captum.metrics.infidelity.
    Range: 0 to 1 (relative), else 0 and up. Direction: minimize. Hypervolume reference: 1, for relative.
    Standard error: s / sqrt(n) over samples, random perturbations included.
    Cost: one explanation and `perturbations` passes over the samples (twice that if relative).
    """

    metric = METRICS["infidelity"]

    def measure(self, measurement: Measurement) -> Estimate:
        """Return the value."""
        settings = read_parameters(self.metric.name, measurement.parameters)
        per_class, seed = settings.whole("samplesPerClass"), settings.whole("seed")
        shared = measurement.shared
        samples = shared.samples(per_class, seed)
        attributions = shared.explanation(settings.word("method"), per_class, seed).attributions
        path = (measurement.task.spec.seed, "measure", seed, "infidelity")
        perturbing = Perturbing.of(settings, Perturbations(path, samples.images.shape))
        return mean_of(infidelities(measurement.network, samples, attributions, perturbing, measurement.alive))


@dataclass(frozen=True)
class Perturbing:
    """How samples are perturbed, and in which unit the result is."""

    source: Perturbations
    removal: bool
    amount: float
    copies: int
    scale: Scale

    @staticmethod
    def of(settings: Settings, source: Perturbations) -> Perturbing:
        """Read the metric's settings."""
        word = settings.word("scale")
        scale: Scale = "plain" if word == "plain" else "fitted" if word == "fitted" else "relative"
        removal = settings.word("perturbation") == "removal"
        return Perturbing(source, removal, settings.number("amount"), settings.whole("perturbations"), scale)


def infidelities(
    network: nn.Module,
    samples: Explained,
    attributions: Tensor,
    perturbing: Perturbing,
    alive: Callable[[], None] = lambda: None,
) -> Tensor:
    """Return each sample's infidelity.

    Args:
        network: in eval mode; class scores of images.
        samples: images (N, C, H, W) and target classes (N,).
        attributions: (N, C or 1, H, W).
        perturbing: see there.
        alive: called once for each part of the samples; it may raise to leave.

    Returns:
        (N,) float64 on the CPU; NaN where the score never changes and the unit is relative.
    """
    images = samples.images
    explained = over_channels(attributions, images.shape[1])
    size = images_at_once(network, images, BUDGET_BYTES)
    found = []
    for start in range(0, len(images), size):
        end = min(len(images), start + size)
        alive()
        part = (network, samples, start, end, perturbing)
        values = _by_captum(*part, explained[start:end], normalize=perturbing.scale != "plain")
        if perturbing.scale == "relative":
            # Of attributions that are zero, the infidelity is the mean squared change of the score.
            changes = _by_captum(*part, torch.zeros_like(images[start:end]), normalize=False)
            values = torch.where(changes > 0, values / changes, torch.nan)
        found.append(values.double().cpu())
    return torch.cat(found)


def _by_captum(
    network: nn.Module,
    samples: Explained,
    start: int,
    end: int,
    perturbing: Perturbing,
    attributions: Tensor,
    *,
    normalize: bool,
) -> Tensor:
    """Return the infidelity of samples `start` to `end`, all perturbed once at a time."""
    # Here, since Captum takes a second to import, which searches that do not ask for it need not wait for.
    from captum.metrics import infidelity

    images = samples.images[start:end].double()
    random = perturbing.source.take("pixels" if perturbing.removal else "normal", start, end)

    def perturb(copies: Tensor) -> tuple[Tensor, Tensor]:
        """Return what attributions are multiplied by, and the perturbed images."""
        values = next(random)[1].to(copies.device)
        if not perturbing.removal:
            noise = perturbing.amount * values
            return noise, copies - noise
        removed = (values < perturbing.amount).expand_as(copies).to(copies.dtype)
        return removed, copies * (1 - removed)

    def scores(inputs: Tensor) -> Tensor:
        # All but the network in float64: the fitted value is a small difference of large squares.
        result: Tensor = network(inputs.float())
        return result.double()

    found: Tensor = infidelity(
        scores,
        perturb,
        images,
        attributions.double(),
        target=samples.targets[start:end],
        n_perturb_samples=perturbing.copies,
        max_examples_per_batch=len(images),
        normalize=normalize,
    )
    return found
