"""Measures of attributions against the formulas written out in loops, and what must not change them."""

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

from tests.objectives.measure_subjects import data, measurement, network
from xnas_core.errors import InvalidInputError
from xnas_core.plugins import PluginKind, load, names
from xnas_core.tasks import derived_seed
from xnas_evaluator.explain import configured as configuring
from xnas_evaluator.explain.base import Explanation, NotApplicableError
from xnas_evaluator.networks.build import build, initialise
from xnas_evaluator.objectives.attributions import Perturbations, gini, over_channels, rank_correlations
from xnas_evaluator.objectives.estimates import Estimate
from xnas_evaluator.objectives.interface import Measurement
from xnas_evaluator.objectives.measures import infidelity as infidelity_module
from xnas_evaluator.objectives.measures.infidelity import Perturbing, Scale, infidelities
from xnas_evaluator.objectives.measures.max_sensitivity import sensitivities
from xnas_evaluator.objectives.plan import plan
from xnas_evaluator.objectives.shared import Explained
from xnas_evaluator.testing import FolderContext
from xnas_evaluator.testing_networks import small_spec
from xnas_evaluator.testing_sampled_networks import Drawn, sampled

Array = npt.NDArray[np.float64]
KINDS = ("random", "trained")


def _measure(name: str, view: Measurement) -> Estimate:
    found = load(PluginKind.OBJECTIVE, name)().measure(view)
    assert isinstance(found, Estimate)
    return found


def _view(root: Path, kind: str, channels: int = 1, **parameters: Any) -> Measurement:
    return measurement(root, network(kind, channels), data(channels=channels), **{"samplesPerClass": 2, **parameters})


def _attributions(view: Measurement, method: str) -> tuple[Explained, Explanation]:
    samples = view.shared.samples(2, 0)
    return samples, view.shared.explanation(method, 2, 0)


def _mean(values: list[float]) -> tuple[float, float]:
    """The mean and its standard error, by hand."""
    mean = sum(values) / len(values)
    variance = sum((value - mean) ** 2 for value in values) / (len(values) - 1)
    return mean, (variance / len(values)) ** 0.5


def _same(found: Estimate, values: list[float]) -> None:
    mean, error = _mean(values)
    assert found.value == pytest.approx(mean, rel=1e-5)
    assert found.error == pytest.approx(error, rel=1e-4)


# --- Gini ---


def _gini_by_pairs(values: Array) -> float:
    """Mean absolute difference of all pairs, over twice the mean: another form of the same index."""
    total = sum(abs(a - b) for a in values for b in values)
    return float(total / (2 * len(values) ** 2 * values.mean()))


@pytest.mark.parametrize("method", ["integratedGradients", "saliency", "gradCam"])
@pytest.mark.parametrize("kind", KINDS)
def test_sparsity_is_the_mean_gini_index(kind: str, method: str, tmp_path: Path) -> None:
    view = _view(tmp_path, kind, method=method)
    _, explanation = _attributions(view, method)
    found = _measure("sparsity", view)
    rows = [np.abs(row.flatten().double().numpy()) for row in explanation.attributions]
    _same(found, [_gini_by_pairs(row) for row in rows if row.any()])
    assert found.value is not None
    assert 0 <= found.value <= 1


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(0, 100, width=32), min_size=2, max_size=12).filter(any), st.floats(0.125, 8), st.randoms())
def test_gini_does_not_depend_on_scale_signs_and_order(values: list[float], scale: float, order: Any) -> None:
    row = torch.tensor([values], dtype=torch.float64)
    shuffled = list(range(len(values)))
    order.shuffle(shuffled)
    signs = torch.tensor([(-1.0) ** i for i in range(len(values))], dtype=torch.float64)
    expected = pytest.approx(_gini_by_pairs(np.array(values)), rel=1e-6, abs=1e-9)
    assert float(gini(row)) == expected
    assert float(gini(row[:, shuffled] * signs * scale)) == expected


