"""What the two passes gather, against keeping every activation of every sample; on random and on trained networks."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pytest
import torch
from torch import Tensor

from xnas_core.api.spec import Precision
from xnas_core.graph import Graph, Node, Op
from xnas_core.spaces.base import DataShape
from xnas_core.spaces.nas_bench_201 import NasBench201
from xnas_core.tasks import TaskKind
from xnas_evaluator.context import NonFiniteError, TaskCancelledError
from xnas_evaluator.diagnosis import gather as gathering
from xnas_evaluator.diagnosis.gather import Gathered, Subject, gather
from xnas_evaluator.diagnosis.heat_maps import block_outputs, heat_maps
from xnas_evaluator.diagnosis.plane import MAX_SAMPLES, choose, plane
from xnas_evaluator.networks.build import GraphNetwork, activation_layers, build
from xnas_evaluator.objectives import class_means
from xnas_evaluator.objectives.introspectability import distances_of
from xnas_evaluator.resident import device_data
from xnas_evaluator.source_checkpoint import source_checkpoint
from xnas_evaluator.testing_networks import small_data, small_graph
from xnas_evaluator.testing_trained import TrainedFolder
from xnas_evaluator.training.device_data import DeviceData, DevicePart
from xnas_evaluator.training.regulariser import captured
from xnas_evaluator.training.settings import arithmetic

NUMBERS = arithmetic("cpu", Precision.FLOAT32)
Grouping = Literal["trueClass", "predictedClass"]


@dataclass(frozen=True)
class Kept:
    """Everything that a network does to a part, one sample at a time, in float64."""

    activations: Tensor
    labels: Tensor
    predictions: Tensor
    confidence: Tensor

    def classes(self, grouping: Grouping) -> Tensor:
        return self.labels if grouping == "trueClass" else self.predictions

    def mean(self, grouping: Grouping, label: int) -> Tensor:
        return self.activations[self.classes(grouping) == label].mean(0)


@torch.inference_mode()
def keep(subject: Subject, part: DevicePart) -> Kept:
    network, data = subject.network, subject.data
    rows, scores = [], []
    with captured(network, activation_layers(network, subject.layers)) as outputs:
        for index in range(len(part)):
            scores.append(network(data.normalise(part.images[index : index + 1])).double())
            rows.append(torch.cat([output.flatten().double() for output in outputs]))
            outputs.clear()
    confidence, predictions = torch.cat(scores).softmax(1).max(1)
    return Kept(torch.stack(rows), part.labels, predictions, confidence)


def random_subject() -> Subject:
    network = build(small_graph(), 1)
    generator = torch.Generator().manual_seed(1)
    for name, tensor in network.state_dict().items():
        if name.endswith(("running_mean", "bias")):
            tensor.copy_(torch.randn(tensor.shape, generator=generator) * 0.3)
    return _subject(network, small_data(validation=61))


def cell_subject() -> Subject:
    # Two ReLUs of one input, so that layers of equal value are looked at once and count twice.
    space = NasBench201({"cellsPerStage": 1, "channels": 4, "prune": False}, DataShape(1, 8, 8, 4))
    return _subject(build(space.graph((0, 1, 3, 2, 0, 4)), 2), small_data(validation=45))


def named_subject() -> Subject:
    return replace(cell_subject(), layers=("stage2", "head.relu"))


def _subject(network: GraphNetwork, data: DeviceData) -> Subject:
    network = network.to(memory_format=torch.channels_last).eval()
    return Subject(network, data, NUMBERS, "convolutionsAndActivations")


@pytest.fixture(scope="module")
def trained_subject(diagnosed_run: TrainedFolder) -> Subject:
    context = diagnosed_run.context(TaskKind.FINALISE)
    assert diagnosed_run.spec.dataset is not None
    data = device_data(diagnosed_run.spec.dataset, diagnosed_run.spec.seed, context.cache, "cpu")
    return _subject(source_checkpoint(context).network, data)


@torch.inference_mode()
def _check(subject: Subject, part: DevicePart, grouping: Grouping) -> Gathered:
    found, kept = gather(subject, part, grouping), keep(subject, part)
    assert found.positions.tolist() == list(range(len(part)))
    assert found.labels.tolist() == kept.labels.tolist()
    assert found.predictions.tolist() == kept.predictions.tolist()
    assert found.confidence == pytest.approx(kept.confidence.numpy(), rel=1e-4)
    classes = kept.classes(grouping)
    expected = [
        float(torch.cosine_similarity(row, kept.mean(grouping, int(label)), dim=0))
        for row, label in zip(kept.activations, classes, strict=True)
    ]
    assert found.similarity == pytest.approx(np.array(expected), rel=1e-5)
    # Ranked alike, but for samples that are closer to each other than the arithmetic is exact.
    order = np.argsort(found.similarity)
    assert all(np.diff(np.array(expected)[order]) > -1e-5)
    distances = distances_of(found.means.gram(grouping)).numpy()
    present = set(classes.tolist())
    for c, k in itertools.combinations(range(len(distances)), 2):
        if {c, k} <= present:
            cosine = torch.cosine_similarity(kept.mean(grouping, c), kept.mean(grouping, k), dim=0)
            assert distances[c, k] == pytest.approx(1 - float(cosine), rel=1e-5)
        else:
            assert np.isnan(distances[c, k])
    return found


@pytest.mark.parametrize("grouping", ["trueClass", "predictedClass"])
@pytest.mark.parametrize("make", [random_subject, cell_subject, named_subject])
def test_a_random_networks_samples_and_classes(make: Callable[[], Subject], grouping: Grouping) -> None:
    subject = make()
    _check(subject, subject.data.validation, grouping)
    assert not any(module._forward_hooks for module in subject.network.modules())


def test_a_trained_networks_validation_and_training_samples(trained_subject: Subject) -> None:
    data = trained_subject.data
    found = _check(trained_subject, data.validation, "predictedClass")
    assert 0 < (found.labels != found.predictions).sum() < len(found.labels)
    few = DevicePart(data.train.images[:300], data.train.labels[:300])
    _check(trained_subject, few, "trueClass")


def test_batches_and_order_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    subject = random_subject()
    part = subject.data.validation
    first = gather(subject, part, "predictedClass")
    monkeypatch.setattr(class_means, "MAX_BATCH", 7)
    order = torch.randperm(len(part), generator=torch.Generator().manual_seed(3))
    second = gather(subject, DevicePart(part.images[order], part.labels[order]), "predictedClass")
    assert second.similarity == pytest.approx(first.similarity[order.numpy()], rel=1e-5)
    assert second.predictions.tolist() == first.predictions[order.numpy()].tolist()


def test_of_too_many_samples_each_class_gives_its_share() -> None:
    subject = random_subject()
    part = DevicePart(subject.data.validation.images[:60], subject.data.validation.labels[:60])
    found = gather(subject, part, "trueClass", max_samples=20)
    assert np.bincount(found.labels).tolist() == [5, 5, 5, 5]
    assert np.all(np.diff(found.positions) > 0)
    assert found.labels.tolist() == part.labels[found.positions].tolist()


def test_activations_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the second pass only numbers a sample live on: its hook never sees more than one batch."""
    subject, original = random_subject(), gathering.flat
    seen: list[int] = []

    def flat(output: Tensor) -> Tensor:
        seen.append(len(output))
        return original(output)

    monkeypatch.setattr(class_means, "MAX_BATCH", 8)
    monkeypatch.setattr(gathering, "flat", flat)
    gather(subject, subject.data.validation, "predictedClass")
    assert max(seen) == 8


