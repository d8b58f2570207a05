"""Calibration of the similarity to the predicted class's mean activations."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from xnas_core.api.base import ParameterValue
from xnas_core.api.metric_parameters import read_parameters
from xnas_core.objectives import METRICS
from xnas_core.tasks import generator
from xnas_evaluator.diagnosis.calibration import calibrate
from xnas_evaluator.diagnosis.gather import Subject, gather
from xnas_evaluator.objectives.estimates import Estimate, bootstrap_over_samples
from xnas_evaluator.objectives.interface import Measurement
from xnas_evaluator.objectives.introspectability import read_layers


class ActivationCalibration:
    """Whether a prediction is the more likely right, the more the activations look like those of its class.

    Formula: the confidence of a sample is the cosine similarity of its activations to the mean over all samples of the
    same prediction. Samples are sorted into `bins` equal bins of 0 to 1; the value is the correlation of mean
    confidence and accuracy over the bins that hold samples, each counting once; undefined for fewer than three.
    Source: Carmichael et al. 2023 (50 linear bins, Pearson and Spearman); `diagnosis.calibration`.
    Range: -1 to 1. Direction: maximize. Hypervolume reference: 0.
    Standard error: bootstrap over samples (100 draws, seeded), class means held fixed.
    Cost: two passes over the validation split.
    """

    metric = METRICS["activation_calibration"]

    def check(self, parameters: Mapping[str, ParameterValue]) -> None:
        """Raise InvalidInputError where `layers` is named and nothing is."""
        read_layers(read_parameters(self.metric.name, parameters), self.metric.name)

    def measure(self, measurement: Measurement) -> Estimate:
        """Return the value."""
        settings = read_parameters(self.metric.name, measurement.parameters)
        layers = read_layers(settings, self.metric.name)
        subject = Subject(measurement.network, measurement.data, measurement.arithmetic, layers, measurement.alive)
        seen = gather(subject, measurement.data.validation, "predictedClass", settings.whole("maxSamples"))
        correct, bins = seen.labels == seen.predictions, settings.whole("bins")
        spearman = settings.word("statistic") == "spearman"

        def correlation(chosen: npt.NDArray[np.int64]) -> float | None:
            found = calibrate(seen.similarity[chosen], correct[chosen], bins)
            return found.spearman if spearman else found.pearson

        value = correlation(np.arange(len(correct)))
        if value is None:
            return Estimate(None)
        random = generator(measurement.task.spec.seed, "measure", settings.whole("seed"), self.metric.name)
        return Estimate(value, bootstrap_over_samples(correlation, len(correct), random))
