"""Each explainer against its definition, on a trained network and on cells of every kind."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xnas_core.errors import InvalidInputError
from xnas_core.spaces.nas_bench_201 import NasBench201
from xnas_evaluator.explain import Explainer, NotApplicableError
from xnas_evaluator.explain.budget import bytes_per_image
from xnas_evaluator.explain.feature_map import last_feature_map
from xnas_evaluator.explain.grad_cam import GradCamExplainer
from xnas_evaluator.explain.integrated_gradients import IntegratedGradientsExplainer
from xnas_evaluator.explain.saliency import SaliencyExplainer
from xnas_evaluator.loading import TrainedNetwork
from xnas_evaluator.networks.build import build
from xnas_evaluator.resident import device_data
from xnas_evaluator.testing_networks import small_graph
from xnas_evaluator.testing_trained import DIGITS, PARAMETERS, TrainedFolder

EXPLAINERS: list[Callable[[], Explainer]] = [IntegratedGradientsExplainer, SaliencyExplainer, GradCamExplainer]
ODD_CELLS = {
    "all skip": "|skip_connect~0|+|skip_connect~0|skip_connect~1|+|skip_connect~0|skip_connect~1|skip_connect~2|",
    "pooling only": "|avg_pool_3x3~0|+|avg_pool_3x3~0|avg_pool_3x3~1|+|avg_pool_3x3~0|avg_pool_3x3~1|avg_pool_3x3~2|",
    "single path": "|nor_conv_3x3~0|+|none~0|nor_conv_1x1~1|+|none~0|none~1|nor_conv_3x3~2|",
    "one edge": "|none~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|",
    "convolutions": "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|nor_conv_3x3~0|nor_conv_3x3~1|nor_conv_1x1~2|",
}


def _cell(encoding: str, prune: bool = True) -> nn.Module:
    space = NasBench201({**PARAMETERS, "prune": prune}, DIGITS)
    return build(space.graph(space.decode(encoding)), seed=1).eval()


def _batch(count: int = 5, channels: int = 1, side: int = 8) -> tuple[Tensor, Tensor]:
    source = torch.Generator().manual_seed(4)
    return torch.randn(count, channels, side, side, generator=source), torch.arange(count) % 10


def _digits(trained: TrainedFolder, network: TrainedNetwork, count: int = 24) -> tuple[Tensor, Tensor]:
    assert trained.spec.dataset is not None
    data = device_data(trained.spec.dataset, trained.spec.seed, trained.root.parent / "cache", "cpu")
    inputs = network.normalise(data.validation.images[:count])
    return inputs, network(inputs).argmax(1)


def test_integrated_gradients_are_complete_and_more_steps_make_them_more_so(
    trained: TrainedFolder, network: TrainedNetwork
) -> None:
    inputs, targets = _digits(trained, network)
    with torch.no_grad():
        gained = (network(inputs) - network(torch.zeros_like(inputs))).gather(1, targets[:, None]).squeeze(1)
    few, many = (IntegratedGradientsExplainer(n).explain(network, inputs, targets, 0) for n in (5, 400))
    default = IntegratedGradientsExplainer().explain(network, inputs, targets, 0)
    for explanation in (few, many, default):
        assert explanation.deltas is not None
        missing = explanation.attributions.sum((1, 2, 3)) - gained
        torch.testing.assert_close(explanation.deltas, missing, atol=2e-4, rtol=0)
    assert few.deltas is not None
    assert many.deltas is not None
    assert default.deltas is not None
    assert many.deltas.abs().mean() < 0.2 * few.deltas.abs().mean()
    assert default.deltas.abs().mean() < 0.02 * gained.abs().mean()


def test_integrated_gradients_do_not_depend_on_how_the_work_is_cut(network: TrainedNetwork) -> None:
    inputs, targets = _batch(7)
    whole = IntegratedGradientsExplainer(20).explain(network, inputs, targets, 0)
    for size in (1, 3, 8):
        budget = size * bytes_per_image(network, inputs)
        cut = IntegratedGradientsExplainer(20, budget_bytes=budget).explain(network, inputs, targets, 0)
        torch.testing.assert_close(cut.attributions, whole.attributions, atol=1e-5, rtol=1e-4)


def test_integrated_gradients_never_send_more_than_the_bound_through_the_network(network: TrainedNetwork) -> None:
    sizes: list[int] = []
    handle = network.register_forward_pre_hook(lambda _, given: sizes.append(len(given[0])))
    inputs, targets = _batch(10)
    budget = 16 * bytes_per_image(network, inputs)
    IntegratedGradientsExplainer(50, budget_bytes=budget).explain(network, inputs, targets, 0)
    handle.remove()
    assert max(sizes) <= 16


def test_a_linear_network_is_explained_exactly() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    inputs, targets = _batch()
    explanation = IntegratedGradientsExplainer(3).explain(network, inputs, targets, 0)
    weights = network[1].get_parameter("weight")[targets].detach().view_as(inputs)
    torch.testing.assert_close(explanation.attributions, weights * inputs, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(SaliencyExplainer().explain(network, inputs, targets, 0).attributions, weights.abs())


def test_saliency_is_the_absolute_gradient(trained: TrainedFolder, network: TrainedNetwork) -> None:
    inputs, targets = _digits(trained, network)
    found = SaliencyExplainer().explain(network, inputs, targets, 0).attributions
    for position in range(len(inputs)):
        image = inputs[position : position + 1].clone().requires_grad_()
        network(image)[0, targets[position]].backward()
        assert image.grad is not None
        torch.testing.assert_close(found[position], image.grad[0].abs(), atol=1e-5, rtol=1e-4)


def test_grad_cam_equals_a_slow_implementation(trained: TrainedFolder, network: TrainedNetwork) -> None:
    inputs, targets = _digits(trained, network, 6)
    explanation = GradCamExplainer().explain(network, inputs, targets, 0)
    layer = network.get_submodule(str(explanation.parameters["layer"]))
    for position in range(len(inputs)):
        kept: list[Tensor] = []

        def keep(_: nn.Module, __: object, output: Tensor, kept: list[Tensor] = kept) -> None:
            output.retain_grad()
            kept.append(output)

        handle = layer.register_forward_hook(keep)
        network(inputs[position : position + 1])[0, targets[position]].backward()
        handle.remove()
        maps, gradient = kept[0].detach()[0], kept[0].grad
        assert gradient is not None
        coarse = torch.zeros(maps.shape[1:])
        for channel in range(len(maps)):
            coarse += gradient[0, channel].mean() * maps[channel]
        fine = F.interpolate(coarse.clamp(min=0)[None, None], (8, 8), mode="bilinear")
        torch.testing.assert_close(explanation.attributions[position], fine[0], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("encoding", ODD_CELLS.values())
def test_odd_cells_are_explained_by_every_method(encoding: str) -> None:
    network, (inputs, targets) = _cell(encoding), _batch()
    for make in EXPLAINERS:
        explanation = make().explain(network, inputs, targets, 0)
        assert explanation.attributions.shape[0] == 5
        assert explanation.attributions.shape[2:] == inputs.shape[2:]
        assert explanation.attributions.isfinite().all()
        assert not explanation.attributions.requires_grad
        assert explanation.attributions.abs().sum() > 0


LAYERS = {
    "all skip": "stage2.cell1.sum1",
    "pooling only": "stage2.cell1.sum2",
    "single path": "stage2.cell1.conv3.norm",
    "one edge": "reduction1.sum",
    "convolutions": "stage2.cell1.sum2",
}


@pytest.mark.parametrize(("name", "layer"), LAYERS.items())
def test_grad_cam_looks_where_all_branches_have_met(name: str, layer: str) -> None:
    network, (inputs, targets) = _cell(ODD_CELLS[name]), _batch()
    assert GradCamExplainer().explain(network, inputs, targets, 0).parameters["layer"] == layer
    assert GradCamExplainer(2).explain(network, inputs, targets, 0).parameters["layer"] == "head.relu"
    # Where no layer is as large as preferred, the last one that is an image at all.
    assert GradCamExplainer(100).explain(network, inputs, targets, 0).parameters["layer"] == "head.relu"


def test_grad_cam_passes_over_gates_branches_and_what_ran_twice() -> None:
    # In small_graph only block.sum and what follows are on every path; the gate's input is 1x1.
    assert last_feature_map(build(small_graph()).eval(), _batch()[0], 4, "gradCam").name == "block.maximum"
    shared = nn.ReLU()
    twice = nn.Sequential(nn.Conv2d(1, 2, 3), shared, nn.BatchNorm2d(2), shared, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    assert last_feature_map(twice.eval(), _batch()[0], 4, "gradCam").name == "2"


def test_grad_cam_passes_over_dead_branches_of_networks_that_are_not_pruned() -> None:
    dead = "|nor_conv_3x3~0|+|nor_conv_3x3~0|none~1|+|none~0|nor_conv_1x1~1|none~2|"
    inputs, targets = _batch()
    explanation = GradCamExplainer().explain(_cell(dead, prune=False), inputs, targets, 0)
    assert explanation.attributions.abs().sum() > 0


@pytest.mark.parametrize(
    ("network", "what"),
    [
        (nn.Sequential(nn.AvgPool2d(2), nn.Flatten(), nn.Linear(16, 10)), "this network has none"),
        (nn.Sequential(nn.Conv2d(1, 4, 8), nn.ReLU(), nn.Flatten(), nn.Linear(4, 10)), "at least 2x2 pixels"),
    ],
)
def test_grad_cam_says_so_where_a_network_has_no_fit_layer(network: nn.Module, what: str) -> None:
    with pytest.raises(NotApplicableError, match=what):
        GradCamExplainer().explain(network, *_batch(), 0)
    assert _hooks(network) == 0


def _hooks(network: nn.Module) -> int:
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return sum(len(getattr(module, kind)) for module in network.modules() for kind in kinds)


@pytest.mark.parametrize("make", EXPLAINERS)
def test_what_is_not_a_batch_of_images_is_refused(make: Callable[[], Explainer]) -> None:
    network = _cell(ODD_CELLS["all skip"])
    inputs, targets = _batch()
    with pytest.raises(InvalidInputError, match="normalise them first"):
        make().explain(network, inputs.to(torch.uint8), targets, 0)
    with pytest.raises(InvalidInputError, match="float tensor"):
        make().explain(network, inputs[0], targets, 0)
    with pytest.raises(InvalidInputError, match="N > 0"):
        make().explain(network, inputs[:0], targets[:0], 0)
    with pytest.raises(InvalidInputError, match=r"of shape \(5,\)"):
        make().explain(network, inputs, targets[:4], 0)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: IntegratedGradientsExplainer(0),
        lambda: IntegratedGradientsExplainer(1, budget_bytes=0),
        lambda: GradCamExplainer(1),
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong: Callable[[], Explainer]) -> None:
    with pytest.raises(InvalidInputError, match="at least"):
        wrong()