def test_what_is_not_finite_and_what_is_not_wanted() -> None:
    subject = random_subject()
    subject.network.get_parameter("head.scores.bias").data[0] = torch.nan
    with pytest.raises(NonFiniteError):
        gather(subject, subject.data.validation, "predictedClass")

    def cancelled() -> None:
        raise TaskCancelledError

    unwanted = Subject(subject.network, subject.data, NUMBERS, "all", cancelled)
    with pytest.raises(TaskCancelledError):
        gather(unwanted, subject.data.validation, "predictedClass")
    assert not any(module._forward_hooks for module in subject.network.modules())


def test_the_plane_is_that_of_a_singular_value_decomposition(trained_subject: Subject) -> None:
    part = trained_subject.data.validation
    gathered = gather(trained_subject, part, "predictedClass")
    found = plane(trained_subject, part, gathered, seed=5)
    assert len(found.points) == min(MAX_SAMPLES, len(part))
    chosen = gathered.positions[choose(len(part), len(found.points), 5)]
    kept = keep(trained_subject, DevicePart(part.images[chosen], part.labels[chosen]))
    centred = kept.activations - kept.activations.mean(0)
    left, values, _ = torch.linalg.svd(centred, full_matrices=False)
    variance = values.square() / values.square().sum()
    assert found.variance == pytest.approx(variance[:2].tolist(), rel=1e-4)
    assert list(found.labels) == kept.labels.tolist()
    for axis in range(2):
        expected = (left[:, axis] * values[axis]).numpy()
        expected *= np.sign(expected[np.abs(expected).argmax()])
        assert np.array(found.points)[:, axis] == pytest.approx(expected, abs=1e-4 * np.abs(expected).max())