def test_gini_at_its_ends() -> None:
    assert float(gini(torch.full((1, 5), 3.0))) == pytest.approx(0)
    assert float(gini(torch.tensor([[0.0, 0.0, 0.0, 0.0, 7.0]]))) == pytest.approx(0.8)
    assert bool(gini(torch.zeros(1, 4)).isnan())


# --- agreement and sanity ---


def _rho(first: Tensor, second: Tensor, signed: bool) -> float:
    rows = [values.double().numpy() for values in (first, second)]
    sums = [sum(row[c] if signed else np.abs(row[c]) for c in range(len(row))).ravel() for row in rows]
    return float(scipy.stats.spearmanr(*sums).statistic)


@pytest.mark.parametrize("compare", ["absolute", "signed"])
@pytest.mark.parametrize("channels", [1, 3])
def test_agreement_is_the_mean_rank_correlation(channels: int, compare: str, tmp_path: Path) -> None:
    view = _view(tmp_path, "trained", channels, first="integratedGradients", second="gradCam", compare=compare)
    one, other = (_attributions(view, name)[1].attributions for name in ("integratedGradients", "gradCam"))
    pairs = [(a, b) for a, b in zip(one, other, strict=True) if a.unique().numel() > 1 and b.unique().numel() > 1]
    _same(_measure("explainer_agreement", view), [_rho(a, b, compare == "signed") for a, b in pairs])


def test_an_explainer_agrees_with_itself(tmp_path: Path) -> None:
    view = _view(tmp_path, "trained", first="saliency", second="saliency")
    assert _measure("explainer_agreement", view).value == pytest.approx(1)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 99), scale=st.sampled_from((0.125, 0.5, 4)))
