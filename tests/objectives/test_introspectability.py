"""Introspectability by running sums against the obvious version that keeps every activation."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from xnas_core.api.spec import Precision
from xnas_core.errors import InvalidInputError
from xnas_core.graph import Graph
from xnas_core.spaces.base import DataShape
from xnas_core.spaces.nas_bench_201 import NasBench201
from xnas_evaluator.networks.build import GraphNetwork, Layers, build
from xnas_evaluator.objectives import class_means, validation
from xnas_evaluator.objectives.introspectability import IntrospectabilitySettings, distances_of, mean_distance
from xnas_evaluator.objectives.validation import score
from xnas_evaluator.testing_networks import small_data, small_graph
from xnas_evaluator.training.device_data import DeviceData, DevicePart
from xnas_evaluator.training.regulariser import captured
from xnas_evaluator.training.settings import arithmetic

NUMBERS = arithmetic("cpu", Precision.FLOAT32)
CLASSES = 4
LAYERS: tuple[Layers, ...] = ("convolutionsAndActivations", "all")


def _network(graph: Graph, seed: int = 1) -> GraphNetwork:
    """Return a network whose batch norms are not the identity, so that affine parts matter."""
    network = build(graph, seed)
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in network.state_dict().items():
        if name.endswith(("running_mean", "norm.bias", "bn.bias", "conv.bias")):
            tensor.copy_(torch.randn(tensor.shape, generator=generator) * 0.3)
        if name.endswith(("running_var", "norm.weight", "bn.weight")):
            tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
    return network.to(memory_format=torch.channels_last).eval()


GRAPHS = {
    "small": small_graph(),
    "nas-bench-201": NasBench201({"cellsPerStage": 1, "channels": 4}, DataShape(1, 8, 8, CLASSES)).graph(
        (0, 1, 2, 4, 0, 1)
    ),
    "unpruned": NasBench201({"cellsPerStage": 1, "channels": 4, "prune": False}, DataShape(1, 8, 8, CLASSES)).graph(
        (3, 1, 2, 4, 0, 3)
    ),
}


@torch.inference_mode()
def _slow(network: GraphNetwork, part: DevicePart, data: DeviceData, layers: Layers) -> dict[str, float | None]:
    """Keep all activations of all samples, one sample at a time, in float64."""
    chosen = {
        n.name: network.get_submodule(n.name)
        for n in network.graph.nodes
        if (layers == "all" and n.op not in ("input", "flatten", "zero"))
        or n.op in ("conv", "relu", "hardSwish", "hardSigmoid")
    }
    rows, predictions = [], []
    with captured(network, chosen) as outputs:
        for index in range(len(part)):
            logits = network(data.normalise(part.images[index : index + 1]))
            predictions.append(int(logits.argmax()))
            rows.append(torch.cat([output.flatten().double() for output in outputs]))
            outputs.clear()
    kept = torch.stack(rows)
    return {
        "true": _mean_over_pairs(kept, part.labels),
        "predicted": _mean_over_pairs(kept, torch.tensor(predictions)),
    }


def _mean_over_pairs(activations: Tensor, classes: Tensor) -> float | None:
    values = []
    for c in range(CLASSES):
        for k in range(c + 1, CLASSES):
            one, other = activations[classes == c], activations[classes == k]
            if len(one) and len(other):
                cosine = torch.cosine_similarity(one.mean(0), other.mean(0), dim=0)
                values.append(1 - float(cosine))
    return sum(values) / len(values) if values else None


def _close(value: float | None, expected: float | None) -> bool:
    if value is None or expected is None:
        return value is expected
    return value == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("layers", LAYERS)
@pytest.mark.parametrize("name", GRAPHS)
def test_running_sums_give_what_keeping_everything_gives(name: str, layers: Layers) -> None:
    data, network = small_data(validation=61), _network(GRAPHS[name])
    scores = score(network, data.validation, data, NUMBERS, layers)
    expected = _slow(network, data.validation, data, layers)
    assert expected["true"] is not None
    assert _close(scores.introspectability_true_class, expected["true"])
    assert _close(scores.introspectability_predicted_class, expected["predicted"])


@settings(max_examples=15, deadline=None)
@given(size=st.integers(1, 50), order=st.randoms(use_true_random=False), seed=st.integers(0, 5))
def test_batch_size_and_order_change_nothing(size: int, order: object, seed: int) -> None:
    data, network = small_data(seed=seed), _network(GRAPHS["small"], seed)
    shuffled = list(range(len(data.validation)))
    order.shuffle(shuffled)  # type: ignore[attr-defined]  # Hypothesis declares its generator as object
    part = DevicePart(data.validation.images[shuffled], data.validation.labels[shuffled])
    first = score(network, data.validation, data, NUMBERS, "all")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(class_means, "MAX_BATCH", size)
        patch.setattr(validation, "PLAIN_BATCH", size)
        second = score(network, part, data, NUMBERS, "all")
    assert _close(first.introspectability_true_class, second.introspectability_true_class)
    assert _close(first.introspectability_predicted_class, second.introspectability_predicted_class)
    assert first.accuracy == second.accuracy
    assert first.loss == pytest.approx(second.loss, rel=1e-5)


@settings(max_examples=10, deadline=None)
@given(renamed=st.permutations(range(CLASSES)))
def test_renaming_the_classes_changes_nothing(renamed: list[int]) -> None:
    data, network = small_data(), _network(GRAPHS["small"])
    part = DevicePart(data.validation.images, torch.tensor(renamed)[data.validation.labels])
    first = score(network, data.validation, data, NUMBERS, "all")
    second = score(network, part, data, NUMBERS, "all")
    assert _close(first.introspectability_true_class, second.introspectability_true_class)
    assert _close(first.introspectability_predicted_class, second.introspectability_predicted_class)


def test_samples_beyond_the_most_wanted_count_for_accuracy_only() -> None:
    data, network = small_data(validation=80), _network(GRAPHS["small"])
    scores = score(network, data.validation, data, NUMBERS, "all", max_samples=20)
    plain = score(network, data.validation, data, NUMBERS)
    assert (scores.samples, scores.accuracy) == (80, plain.accuracy)
    assert scores.loss == pytest.approx(plain.loss, rel=1e-6)
    assert scores.loss_error == pytest.approx(plain.loss_error, rel=1e-5)
    # Sorted by class, every fourth sample.
    order = torch.argsort(data.validation.labels, stable=True)[torch.arange(20) * 4]
    subset = DevicePart(data.validation.images[order], data.validation.labels[order])
    expected = _slow(network, subset, data, "all")
    assert _close(scores.introspectability_true_class, expected["true"])


def test_a_network_that_predicts_one_class_has_no_value_by_predicted_class() -> None:
    data, network = small_data(), _network(GRAPHS["small"])
    network.get_parameter("head.scores.bias").data[2] = 1e6
    scores = score(network, data.validation, data, NUMBERS, "all")
    assert scores.introspectability_predicted_class is None
    assert scores.introspectability_true_class is not None


def test_hooks_are_gone_and_the_mode_is_restored_after_a_failure() -> None:
    data, network = small_data(), _network(GRAPHS["small"]).train()
    broken = replace(data, class_names=("only one",))
    with pytest.raises((IndexError, RuntimeError)):
        score(network, data.validation, broken, NUMBERS, "all")
    assert network.training
    assert not any(module._forward_hooks for module in network.modules())


@given(st.lists(st.lists(st.floats(0, 10, width=16), min_size=3, max_size=3), min_size=2, max_size=6))
def test_value_lies_between_zero_and_one_for_activations_that_are_not_negative(means: list[list[float]]) -> None:
    vectors = torch.tensor(means, dtype=torch.float64)
    value = mean_distance(distances_of(vectors @ vectors.T))
    defined = int((vectors.abs().sum(1) > 0).sum())
    assert (value is None) == (defined < 2)
    assert value is None or -1e-9 <= value <= 1 + 1e-9


def test_weights_of_pairs_as_in_the_wordnet_variant() -> None:
    distances = torch.tensor([[0.0, 0.2, 0.5], [0.2, 0.0, 0.8], [0.5, 0.8, 0.0]], dtype=torch.float64)
    weights = torch.tensor([[1, 0.5, 0.25], [0.5, 1, 0.25], [0.25, 0.25, 1]])
    assert mean_distance(distances) == pytest.approx(0.5)
    assert mean_distance(distances, weights) == pytest.approx((0.2 * 0.5 + 0.5 * 0.25 + 0.8 * 0.25) / 1.0)
    distances[0, 2] = distances[2, 0] = torch.nan
    assert mean_distance(distances) == pytest.approx(0.5)
    only_undefined = torch.zeros(3, 3)
    only_undefined[0, 2] = only_undefined[2, 0] = 1
    assert mean_distance(distances, only_undefined) is None


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"groupby": "trueClass"}, "no parameter 'groupby'"),
        ({"groupBy": "truth"}, "predictedClass or trueClass"),
        ({"layers": "some"}, "convolutionsAndActivations, all or named"),
        ({"layers": "named"}, "layerNames must say which"),
        ({"layers": "named", "layerNames": [7]}, "list of texts"),
        ({"maxSamples": 1}, "whole number 2 to"),
        ({"maxSamples": True}, "whole number 2 to"),
    ],
)
def test_wrong_parameters_are_refused(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        IntrospectabilitySettings.parse(parameters)


def test_defaults() -> None:
    group_by: Literal["predictedClass"] = "predictedClass"
    assert IntrospectabilitySettings.parse({}) == IntrospectabilitySettings(
        group_by, "convolutionsAndActivations", 25_000
    )