def test_a_plane_without_variance_is_a_point() -> None:
    subject = random_subject()
    part = DevicePart(subject.data.validation.images[:1].expand(9, -1, -1, -1), torch.zeros(9, dtype=torch.int64))
    found = plane(subject, part, gather(subject, part, "trueClass"), seed=1)
    assert np.array(found.points) == pytest.approx(np.zeros((9, 2)), abs=1e-3)


def test_one_sample_alone_is_a_point() -> None:
    subject = random_subject()
    part = DevicePart(subject.data.validation.images[:1], subject.data.validation.labels[:1])
    found = plane(subject, part, gather(subject, part, "predictedClass"), seed=1)
    assert found.points == ((0.0, 0.0),)
    assert found.variance == (0.0, 0.0)


def test_heat_maps_are_means_over_channels(trained_subject: Subject) -> None:
    network, part = trained_subject.network, trained_subject.data.validation
    maps = heat_maps(network.graph, gather(trained_subject, part, "trueClass").means, "trueClass")
    assert list(maps) == block_outputs(network.graph)
    for name, values in maps.items():
        with captured(network, {name: network.get_submodule(name)}) as outputs, torch.no_grad():
            network(trained_subject.data.normalise(part.images))
            rows = outputs[0].mean(1)
        expected = torch.stack([rows[part.labels == label].mean(0) for label in range(10)])
        torch.testing.assert_close(values, expected, rtol=1e-4, atol=1e-4)


def test_blocks_end_where_everything_passes() -> None:
    assert block_outputs(small_graph()) == ["stem.norm", "block.maximum"]
    space = NasBench201({"cellsPerStage": 2, "channels": 4, "prune": False}, DataShape(1, 8, 8, 4))
    outputs = block_outputs(space.graph((0, 1, 3, 2, 0, 3)))
    assert [name.split(".")[0] for name in outputs] == [
        "stem", "stage1", "reduction1", "stage2", "reduction2", "stage3", "head"
    ]  # fmt: skip
    assert "stage1.cell2.node3" in outputs


def test_large_maps_are_averaged_down_and_many_blocks_are_thinned() -> None:
    nodes = [Node("image", Op.INPUT)]
    for number in range(20):
        nodes.append(Node(f"block{number}.conv", Op.CONV, (nodes[-1].name,), {"channels": 2, "kernel": 1}))
    tail: tuple[tuple[str, Op, dict[str, int]], ...] = (
        ("pool", Op.GLOBAL_AVG_POOL, {}),
        ("flat", Op.FLATTEN, {}),
        ("scores", Op.LINEAR, {"features": 4}),
    )
    for name, operation, attributes in tail:
        nodes.append(Node(f"head.{name}", operation, (nodes[-1].name,), attributes))
    graph = Graph(tuple(nodes), (1, 48, 40))
    outputs = block_outputs(graph)
    assert len(outputs) == 8
    assert (outputs[0], outputs[-1]) == ("block0.conv", "block19.conv")
    subject = _subject(build(graph, 1), small_data(validation=8, samples=8, side=48))
    part = DevicePart(subject.data.validation.images[..., :40], subject.data.validation.labels)
    maps = heat_maps(graph, gather(subject, part, "trueClass").means, "trueClass")
    assert {tuple(values.shape) for values in maps.values()} == {(4, 32, 32)}


def test_a_sample_is_never_more_alike_than_its_own_class_s_mean() -> None:
    """Each sample is the only one of its class, so its similarity is 1, whatever float32 rounds."""
    data = small_data(classes=24, samples=24, validation=24)
    for seed in range(4):
        network = build(small_graph(classes=24, width=12), seed=seed).eval()
        seen = gather(Subject(network, data, NUMBERS, "all"), data.validation, "trueClass")
        assert seen.similarity.max() <= 1
        assert seen.similarity.min() > 1 - 1e-5