def test_rank_correlation_with_ties_does_not_depend_on_scale(seed: int, scale: float) -> None:
    random = np.random.default_rng(seed)
    one, other = (torch.from_numpy(random.integers(-3, 4, (3, 2, 3, 3)).astype(np.float32)) for _ in range(2))
    found = rank_correlations(one * scale, other, "signed")
    for value, a, b in zip(found.tolist(), one, other, strict=True):
        assert value == pytest.approx(_rho(a, b, signed=True), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("method", ["saliency", "integratedGradients"])
def test_sanity_compares_with_the_same_network_of_other_weights(method: str, tmp_path: Path) -> None:
    view = _view(tmp_path, "trained", method=method, randomizations=2)
    samples, explanation = _attributions(view, method)
    rows = []
    for number in range(2):
        other = build(view.network.graph)
        initialise(other, derived_seed(view.task.spec.seed, "measure", 0, "randomise", number))
        seed = derived_seed(view.task.spec.seed, "measure", 0, method)
        found = load(PluginKind.EXPLAINER, method)().explain(other.eval(), samples.images, samples.targets, seed)
        rows.append([
            abs(_rho(a, b, signed=False)) for a, b in zip(explanation.attributions, found.attributions, strict=True)
        ])  # fmt: skip
    _same(_measure("randomization_sanity", view), [(a + b) / 2 for a, b in zip(*rows, strict=True)])


def test_a_picture_of_the_image_itself_fails_the_sanity_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Edges:
        def explain(self, _network: object, inputs: Tensor, *_: object) -> Explanation:
            return Explanation(inputs.detach().clone())

    monkeypatch.setattr(configuring, "load", lambda _kind, _name: Edges)
    assert _measure("randomization_sanity", _view(tmp_path, "trained", method="saliency")).value == pytest.approx(1)


def test_a_map_that_random_weights_turn_upside_down_fails_it_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    view = _view(tmp_path, "trained", method="saliency", compare="signed", randomizations=3)
    trained = view.network.state_dict()

    class Turned:
        def explain(self, other: Any, inputs: Tensor, *_: object) -> Explanation:
            same = all(torch.equal(value, trained[name]) for name, value in other.state_dict().items())
            return Explanation(inputs.detach().clone() * (1 if same else -1))

    monkeypatch.setattr(configuring, "load", lambda _kind, _name: Turned)
    assert _measure("randomization_sanity", view).value == pytest.approx(1)


# --- completeness ---


@pytest.mark.parametrize("kind", KINDS)
def test_completeness_error_is_what_is_missing_relative_to_what_is_explained(kind: str, tmp_path: Path) -> None:
    view = _view(tmp_path, kind)
    samples, explanation = _attributions(view, "integratedGradients")
    with torch.no_grad():
        missing, explained = [], []
        for image, target, attribution in zip(samples.images, samples.targets, explanation.attributions, strict=True):
            gain = float(view.network(image[None])[0, target] - view.network(torch.zeros_like(image)[None])[0, target])
            missing.append(abs(float(attribution.double().sum()) - gain))
            explained.append(abs(gain))
    found = _measure("completeness_error", view)
    assert found.value == pytest.approx(sum(missing) / sum(explained), rel=1e-3, abs=1e-6)
    assert found.error is not None
    assert found.error > 0


def test_completeness_is_asked_only_of_explainers_that_promise_it(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="saliency does not promise completeness"):
        _measure("completeness_error", _view(tmp_path, "random", method="saliency"))


@pytest.mark.parametrize("method", names(PluginKind.EXPLAINER))
def test_completeness_is_refused_before_training_where_there_are_no_deltas(method: str) -> None:
    case = sampled(Drawn("nas-bench-201", True, 0))
    found = load(PluginKind.EXPLAINER, method)().explain(case.network, case.images[:1], case.targets[:1], 0)
    spec = small_spec(metrics=[{"name": "completeness_error", "parameters": {"method": method}}])
    if found.deltas is None:
        with pytest.raises(InvalidInputError, match=f"{method} does not promise completeness"):
            plan(spec)
    else:
        assert any(request.metric == "completeness_error" for request in plan(spec).requests)


# --- infidelity ---


def _slow_infidelity(
    view: Measurement, samples: Explained, attributions: Tensor, path: tuple[object, ...], removal: bool, scale: Scale
) -> list[float]:
    """One sample and one perturbation at a time, in float64 where the network does not decide."""
    amount, copies = float(str(view.parameters["amount"])), int(str(view.parameters["perturbations"]))
    kind = "pixels" if removal else "normal"
    drawn = Perturbations(path, samples.images.shape).take(kind, 0, len(samples.images))  # type: ignore[arg-type]
    random = [next(drawn)[1] for _ in range(copies)]
    values = []
    for n, (image, target) in enumerate(zip(samples.images, samples.targets, strict=True)):
        products, changes = [], []
        for copy in random:
            changed, product = image.clone(), 0.0
            for c in range(image.shape[0]):
                for i in range(image.shape[1]):
                    for j in range(image.shape[2]):
                        if removal:
                            times = 1.0 if copy[n, 0, i, j] < amount else 0.0
                            changed[c, i, j] *= 1 - times
                        else:
                            times = float(copy[n, c, i, j]) * amount
                            changed[c, i, j] -= times
                        product += times * float(attributions[n, c, i, j])
            with torch.no_grad():
                before, after = view.network(image[None])[0, target], view.network(changed[None])[0, target]
            products.append(product)
            changes.append(float(before - after))
        factor = 1.0
        if scale != "plain":
            factor = sum(p * d for p, d in zip(products, changes, strict=True)) / sum(p * p for p in products)
        value = sum((factor * p - d) ** 2 for p, d in zip(products, changes, strict=True)) / copies
        values.append(value / (sum(d * d for d in changes) / copies) if scale == "relative" else value)
    return values


@pytest.mark.parametrize("scale", ["plain", "fitted", "relative"])
@pytest.mark.parametrize(("kind", "method", "perturbation"), [
    ("random", "integratedGradients", "removal"), ("trained", "integratedGradients", "removal"),
    ("trained", "saliency", "noise"),
])  # fmt: skip
def test_infidelity_is_what_the_formula_says(
    kind: str, method: str, perturbation: str, scale: Scale, tmp_path: Path
) -> None:
    view = _view(
        tmp_path, kind, method=method, perturbation=perturbation, scale=scale, perturbations=3, amount=0.3,
        samplesPerClass=1,
    )  # fmt: skip
    samples = view.shared.samples(1, 0)
    attributions = view.shared.explanation(method, 1, 0).attributions
    path = (view.task.spec.seed, "measure", 0, "infidelity")
    slow = _slow_infidelity(view, samples, attributions, path, perturbation == "removal", scale)
    found = _measure("infidelity", view)
    assert found.value == pytest.approx(_mean(slow)[0], rel=1e-5)
    assert found.error == pytest.approx(_mean(slow)[1], rel=1e-4)


@settings(max_examples=6, deadline=None)
@given(budget=st.integers(1, 100_000), factor=st.floats(0.25, 4), gain=st.floats(0.25, 4))
def test_relative_infidelity_does_not_depend_on_batches_and_scales(budget: int, factor: float, gain: float) -> None:
    net, images = network("trained"), data()
    samples = Explained(images.normalise(images.validation.images[:6]), images.validation.labels[:6])
    attributions = torch.randn(samples.images.shape, generator=torch.Generator().manual_seed(1))
    source = Perturbations(("test",), samples.images.shape)
    perturbing = Perturbing(source, removal=True, amount=0.3, copies=4, scale="relative")
    expected = infidelities(net, samples, attributions, perturbing)
    head = net.get_submodule("head.scores")
    for parameter in head.parameters():
        parameter.data.mul_(gain)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(infidelity_module, "BUDGET_BYTES", budget)
        again = infidelities(net, samples, attributions * factor, perturbing)
    assert torch.allclose(again, expected, rtol=1e-3, atol=1e-5)
    assert bool((expected > -1e-5).all())
    assert bool((expected < 1 + 1e-5).all())


def test_infidelity_of_a_linear_score_by_its_gradient_is_nothing() -> None:
    last = torch.nn.Linear(9, 2)
    linear = torch.nn.Sequential(torch.nn.Flatten(), last)
    images = torch.randn(4, 1, 3, 3, generator=torch.Generator().manual_seed(0))
    targets = torch.tensor([0, 1, 0, 1])
    gradients = last.weight[targets].detach().reshape(4, 1, 3, 3)
    source = Perturbations(("linear",), images.shape)
    perturbing = Perturbing(source, removal=False, amount=0.5, copies=5, scale="plain")
    found = infidelities(linear, Explained(images, targets), gradients, perturbing)
    assert found.tolist() == pytest.approx([0] * 4, abs=1e-9)


def test_a_score_that_never_changes_has_no_relative_infidelity() -> None:
    last = torch.nn.Linear(4, 2)
    last.weight.data.zero_()
    flat = torch.nn.Sequential(torch.nn.Flatten(), last)
    images = torch.ones(2, 1, 2, 2)
    perturbing = Perturbing(Perturbations(("flat",), images.shape), True, 0.5, 3, "relative")
    found = infidelities(flat, Explained(images, torch.tensor([0, 1])), torch.ones_like(images), perturbing)
    assert bool(found.isnan().all())


def test_what_is_given_for_pixels_is_shared_by_their_channels() -> None:
    maps = torch.tensor([[[[3.0, 6.0]]]])
    assert over_channels(maps, 3)[0, :, 0].tolist() == [[1.0, 2.0]] * 3
    assert over_channels(maps, 1) is maps


# --- sensitivity ---


@pytest.mark.parametrize("method", ["saliency", "integratedGradients"])
@pytest.mark.parametrize("kind", KINDS)
def test_sensitivity_is_the_largest_relative_change(kind: str, method: str, tmp_path: Path) -> None:
    view = _view(tmp_path, kind, method=method, samplesPerClass=1, perturbations=3, radius=0.1)
    samples = view.shared.samples(1, 0)
    seed = view.shared.explainer_seed(method, 0)
    drawn = Perturbations((view.task.spec.seed, "measure", 0, "sensitivity"), samples.images.shape)
    source = drawn.take("uniform", 0, len(samples.images))
    random = [next(source)[1] for _ in range(3)]
    explainer = load(PluginKind.EXPLAINER, method)()
    values = []
    for n, (image, target) in enumerate(zip(samples.images, samples.targets, strict=True)):

        def row(picture: Tensor, target: Tensor = target) -> Array:
            found = explainer.explain(view.network, picture[None], target[None], seed)
            return np.asarray(found.attributions.double().numpy().ravel())

        own = row(image)
        norms = [np.linalg.norm(row(image + 0.1 * copy[n]) - own) / (np.linalg.norm(own) or 1) for copy in random]
        values.append(float(max(norms)))
    found = _measure("max_sensitivity", view)
    assert found.value == pytest.approx(_mean(values)[0], rel=1e-4)
    assert found.error == pytest.approx(_mean(values)[1], rel=1e-3)


def test_more_perturbations_never_lower_the_maximum() -> None:
    images = torch.randn(3, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    samples = Explained(images, torch.zeros(3, dtype=torch.int64))

    def cubes(pictures: Tensor, _targets: Tensor) -> Tensor:
        return pictures**3

    few, many = (
        sensitivities(cubes, samples, Perturbations(("more",), images.shape), 0.1, copies) for copies in (2, 9)
    )
    assert bool((many >= few).all())
    assert bool((few > 0).all())


# --- all ---


def test_perturbations_are_the_same_for_every_part_of_the_samples() -> None:
    shape = torch.Size((5, 2, 3, 3))
    whole, part = (Perturbations(("p", 1), shape).take("normal", *bounds) for bounds in ((0, 5), (2, 4)))
    for _ in range(3):
        (number, everything), (same, some) = next(whole), next(part)
        assert number == same
        assert torch.equal(everything[2:4], some)


def test_a_method_that_is_not_applicable_gives_no_attributions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Never:
        def explain(self, *_: object) -> Explanation:
            raise NotApplicableError("there is nothing to see here")

    monkeypatch.setattr(configuring, "load", lambda _kind, _name: Never)
    with pytest.raises(NotApplicableError):
        _measure("sparsity", _view(tmp_path, "random"))


@pytest.mark.parametrize("wrong", [torch.zeros(8, 1, 4, 4), torch.full((8, 1, 8, 8), torch.nan)])
def test_what_is_no_attribution_is_refused(wrong: Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Wrong:
        def explain(self, *_: object) -> Explanation:
            return Explanation(wrong)

    monkeypatch.setattr(configuring, "load", lambda _kind, _name: Wrong)
    with pytest.raises(InvalidInputError, match="gave attributions"):
        _measure("sparsity", _view(tmp_path, "random"))


def test_samples_are_seeded_balanced_and_shared(tmp_path: Path) -> None:
    view = _view(tmp_path, "random")
    first, other = view.shared.samples(2, 0), view.shared.samples(2, 1)
    assert view.shared.samples(2, 0) is first
    assert not torch.equal(first.images, other.images)
    again = _view(tmp_path, "trained").shared.samples(2, 0)
    assert torch.equal(again.images, first.images)
    assert len(first.images) == 8
    assert view.shared.explanation("saliency", 2, 0) is view.shared.explanation("saliency", 2, 0)


@pytest.mark.parametrize(
    ("name", "signs"),
    [("max_sensitivity", 5), ("randomization_sanity", 1), ("infidelity", 1), ("adversarial_accuracy", 1)],
)
def test_long_measures_give_signs_of_life(name: str, signs: int, tmp_path: Path) -> None:
    few = {"samplesPerClass": 1, "perturbations": 4} if name in ("max_sensitivity", "infidelity") else {}
    net, images = network("random"), data()
    view = measurement(tmp_path, net, images, **few)
    _measure(name, view)
    assert isinstance(view.task, FolderContext)
    assert [report.step for report in view.task.reported] == ["measuring"] * signs
