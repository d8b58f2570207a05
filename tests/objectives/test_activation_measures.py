"""Measures of activations, confidence and robustness against the formulas written out in loops."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.objectives.measure_subjects import CLASSES, data, futile_network, measurement, network
from xnas_core.plugins import PluginKind, load
from xnas_evaluator.diagnosis.calibration import calibrate
from xnas_evaluator.networks.build import GraphNetwork, activation_layers
from xnas_evaluator.objectives import validation
from xnas_evaluator.objectives.estimates import Estimate
from xnas_evaluator.objectives.futile import distance_estimate
from xnas_evaluator.objectives.interface import Measurement
from xnas_evaluator.objectives.introspectability import IntrospectabilitySettings, distances_of
from xnas_evaluator.objectives.measures.adversarial_accuracy import attack
from xnas_evaluator.objectives.measures.expected_calibration_error import calibration_error
from xnas_evaluator.training.device_data import DeviceData
from xnas_evaluator.training.regulariser import captured

Array = npt.NDArray[np.float64]
KINDS = ("random", "trained")


def _measure(name: str, view: Measurement) -> Estimate:
    found = load(PluginKind.OBJECTIVE, name)().measure(view)
    assert isinstance(found, Estimate)
    return found


def _view(root: Path, net: GraphNetwork, **parameters: Any) -> Measurement:
    return measurement(root, net, data(), **parameters)


@torch.inference_mode()
def _activations(net: GraphNetwork, images: DeviceData, names: list[str]) -> tuple[Array, list[int]]:
    """All activations of all validation samples, one sample at a time, and the predictions."""
    layers = {name: net.get_submodule(name) for name in names}
    rows, predictions = [], []
    with captured(net, layers) as outputs:
        for index in range(len(images.validation)):
            logits = net(images.normalise(images.validation.images[index : index + 1]))
            predictions.append(int(logits.argmax()))
            rows.append(np.concatenate([output.flatten().double().numpy() for output in outputs]))
            outputs.clear()
    return np.stack(rows), predictions


def _distance(a: Array, b: Array) -> float:
    return float(1 - a @ b / np.sqrt((a @ a) * (b @ b)))


def _introspectability(
    rows: Array, classes: list[int], weights: Array | None = None, without: int | None = None
) -> float | None:
    total, count = 0.0, 0.0
    for c in range(CLASSES):
        for k in range(c + 1, CLASSES):
            members = [rows[[i for i, own in enumerate(classes) if own == one]] for one in (c, k)]
            if without in (c, k) or not all(len(part) and part.any() for part in members):
                continue
            weight = 1.0 if weights is None else weights[c, k]
            total += weight * _distance(members[0].mean(0), members[1].mean(0))
            count += weight
    return total / count if count else None


def _jackknife(rows: Array, classes: list[int], weights: Array | None = None) -> float:
    values = [_introspectability(rows, classes, weights, c) for c in range(CLASSES) if c in classes]
    kept = [value for value in values if value is not None]
    mean = sum(kept) / len(kept)
    return float(np.sqrt((len(kept) - 1) / len(kept) * sum((value - mean) ** 2 for value in kept)))


# --- introspectability and its kin ---


@pytest.mark.parametrize("patterns", [["block.edge1"], ["stem", "block.s*"], ["*.relu", "head.scores"]])
@pytest.mark.parametrize("kind", KINDS)
def test_named_layers_are_counted_and_no_others(kind: str, patterns: list[str], tmp_path: Path) -> None:
    expected = {
        "block.edge1": ["block.edge1.relu", "block.edge1.conv", "block.edge1.norm"],
        "stem": ["stem.conv", "stem.norm", "block.sum", "block.squeeze", "block.scaled", "block.swish"],
        "*.relu": ["block.edge0.relu", "block.edge1.relu", "head.scores"],
    }[patterns[0]]
    net = network(kind)
    assert list(activation_layers(net, tuple(patterns))) == expected
    rows, _ = _activations(net, data(), expected)
    labels = data().validation.labels.tolist()
    view = _view(tmp_path, net, layers="named", layerNames=patterns, groupBy="trueClass")
    found = _measure("introspectability", view)
    assert found.value == pytest.approx(_introspectability(rows, labels), rel=1e-5)
    assert found.error == pytest.approx(_jackknife(rows, labels), rel=1e-4)


def test_names_that_fit_nothing_leave_the_value_undefined(tmp_path: Path) -> None:
    view = _view(tmp_path, network("random"), layers="named", layerNames=["stage9"])
    assert _measure("introspectability", view) == Estimate(None)


@pytest.mark.parametrize("group_by", ["trueClass", "predictedClass"])
@pytest.mark.parametrize("kind", KINDS)
def test_similar_classes_count_more(kind: str, group_by: str, tmp_path: Path) -> None:
    names = data().class_names
    similarity = np.eye(CLASSES)
    lines = ["class,class,similarity"]
    for c in range(CLASSES):
        for k in range(c + 1, CLASSES):
            similarity[c, k] = similarity[k, c] = 1 / (2 + c + k)
            lines.append(f"{names[k]},{names[c]},{1 / (2 + c + k)!r}")
    path = tmp_path / "pairs.csv"
    path.write_text("\n".join(lines))
    net = network(kind)
    view = _view(tmp_path, net, similarities=str(path), groupBy=group_by, layers="all")
    rows, predictions = _activations(net, data(), list(activation_layers(net, "all")))
    classes = data().validation.labels.tolist() if group_by == "trueClass" else predictions
    found = _measure("introspectability_weighted", view)
    expected = _introspectability(rows, classes, similarity)
    assert found.value == (None if expected is None else pytest.approx(expected, rel=1e-5))
    if found.error is not None:
        assert found.error == pytest.approx(_jackknife(rows, classes, similarity), rel=1e-4)


def test_live_introspectability_and_the_share_of_the_rest(tmp_path: Path) -> None:
    net, labels = futile_network(), data().validation.labels.tolist()
    names = list(activation_layers(net, "all"))
    live = [name for name in names if not name.startswith(("cut.", "off."))]
    view = _view(tmp_path, net, layers="all", groupBy="trueClass")
    everything = _introspectability(_activations(net, data(), names)[0], labels)
    rest = _introspectability(_activations(net, data(), live)[0], labels)
    assert everything is not None
    assert rest is not None
    assert rest < everything, "the futile branches were meant to add to the score"
    assert _measure("introspectability_live", view).value == pytest.approx(rest, rel=1e-5)
    share = _measure("futile_share", view)
    assert share.value == pytest.approx(1 - rest / everything, rel=1e-5)
    shares = []
    for c in range(CLASSES):
        both = [_introspectability(_activations(net, data(), some)[0], labels, without=c) for some in (live, names)]
        shares.append(max(0.0, 1 - (both[0] or 0) / (both[1] or 1)))
    spread = sum((value - sum(shares) / CLASSES) ** 2 for value in shares)
    assert share.error == pytest.approx(np.sqrt((CLASSES - 1) / CLASSES * spread), rel=1e-4)
    guard = load(PluginKind.OBJECTIVE, "introspectability")()
    assert guard.futile_share(view) == share


def test_where_nothing_is_live_all_is_futile(tmp_path: Path) -> None:
    net = futile_network()
    net.get_parameter("head.scores.weight").data.zero_()
    view = _view(tmp_path, net, groupBy="trueClass")
    assert _measure("futile_share", view).value == 1
    assert _measure("introspectability_live", view).value is None


def test_nothing_is_owed_to_futile_activations_that_lower_the_value(tmp_path: Path) -> None:
    net = futile_network()
    # The same for every image: no distance, and a large common part in all class means.
    net.get_parameter("off.conv.weight").data.zero_()
    net.get_parameter("off.norm.bias").data.zero_()
    net.get_buffer("off.norm.running_mean").data.fill_(-3)
    net.get_parameter("off.norm.weight").data.fill_(1.0)
    view = _view(tmp_path, net, layers="named", layerNames=["off.norm", "used.norm"], groupBy="trueClass")
    assert (_measure("introspectability_live", view).value or 0) > (_measure("introspectability", view).value or 0)
    assert _measure("futile_share", view).value == 0


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 999), scale=st.floats(0.01, 100))
def test_distances_do_not_depend_on_the_scale_of_activations(seed: int, scale: float) -> None:
    means = torch.rand((4, 6), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    weights = torch.rand((4, 4), generator=torch.Generator().manual_seed(seed + 1), dtype=torch.float64)
    weights = weights + weights.T
    expected = distance_estimate(distances_of(means @ means.T), weights)
    found = distance_estimate(distances_of(scale * means @ (scale * means).T), scale * weights)
    assert found.value == pytest.approx(expected.value, rel=1e-9)
    assert found.error == pytest.approx(expected.error, rel=1e-6, abs=1e-12)


# --- confidence ---


def _slow_calibration_error(confidence: list[float], hits: list[bool], bins: int) -> float:
    total = 0.0
    for b in range(bins):
        members = [i for i, value in enumerate(confidence) if b / bins < value <= (b + 1) / bins]
        if members:
            accuracy = sum(hits[i] for i in members) / len(members)
            mean = sum(confidence[i] for i in members) / len(members)
            total += len(members) / len(confidence) * abs(accuracy - mean)
    return total


@pytest.mark.parametrize("bins", [15, 4])
@pytest.mark.parametrize("kind", KINDS)
def test_expected_calibration_error(kind: str, bins: int, tmp_path: Path) -> None:
    view = _view(tmp_path, network(kind), bins=bins)
    confidence, hits = [], []
    with torch.inference_mode():
        for image, label in zip(data().validation.images, data().validation.labels, strict=True):
            scores = view.network(data().normalise(image[None]))[0].double()
            shares = [float(torch.exp(s)) / float(torch.exp(scores).sum()) for s in scores]
            confidence.append(max(shares))
            hits.append(shares.index(max(shares)) == int(label))
    found = _measure("expected_calibration_error", view)
    assert found.value == pytest.approx(_slow_calibration_error(confidence, hits, bins), rel=1e-5)
    assert found.error is not None


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0.05, 1), st.booleans()), min_size=2, max_size=30),
    st.integers(2, 20),
    st.randoms(use_true_random=False),
)
def test_calibration_error_in_any_order(samples: list[tuple[float, bool]], bins: int, order: Any) -> None:
    expected = _slow_calibration_error([c for c, _ in samples], [h for _, h in samples], bins)
    order.shuffle(samples)
    confidence = torch.tensor([c for c, _ in samples], dtype=torch.float64)
    found = calibration_error(confidence, torch.tensor([h for _, h in samples]), bins)
    # A value on the edge of two bins may round to either side of it.
    if not any(abs(c * bins - round(c * bins)) < 1e-9 for c, _ in samples):
        assert found.value == pytest.approx(expected, rel=1e-9, abs=1e-12)
    assert 0 <= (found.value or 0) <= 1


def test_calibration_errors_standard_error_is_that_of_many_draws() -> None:
    random = np.random.default_rng(0)
    values, errors = [], []
    for _ in range(400):
        confidence = random.choice([0.35, 0.55, 0.75, 0.95], 300)
        hits = random.random(300) < confidence - 0.15
        found = calibration_error(torch.from_numpy(confidence), torch.from_numpy(hits), 10)
        values.append(found.value or 0)
        errors.append(found.error or 0)
    assert float(np.mean(errors)) == pytest.approx(float(np.std(values)), rel=0.15)


@pytest.mark.parametrize("statistic", ["pearson", "spearman"])
@pytest.mark.parametrize("kind", KINDS)
def test_activation_calibration(kind: str, statistic: str, tmp_path: Path) -> None:
    net = network(kind)
    view = _view(tmp_path, net, bins=20, statistic=statistic, layers="all")
    rows, predictions = _activations(net, data(), list(activation_layers(net, "all")))
    labels = data().validation.labels.tolist()
    similarities = []
    for row, own in zip(rows, predictions, strict=True):
        mean = rows[[i for i, other in enumerate(predictions) if other == own]].mean(0)
        similarities.append(1 - _distance(row, mean))
    means, accuracies = [], []
    for b in range(20):
        members = [
            i for i, value in enumerate(similarities) if b / 20 <= value < (b + 1) / 20 or (b == 19 and value >= 1)
        ]
        if members:
            means.append(np.mean([similarities[i] for i in members]))
            accuracies.append(np.mean([labels[i] == predictions[i] for i in members]))
    found = _measure("activation_calibration", view)
    if len(means) < 3 or len(set(accuracies)) == 1:
        assert found.value is None
        return
    correlation = getattr(scipy.stats, f"{statistic}r")(means, accuracies).statistic
    assert found.value == pytest.approx(correlation, rel=1e-5)
    assert found.error is not None
    assert _measure("activation_calibration", view) == found, "the bootstrap is seeded"


def test_its_bins_are_those_of_the_diagnosis() -> None:
    similarity, correct = np.array([0.1, 0.5, 0.5, 0.9]), np.array([False, True, False, True])
    assert calibrate(similarity, correct, 10).pearson == pytest.approx(
        scipy.stats.pearsonr([0.1, 0.5, 0.9], [0, 0.5, 1]).statistic
    )


# --- robustness ---


def _slow_attack(net: GraphNetwork, images: DeviceData, image: Tensor, label: Tensor, epsilon: float) -> Tensor:
    """By hand: the gradient by pixels in 0..1, of the whole function from there."""
    pixels = (image.double() / 255).float()[None].requires_grad_()
    loss = -torch.log_softmax(net((pixels * 255 - images.mean) / images.std), 1)[0, label]
    (gradient,) = torch.autograd.grad(loss, pixels)
    return (pixels.detach() + epsilon * gradient.sign()).clamp(0, 1) * 255


@pytest.mark.parametrize("epsilon", [0.0, 8 / 255, 0.3])
@pytest.mark.parametrize("kind", KINDS)
def test_adversarial_accuracy(kind: str, epsilon: float, tmp_path: Path) -> None:
    net, images = network(kind), data()
    view = _view(tmp_path, net, epsilon=epsilon)
    correct = 0
    for image, label in zip(images.validation.images, images.validation.labels, strict=True):
        attacked = _slow_attack(net, images, image, label, epsilon)
        with torch.no_grad():
            correct += int(net((attacked - images.mean) / images.std).argmax() == label)
    share = correct / len(images.validation)
    found = _measure("adversarial_accuracy", view)
    assert found.value == pytest.approx(share)
    assert found.error == pytest.approx((share * (1 - share) / len(images.validation)) ** 0.5)
    if epsilon == 0:
        assert found.value == pytest.approx(view.shared.scores(IntrospectabilitySettings()).accuracy)
    assert not any(parameter.grad is not None for parameter in net.parameters())


@pytest.mark.parametrize("channels", [1, 3])
def test_an_attack_stays_within_epsilon_and_the_range_of_pixels(channels: int) -> None:
    images, net = data(channels=channels), network("trained", channels)
    part = images.validation
    before = part.images.clone()
    attacked = attack(net, images, part.images, part.labels, 0.1)
    assert torch.equal(part.images, before)
    assert float((attacked - before.float()).abs().max()) <= 25.5 + 1e-4
    assert 0 <= float(attacked.min()) <= float(attacked.max()) <= 255
    with torch.no_grad():
        losses = [
            torch.nn.functional.cross_entropy(net(images.normalise(x.clone())), part.labels) for x in (before, attacked)
        ]
    assert losses[1] > losses[0]


def test_fewer_samples_are_spread_over_the_classes(tmp_path: Path) -> None:
    whole, few = (_measure("adversarial_accuracy", _view(tmp_path, network("trained"), maxSamples=n)) for n in (40, 8))
    assert few.value is not None
    assert (few.value * 8) % 1 == 0
    assert (few.error or 0) > (whole.error or 0)


# --- what changes nothing ---


@settings(max_examples=6, deadline=None)
@given(
    order=st.permutations(range(40)), renamed=st.permutations(range(CLASSES)), size=st.integers(1, 50),
    gain=st.sampled_from((0.25, 2.0, 8.0)),
)  # fmt: skip
def test_batches_order_and_names_of_classes_change_nothing(
    order: list[int], renamed: list[int], size: int, gain: float, tmp_path_factory: pytest.TempPathFactory
) -> None:
    root, images = tmp_path_factory.mktemp("measures"), data()
    names = ("expected_calibration_error", "activation_calibration", "adversarial_accuracy", "introspectability_live")
    expected = {name: _measure(name, measurement(root, network("trained"), images)).value for name in names}
    part = type(images.validation)(
        images.validation.images[order], torch.tensor(renamed)[images.validation.labels[order]]
    )
    changed = type(images)(**{**vars(images), "validation": part})
    net = network("trained")
    for parameter in net.get_submodule("head.scores").parameters():
        # Class k of old is class renamed[k] of new.
        parameter.data = parameter.data[torch.argsort(torch.tensor(renamed))]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(validation, "PLAIN_BATCH", size)
        for name in names:
            assert _measure(name, measurement(root, net, changed)).value == pytest.approx(expected[name], rel=1e-4)
    for parameter in net.get_submodule("head.scores").parameters():
        parameter.data.mul_(gain)
    # Scores of another scale: the same decisions, and the same dependence on activations.
    assert _measure("introspectability_live", measurement(root, net, changed)).value == pytest.approx(
        expected["introspectability_live"], rel=1e-3
    )
