"""The later explainers against slow and obvious implementations, and where Captum alone goes wrong."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from captum.attr import DeepLift, LayerConductance
from captum.attr._core.gradient_shap import InputBaselineXGradient
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from xnas_core.errors import InvalidInputError
from xnas_core.graph import Op
from xnas_evaluator.explain import Explainer, NotApplicableError
from xnas_evaluator.explain.budget import bytes_per_image, images_at_once
from xnas_evaluator.explain.deep_lift import DeepLiftExplainer
from xnas_evaluator.explain.grad_cam import GradCamExplainer
from xnas_evaluator.explain.gradient_shap import GradientShapExplainer
from xnas_evaluator.explain.guided_grad_cam import GuidedGradCamExplainer
from xnas_evaluator.explain.input_x_gradient import InputXGradientExplainer
from xnas_evaluator.explain.integrated_gradients import IntegratedGradientsExplainer
from xnas_evaluator.explain.layer_conductance import LayerConductanceExplainer, spread
from xnas_evaluator.explain.occlusion import OcclusionExplainer
from xnas_evaluator.explain.saliency import SaliencyExplainer
from xnas_evaluator.networks.build import GraphNetwork, build
from xnas_evaluator.testing_networks import small_graph
from xnas_evaluator.testing_sampled_networks import Drawn, Sampled, sampled

CELL = sampled(Drawn("nas-bench-201", True, 0))
MOBILE = sampled(Drawn("mobile", True, 0))
BOTH = pytest.mark.parametrize("case", [CELL, MOBILE], ids=lambda case: case.name)


def _chain(pool: nn.Module | None = None) -> nn.Module:
    torch.manual_seed(0)
    layers = [nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), pool or nn.AvgPool2d(2), nn.Conv2d(4, 4, 3), nn.Sigmoid()]
    size = nn.Sequential(*layers)(torch.zeros(1, 1, 8, 8)).numel()
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(size, 5)).eval()


def _captum_deep_lift(network: nn.Module, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        method = DeepLift(copy.deepcopy(network))
        attributions, deltas = method.attribute(
            images.clone(), torch.zeros_like(images), target=targets, return_convergence_delta=True
        )
    return attributions.detach(), deltas.detach()


def _gradient(network: nn.Module, image: Tensor, target: Tensor) -> Tensor:
    leaf = image.detach().clone().requires_grad_()
    found: Tensor = torch.autograd.grad(network(leaf[None])[0, target], leaf)[0]
    return found


def _close(found: Tensor, expected: Tensor, tolerance: float = 1e-4) -> None:
    assert found.shape == expected.shape
    assert float((found - expected).abs().max()) <= tolerance * float(expected.abs().max())


@BOTH
def test_input_x_gradient_is_what_it_says(case: Sampled) -> None:
    found = InputXGradientExplainer().explain(case.network, case.images, case.targets, 0).attributions
    expected = [x * _gradient(case.network, x, t) for x, t in zip(case.images, case.targets, strict=True)]
    _close(found, torch.stack(expected))


def test_deep_lift_is_captum_s_where_captum_s_rules_suffice() -> None:
    network = _chain()
    found = DeepLiftExplainer().explain(network, CELL.images, CELL.targets, 0)
    _close(found.attributions, _captum_deep_lift(network, CELL.images, CELL.targets)[0])


def test_captum_alone_loses_branches_and_gates_and_says_nothing() -> None:
    for case in (CELL, MOBILE):
        _, deltas = _captum_deep_lift(case.network, case.images, case.targets)
        ours = DeepLiftExplainer().explain(case.network, case.images, case.targets, 0)
        assert ours.deltas is not None
        assert deltas.abs().max() > 1e3 * ours.deltas.abs().max()


@BOTH
def test_deep_lift_equals_multipliers_passed_back_node_by_node(case: Sampled) -> None:
    found = DeepLiftExplainer().explain(case.network, case.images, case.targets, 0).attributions
    for image, target, attribution in zip(case.images, case.targets, found, strict=True):
        _close(attribution, image * _multipliers(case.network, image, int(target)), 1e-3)


def test_deep_lift_does_so_with_every_operation_of_small_graph() -> None:
    network = build(small_graph(classes=5), seed=1).eval()
    found = DeepLiftExplainer().explain(network, CELL.images, CELL.targets, 0).attributions
    for image, target, attribution in zip(CELL.images, CELL.targets, found, strict=True):
        _close(attribution, image * _multipliers(network, image, int(target)), 1e-3)


def _multipliers(network: GraphNetwork, image: Tensor, target: int) -> Tensor:
    """Go back through the graph, in double precision, one node after the other; (C, H, W)."""
    network = copy.deepcopy(network).double()
    values, references = (_values(network, x[None].double()) for x in (image, torch.zeros_like(image)))
    nodes = network.graph.nodes
    back = {node.name: torch.zeros_like(values[node.name]) for node in nodes}
    back[nodes[-1].name][0, target] = 1
    for node in reversed(nodes[1:]):
        module, m = network.get_submodule(node.name), back[node.name]
        x, x0 = values[node.inputs[0]], references[node.inputs[0]]
        y, y0 = values[node.name], references[node.name]
        if node.op is Op.MULTIPLY:
            gate, gate0 = values[node.inputs[1]], references[node.inputs[1]]
            back[node.inputs[0]] += m * (gate + gate0) / 2
            back[node.inputs[1]] += (m * (x + x0) / 2).sum((2, 3), keepdim=True)
        elif node.op in (Op.RELU, Op.HARD_SWISH, Op.HARD_SIGMOID):
            slope = torch.where((x - x0).abs() > 1e-6, (y - y0) / (x - x0), _vjp(module, x, torch.ones_like(x)))
            back[node.inputs[0]] += m * slope
        elif node.op is Op.MAX_POOL:
            highest = torch.maximum(y, y0)
            share = _vjp(module, x, m * (highest - y0)) + _vjp(module, x0, m * (y - highest))
            back[node.inputs[0]] += torch.where((x - x0).abs() > 1e-6, share / (x - x0), _vjp(module, x, m))
        else:
            inputs = [values[name].detach().requires_grad_() for name in node.inputs]
            grads = torch.autograd.grad(module(*inputs), inputs, m, allow_unused=True)
            for name, grad in zip(node.inputs, grads, strict=True):
                back[name] += torch.zeros_like(back[name]) if grad is None else grad
    return back[nodes[0].name][0].float()


def _values(network: GraphNetwork, image: Tensor) -> dict[str, Tensor]:
    values: dict[str, Tensor] = {}
    for node in network.graph.nodes:
        inputs = [values[name] for name in node.inputs] or [image]
        values[node.name] = network.get_submodule(node.name)(*inputs).detach()
    return values


def _vjp(module: nn.Module, at: Tensor, flowing: Tensor) -> Tensor:
    leaf = at.detach().requires_grad_()
    found: Tensor = torch.autograd.grad(module(leaf), leaf, flowing)[0]
    return found


@pytest.mark.parametrize("pool", [nn.MaxPool2d(2), nn.MaxPool2d(3, 1), nn.MaxPool2d(3, 2, 1)], ids=str)
def test_deep_lift_adds_up_through_maxima_whose_windows_overlap(pool: nn.Module) -> None:
    network = _chain(pool)
    found = DeepLiftExplainer().explain(network, CELL.images, CELL.targets, 0)
    assert found.deltas is not None
    assert bool((found.deltas.abs() < 1e-5 * found.attributions.abs().sum((1, 2, 3))).all())
    alone = DeepLiftExplainer().explain(network, CELL.images[1:2], CELL.targets[1:2], 0).attributions
    _close(alone, found.attributions[1:2])


class _Functional(nn.Module):
    def __init__(self, scale: float = 1.0) -> None:
        super().__init__()
        self.scores = nn.Linear(64, 5)
        nn.init.constant_(self.scores.weight, scale)

    def forward(self, images: Tensor) -> Tensor:
        scores: Tensor = self.scores(F.relu(images.flatten(1)) ** 2)
        return scores


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (nn.Sequential(nn.Flatten(), nn.Linear(64, 5), nn.Softmax(1)), "no rule for the operation Softmax"),
        (nn.Sequential(nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(64, 5)), "do not work in place; a ReLU does"),
        (_Functional(), "outside of its modules"),
        (_Functional(1e-3), "outside of its modules"),
    ],
)
def test_deep_lift_refuses_what_it_would_get_wrong(network: nn.Module, message: str) -> None:
    with pytest.raises(NotApplicableError, match=message):
        DeepLiftExplainer().explain(network, CELL.images, CELL.targets, 0)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())


def test_gradient_shap_equals_a_loop_over_its_draws_and_captum_s_formula(monkeypatch: pytest.MonkeyPatch) -> None:
    case, explainer = CELL, GradientShapExplainer(6, baseline=0.2, baseline_spread=0.5)
    found = explainer.explain(case.network, case.images, case.targets, 3)
    baselines, points = explainer._draws(case.images, 3)
    expected, deltas = torch.zeros_like(case.images), torch.zeros(len(case.images))
    for row, (image, target) in enumerate(zip(case.images, case.targets, strict=True)):
        for baseline, at in zip(baselines, points, strict=True):
            gradient = _gradient(case.network, baseline + at * (image - baseline), target)
            expected[row] += gradient * (image - baseline) / 6
            with torch.no_grad():
                deltas[row] -= case.network(torch.stack((image, baseline)))[:, target] @ torch.tensor([1.0, -1.0]) / 6
        deltas[row] += expected[row].sum()
    _close(found.attributions, expected)
    assert found.deltas is not None
    assert torch.allclose(found.deltas, deltas, atol=1e-5)
    monkeypatch.setattr(np.random, "uniform", lambda *_: points.numpy())
    captum = InputBaselineXGradient(case.network)
    target = int(case.targets[1])
    rows = captum.attribute(case.images[1:2].repeat(6, 1, 1, 1), baselines, target=target).detach()
    _close(found.attributions[1], rows.mean(0))


def test_gradient_shap_with_one_baseline_tends_to_integrated_gradients() -> None:
    case = CELL
    shap = GradientShapExplainer(600, baseline_spread=0.0).explain(case.network, case.images, case.targets, 1)
    paths = IntegratedGradientsExplainer(600).explain(case.network, case.images, case.targets, 1)
    _close(shap.attributions, paths.attributions, 0.02)
    other = GradientShapExplainer(600, baseline_spread=0.0).explain(case.network, case.images, case.targets, 2)
    assert not torch.equal(shap.attributions, other.attributions)


class _GuidedRelu(torch.autograd.Function):
    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, before: Tensor) -> Tensor:
        ctx.save_for_backward(before)
        return before.clamp(min=0)

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, *gradients: Tensor) -> Tensor:
        before: Tensor = ctx.saved_tensors[0]  # type: ignore[attr-defined]  # torch's own types lack it
        return gradients[0].clamp(min=0) * (before > 0)


@pytest.mark.parametrize("prune", [True, False])
def test_guided_grad_cam_equals_relus_of_its_own_times_grad_cam(prune: bool) -> None:
    case = sampled(Drawn("nas-bench-201", prune, 0))
    found = GuidedGradCamExplainer().explain(case.network, case.images, case.targets, 0)
    coarse = GradCamExplainer().explain(case.network, case.images, case.targets, 0)
    guided = copy.deepcopy(case.network)
    for module in guided.modules():
        if isinstance(module, nn.ReLU):
            module.__dict__["forward"] = _GuidedRelu.apply
    fine = [_gradient(guided, x, t) for x, t in zip(case.images, case.targets, strict=True)]
    _close(found.attributions, torch.stack(fine) * coarse.attributions)
    assert found.parameters["layer"] == coarse.parameters["layer"]


def test_guided_grad_cam_is_for_relus_alone() -> None:
    with pytest.raises(NotApplicableError, match=r"only activation is ReLU.*Use gradCam"):
        GuidedGradCamExplainer().explain(MOBILE.network, MOBILE.images, MOBILE.targets, 0)


@BOTH
@pytest.mark.parametrize(("window", "stride"), [(2, 1), (3, 2), (4, 4), (5, 3)])
def test_occlusion_equals_a_loop_over_windows(case: Sampled, window: int, stride: int) -> None:
    found = OcclusionExplainer(window, stride, baseline=0.5).explain(case.network, case.images, case.targets, 0)
    height, width = case.images.shape[2:]
    total, seen = torch.zeros(len(case.images), 1, height, width), torch.zeros(height, width)

    def scores(images: Tensor) -> Tensor:
        with torch.no_grad():
            picked: Tensor = case.network(images).gather(1, case.targets[:, None]).squeeze(1)
        return picked

    for top in range(0, height - window + stride, stride):
        for left in range(0, width - window + stride, stride):
            hidden = case.images.clone()
            hidden[:, :, top : top + window, left : left + window] = 0.5
            fall = scores(case.images) - scores(hidden)
            total[:, :, top : top + window, left : left + window] += fall[:, None, None, None]
            seen[top : top + window, left : left + window] += 1
    assert bool((seen > 0).all())
    _close(found.attributions, total / seen, 1e-3)


@pytest.mark.parametrize(("side", "window", "stride"), [(8, 2, 1), (28, 4, 2), (32, 5, 2), (224, 32, 16), (3, 1, 1)])
def test_occlusion_s_window_suits_the_image(side: int, window: int, stride: int) -> None:
    assert OcclusionExplainer()._placed(torch.zeros(1, 3, side, side + 3)) == (window, stride)


@BOTH
def test_conductance_tends_to_captum_s(case: Sampled) -> None:
    explainer = LayerConductanceExplainer(n_steps=200)
    found = explainer.explain(case.network, case.images, case.targets, 0)
    layer = case.network.get_submodule(str(found.parameters["layer"]))
    captum = LayerConductance(case.network, layer).attribute(
        case.images, torch.zeros_like(case.images), target=case.targets, n_steps=400, internal_batch_size=600
    )
    size = (case.images.shape[2], case.images.shape[3])
    _close(found.attributions, spread(captum.detach().sum(1, keepdim=True), size), 0.03)


@BOTH
def test_shares_of_branches_add_up_to_what_passes_their_sum(case: Sampled) -> None:
    found = LayerConductanceExplainer(n_steps=200).explain(case.network, case.images, case.targets, 0)
    sums = [node for node in case.network.graph.nodes if node.op is Op.ADD]
    assert len(found.layers) == sum(len(node.inputs) for node in sums)
    captum = LayerConductance(case.network, case.network.get_submodule(sums[-1].name)).attribute(
        case.images, torch.zeros_like(case.images), target=case.targets, n_steps=400, internal_batch_size=600
    )
    total = sum(found.layers[f"{sums[-1].name} < {name}"] for name in sums[-1].inputs)
    assert isinstance(total, Tensor)
    _close(total, captum.detach().flatten(1).sum(1), 0.03)


def test_conductance_does_not_depend_on_how_the_path_is_cut() -> None:
    case = CELL
    whole = LayerConductanceExplainer(17).explain(case.network, case.images, case.targets, 0)
    for rows in (1, 3, 8, 20, 40):
        budget = 2 * rows * bytes_per_image(case.network, case.images)
        cut = LayerConductanceExplainer(17, budget_bytes=budget).explain(case.network, case.images, case.targets, 0)
        _close(cut.attributions, whole.attributions)
        assert cut.layers.keys() == whole.layers.keys()
        assert all(torch.allclose(cut.layers[name], share, atol=1e-5) for name, share in whole.layers.items())


def test_an_operand_named_twice_has_two_shares_and_other_networks_have_none() -> None:
    network = build(small_graph(classes=5), seed=1).eval()
    shares = LayerConductanceExplainer(5).explain(network, CELL.images, CELL.targets, 0).layers
    assert list(shares)[-2:] == ["block.sum < block.pool", "block.sum < block.pool (2)"]
    assert torch.equal(shares["block.sum < block.pool"], shares["block.sum < block.pool (2)"])
    plain = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(72, 5)).eval()
    assert LayerConductanceExplainer(5).explain(plain, CELL.images, CELL.targets, 0).layers == {}


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 30), st.integers(1, 30))
def test_spreading_keeps_every_value_s_sum(height: int, width: int, fine_height: int, fine_width: int) -> None:
    coarse = torch.arange(1.0, height * width + 1).view(1, 1, height, width).double()
    fine = spread(coarse, (fine_height, fine_width))
    assert fine.shape == (1, 1, fine_height, fine_width)
    assert float(fine.sum()) == pytest.approx(float(coarse.sum()))
    if fine_height % height == 0 and fine_width % width == 0:
        each = coarse.repeat_interleave(fine_height // height, 2).repeat_interleave(fine_width // width, 3)
        assert torch.allclose(fine, each / (fine.numel() / coarse.numel()))


@BOTH
def test_the_budget_counts_the_same_from_the_graph_and_from_a_run(case: Sampled) -> None:
    counted = bytes_per_image(case.network, case.images)
    # The graph's first node is the input; a run counts the image and the module that passes it on.
    assert bytes_per_image(nn.Sequential(case.network), case.images) == counted + 8 * case.images[0].numel()
    assert images_at_once(case.network, case.images, 10 * counted) == 10
    assert images_at_once(case.network, case.images, 10 * counted, copies=3) == 3
    assert images_at_once(case.network, case.images, 1) == 1


METHODS: list[Callable[..., Explainer]] = [
    DeepLiftExplainer, GradCamExplainer, GradientShapExplainer, GuidedGradCamExplainer, InputXGradientExplainer,
    IntegratedGradientsExplainer, LayerConductanceExplainer, OcclusionExplainer, SaliencyExplainer,
]  # fmt: skip


@pytest.mark.parametrize("make", METHODS)
def test_every_setting_is_recorded_and_a_senseless_one_refused(make: Callable[..., Explainer]) -> None:
    with pytest.raises(InvalidInputError, match="budget_bytes of at least 1"):
        make(budget_bytes=0)
    made = make()
    given = {name: value for name, value in vars(made).items() if name != "budget_bytes"}
    found = made.explain(CELL.network, CELL.images, CELL.targets, 0).parameters
    assert len(found) >= len(given)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: GradientShapExplainer(0), "n_samples of at least 1"),
        (lambda: GradientShapExplainer(baseline_spread=-1.0), "baseline_spread of at least 0"),
        (lambda: DeepLiftExplainer(float("nan")), "finite baseline"),
        (lambda: GuidedGradCamExplainer(1), "preferred_side of at least 2"),
        (lambda: LayerConductanceExplainer(1), "n_steps of at least 2"),
        (lambda: LayerConductanceExplainer(preferred_side=1), "preferred_side of at least 2"),
        (lambda: OcclusionExplainer(0), "window of at least 1"),
        (lambda: OcclusionExplainer(2, 3), "never be hidden"),
    ],
)
def test_senseless_settings_are_named(wrong: Callable[[], Explainer], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        wrong()


def test_a_window_that_does_not_fit_is_named() -> None:
    with pytest.raises(InvalidInputError, match="does not fit into images of 8x8"):
        OcclusionExplainer(9).explain(CELL.network, CELL.images, CELL.targets, 0)
    with pytest.raises(InvalidInputError, match="stride of at most its window, 2 pixels"):
        OcclusionExplainer(stride=3).explain(CELL.network, CELL.images, CELL.targets, 0)
