"""Maximum sensitivity of attributions."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from xnas_core.api.metric_parameters import read_parameters
from xnas_core.objectives import METRICS
from xnas_evaluator.objectives.attributions import Perturbations
from xnas_evaluator.objectives.estimates import Estimate, mean_of
from xnas_evaluator.objectives.interface import Measurement
from xnas_evaluator.objectives.shared import Explained


class MaxSensitivity:
    """How much attributions change under changes of the image that nobody sees.

    Formula: for each sample the maximum over random x' with |x' - x| <= radius in each pixel of |phi(x') - phi(x)| /
    |phi(x)| (Euclidean norms; where phi(x) is zero, not divided), for the class predicted for x; the mean over samples.
    The maximum over `perturbations` draws is a lower bound of the true one and grows with their number.
    Source: Yeh et al. 2019, "On the (In)fidelity and Sensitivity of Explanations", definition 3.1, relative as in their
    experiments; computed by captum.metrics.sensitivity_max.
    Range: 0 and up. Direction: minimize. Hypervolume reference: 1, attributions that change by their own size.
    Standard error: s / sqrt(n) over samples.
    Cost: 1 + `perturbations` explanations.
    """

    metric = METRICS["max_sensitivity"]

    def measure(self, measurement: Measurement) -> Estimate:
        """Return the value."""
        settings = read_parameters(self.metric.name, measurement.parameters)
        method, seed = settings.word("method"), settings.whole("seed")
        samples = measurement.shared.samples(settings.whole("samplesPerClass"), seed)
        source = Perturbations((measurement.task.spec.seed, "measure", seed, "sensitivity"), samples.images.shape)

        def attribute(images: Tensor, targets: Tensor) -> Tensor:
            measurement.alive()
            explained = Explained(images, targets)
            return measurement.shared.explain(method, measurement.network, explained, seed).attributions

        found = sensitivities(attribute, samples, source, settings.number("radius"), settings.whole("perturbations"))
        return mean_of(found)


def sensitivities(
    attribute: Callable[[Tensor, Tensor], Tensor],
    samples: Explained,
    source: Perturbations,
    radius: float,
    copies: int,
) -> Tensor:
    """Return each sample's largest relative change of its attributions.

    Args:
        attribute: attributions of images (N, C, H, W) for classes (N,).
        samples: images and classes.
        source: of the random changes.
        radius: largest change of a value.
        copies: random changes of each sample.

    Returns:
        (N,) float64 on the CPU.
    """
    from captum.metrics import sensitivity_max  # a second to import, which others need not wait for

    random = source.take("uniform", 0, len(samples.images))

    def perturb(images: Tensor) -> Tensor:
        return images + radius * next(random)[1].to(images.device)

    def explained(images: Tensor | tuple[Tensor, ...], target: Tensor) -> Tensor | tuple[Tensor, ...]:
        # Captum wants a tuple for a tuple: of a tensor it would take the first sample only.
        return (attribute(images[0], target),) if isinstance(images, tuple) else attribute(images, target)

    found: Tensor = sensitivity_max(
        explained,
        samples.images,
        perturb,
        n_perturb_samples=copies,
        max_examples_per_batch=len(samples.images),
        target=samples.targets,
    )
    return torch.as_tensor(found).double().cpu()
