"""The introspectability regulariser: values, gradient, pair weights, hooks."""

from __future__ import annotations

import math

import pytest
import torch

from xnas_core.api.spec import Precision, TrainingSpec
from xnas_evaluator.networks.build import build
from xnas_evaluator.objectives.validation import score
from xnas_evaluator.testing_networks import small_data, small_graph
from xnas_evaluator.training.loop import Trainer
from xnas_evaluator.training.regulariser import captured, similarity_penalty
from xnas_evaluator.training.settings import arithmetic


def test_penalty_is_the_mean_weighted_cosine_of_the_joined_class_means() -> None:
    layers = [torch.rand(9, 3, 2), torch.rand(9, 5)]
    labels = torch.tensor([0, 0, 1, 1, 1, 3, 3, 0, 1])
    joined = torch.cat([layer.flatten(1) for layer in layers], 1)
    means = {c: joined[labels == c].mean(0) for c in (0, 1, 3)}
    weights = torch.ones(4, 4)
    weights[0, 3] = weights[3, 0] = 25
    pairs = [(0, 1), (0, 3), (1, 3)]
    cosines = [float(torch.cosine_similarity(means[c], means[k], dim=0)) for c, k in pairs]
    assert float(similarity_penalty(layers, labels, 4)) == pytest.approx(sum(cosines) / 3, rel=1e-5)
    weighted = (cosines[0] + 25 * cosines[1] + cosines[2]) / 3
    assert float(similarity_penalty(layers, labels, 4, weights)) == pytest.approx(weighted, rel=1e-5)


def test_penalty_without_a_pair_is_zero_and_has_a_finite_gradient() -> None:
    layer = torch.zeros(4, 3, requires_grad=True)
    for labels in (torch.zeros(4, dtype=torch.int64), torch.tensor([0, 1, 0, 1])):
        penalty = similarity_penalty([layer], labels, 2)
        assert float(penalty.detach()) == 0
        (gradient,) = torch.autograd.grad(penalty, layer)
        assert bool(gradient.isfinite().all())


def test_hooks_are_gone_after_a_failure() -> None:
    network = build(small_graph(), 1)
    with pytest.raises(ZeroDivisionError), captured(network):
        raise ZeroDivisionError
    assert not any(module._forward_hooks for module in network.modules())


def test_training_with_the_regulariser_gives_more_introspectability() -> None:
    values = {}
    for weight in (0.0, 2.0):
        data, numbers = small_data(samples=200), arithmetic("cpu", Precision.AUTO)
        spec = TrainingSpec.model_validate(
            {"epochs": 6, "batchSize": 50, "introspectabilityRegularizer": {"weight": weight}}, strict=False
        )
        trainer = Trainer(build(small_graph(), 1), data, spec, 1, numbers)
        for _ in range(spec.epochs):
            trainer.run_epoch()
        scores = score(trainer.network, data.validation, data, numbers, "convolutionsAndActivations")
        assert scores.introspectability_true_class is not None
        assert not math.isnan(scores.introspectability_true_class)
        values[weight] = scores.introspectability_true_class
    assert values[2.0] > values[0.0] + 0.02
