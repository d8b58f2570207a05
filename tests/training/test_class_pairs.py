"""Weights of class pairs in the regulariser: names and numbers, and training against a slow, obvious oracle."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from xnas_core.api.class_pairs import resolve_pairs
from xnas_core.api.spec import ClassPairSpec, Precision, TrainingSpec
from xnas_core.errors import InvalidInputError
from xnas_evaluator.networks.build import activation_layers, build
from xnas_evaluator.objectives.validation import score
from xnas_evaluator.testing_networks import small_data, small_graph
from xnas_evaluator.training.batches import epoch_batches
from xnas_evaluator.training.loop import Trainer
from xnas_evaluator.training.pairs import pair_matrix
from xnas_evaluator.training.regulariser import similarity_penalty
from xnas_evaluator.training.settings import arithmetic

NAMES = ("cat", "dog", "1", "ship")


def _pairs(*pairs: tuple[Any, Any, float]) -> list[ClassPairSpec]:
    return [ClassPairSpec.model_validate({"classes": [a, b], "weight": weight}) for a, b, weight in pairs]


def _training(pairs: list[dict[str, Any]], **fields: Any) -> TrainingSpec:
    regulariser = {"weight": 0.7, "pairs": pairs}
    document = {"epochs": 1, "batchSize": 96, "introspectabilityRegularizer": regulariser, **fields}
    return TrainingSpec.model_validate(document, strict=False)


def test_classes_are_named_or_numbered_and_a_name_goes_first() -> None:
    assert resolve_pairs(_pairs(("dog", "cat", 25), ("1", 3, 2)), NAMES) == [(0, 1, 25.0), (2, 3, 2.0)]
    assert resolve_pairs(_pairs(("0", "3", 4)), NAMES) == [(0, 3, 4.0)]
    assert resolve_pairs(_pairs((1, 0, 4)), NAMES) == [(0, 1, 4.0)]


@pytest.mark.parametrize(
    ("pairs", "said"),
    [
        ([("cat", "dgo", 2)], 'there is no class "dgo"; did you mean "dog"?'),
        ([("cat", 4, 2)], "there is no class 4: the data have 4"),
        ([("cat", "17", 2)], "there is no class 17"),
        ([("cat", 0, 2)], "two classes, not 'cat' twice"),
        ([("cat", "dog", 2), (1, 0, 3)], "'cat', 'dog' is named twice"),
        ([("cat", "²", 2)], "there is no class"),
    ],
)
def test_pairs_that_cannot_be_meant_are_named(pairs: list[Any], said: str) -> None:
    with pytest.raises(InvalidInputError, match=said.replace("?", r"\?")):
        pair_matrix(_pairs(*pairs), NAMES)


def test_the_matrix_is_symmetric_and_one_elsewhere() -> None:
    weights = pair_matrix(_pairs(("dog", 3, 25)), NAMES)
    assert weights is not None
    expected = torch.ones(4, 4)
    expected[1, 3] = expected[3, 1] = 25
    assert torch.equal(weights, expected)
    assert pair_matrix([], NAMES) is None


def _slow_penalty(layers: list[torch.Tensor], labels: list[int], weights: dict[tuple[int, int], float]) -> float:
    """Return the mean over pairs of classes that are there of weight times cosine, in plain Python."""
    means: dict[int, list[float]] = {}
    for label in sorted(set(labels)):
        rows = [i for i, other in enumerate(labels) if other == label]
        flat = [[float(v) for layer in layers for v in layer[i].flatten().tolist()] for i in rows]
        means[label] = [sum(column) / len(rows) for column in zip(*flat, strict=True)]
    terms = []
    for first in means:
        for second in means:
            if first >= second:
                continue
            a, b = means[first], means[second]
            lengths = math.sqrt(sum(x * x for x in a)) * math.sqrt(sum(y * y for y in b))
            if lengths == 0:
                continue
            cosine = sum(x * y for x, y in zip(a, b, strict=True)) / lengths
            terms.append(weights.get((first, second), 1.0) * cosine)
    return sum(terms) / len(terms) if terms else 0.0


@given(seed=st.integers(0, 10_000), weight=st.floats(0, 100), samples=st.integers(1, 12))
def test_the_penalty_is_that_of_a_slow_oracle(seed: int, weight: float, samples: int) -> None:
    torch.manual_seed(seed)
    layers = [torch.rand(samples, 3, 2, 2).relu(), torch.randn(samples, 4)]
    labels = torch.randint(0, 4, (samples,))
    weights = pair_matrix(_pairs((1, 3, weight)), NAMES)
    expected = _slow_penalty(layers, labels.tolist(), {(1, 3): weight})
    assert float(similarity_penalty(layers, labels, 4, weights)) == pytest.approx(expected, rel=1e-4, abs=1e-5)


def test_a_training_step_adds_the_oracle_s_penalty() -> None:
    """The reported loss of an epoch of one step is that of the first weights: cross-entropy and weighted penalty."""
    data = small_data()
    spec = _training([{"classes": ["class 0", 2], "weight": 25}])
    trainer = Trainer(build(small_graph(), 3), data, spec, 5, arithmetic("cpu", Precision.AUTO))
    network = build(small_graph(), 3).to(memory_format=torch.channels_last)
    ((images, labels),) = epoch_batches(data, data.train, 96, (), 5, 1, torch.channels_last)
    layers: list[torch.Tensor] = []
    for layer in activation_layers(network).values():
        layer.register_forward_hook(lambda _m, _i, output: layers.append(output.detach()))
    network.train()
    cross_entropy = torch.nn.functional.cross_entropy(network(images), labels).item()
    penalty = _slow_penalty(layers, labels.tolist(), {(0, 2): 25.0})
    plain = _slow_penalty(layers, labels.tolist(), {})
    assert trainer.run_epoch().loss == pytest.approx(cross_entropy + 0.7 * penalty, rel=1e-5)
    assert abs(penalty - plain) > 0.1


def test_a_raised_weight_pulls_the_pair_apart() -> None:
    distances = {}
    for weight in (1.0, 40.0):
        data = small_data(samples=120)
        spec = _training([{"classes": [0, 1], "weight": weight}], epochs=4, batchSize=40)
        trainer = Trainer(build(small_graph(), 1), data, spec, 1, arithmetic("cpu", Precision.AUTO))
        for _ in range(spec.epochs):
            trainer.run_epoch()
        numbers = arithmetic("cpu", Precision.AUTO)
        scores = score(trainer.network, data.validation, data, numbers, "convolutionsAndActivations")
        distances[weight] = float(scores.distances["trueClass"][0, 1])
    assert distances[40.0] > distances[1.0] + 0.02


def test_a_pair_that_the_data_have_not_is_refused_before_training() -> None:
    with pytest.raises(InvalidInputError, match='no class "cat"'):
        Trainer(
            build(small_graph(), 1), small_data(), _training([{"classes": ["cat", 1]}]), 1,
            arithmetic("cpu", Precision.AUTO),
        )  # fmt: skip
