"""Optimisers against torch.optim, learning rates against hand-made values, loss scaling."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from xnas_core.api.spec import OptimizerSpec, ScheduleSpec
from xnas_evaluator.networks.build import build
from xnas_evaluator.testing_networks import small_graph
from xnas_evaluator.training.optimisation import LossScaler, Optimiser, learning_rate

RATES = (0.01, 0.05, 0.02, 0.001)


def _torch_optimiser(network: nn.Module, spec: OptimizerSpec) -> torch.optim.Optimizer:
    if spec.name == "sgd":
        nesterov = spec.nesterov and spec.momentum > 0
        return torch.optim.SGD(
            network.parameters(), 0.1, spec.momentum, weight_decay=spec.weight_decay, nesterov=nesterov
        )
    kind = torch.optim.Adam if spec.name == "adam" else torch.optim.AdamW
    return kind(network.parameters(), 0.1, weight_decay=spec.weight_decay)


@pytest.mark.parametrize(
    "document",
    [
        {"name": "sgd"},
        {"name": "sgd", "nesterov": False},
        {"name": "sgd", "momentum": 0.0},
        {"name": "adam", "weightDecay": 0.01},
        {"name": "adamw", "weightDecay": 0.05},
    ],
)
def test_optimisers_take_the_steps_of_torch_optim(document: dict[str, object]) -> None:
    spec = OptimizerSpec.model_validate(document, strict=False)
    ours, theirs = build(small_graph(), 1), build(small_graph(), 1)
    our_optimiser, their_optimiser = Optimiser(ours, spec), _torch_optimiser(theirs, spec)
    for turn, rate in enumerate(RATES):
        images = torch.randn(8, 1, 8, 8, generator=torch.Generator().manual_seed(turn))
        for network in (ours, theirs):
            network.zero_grad()
            torch.autograd.backward(network(images).square().sum())
        our_optimiser.step(rate)
        their_optimiser.param_groups[0]["lr"] = rate
        their_optimiser.step()
    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine, other, rtol=2e-4, atol=2e-6)


def test_a_parameter_without_gradient_stays() -> None:
    network = build(small_graph(), 1)
    before = network.get_parameter("stem.conv.weight").clone()
    optimiser = Optimiser(network, OptimizerSpec())
    torch.autograd.backward(network(torch.ones(2, 1, 8, 8)).sum())
    network.get_parameter("stem.conv.weight").grad = None
    optimiser.step(0.1)
    assert torch.equal(network.get_parameter("stem.conv.weight"), before)
    optimiser.clear_gradients()
    assert all(parameter.grad is None for parameter in network.parameters())


def test_learning_rate_of_each_step() -> None:
    schedule = ScheduleSpec.model_validate({"warmupEpochs": 0.5}, strict=False)
    rates = [learning_rate(1.0, schedule, step, 4, 2) for step in range(8)]
    # Half an epoch is two steps, taken at a quarter and three quarters of the warm-up; then half a cosine over six.
    assert rates[:2] == pytest.approx([0.25, 0.75])
    assert rates[2:] == pytest.approx([0.98296, 0.85355, 0.62941, 0.37059, 0.14645, 0.01704], abs=1e-5)


@given(
    warmup=st.floats(0, 20),
    name=st.sampled_from(["cosine", "constant"]),
    steps=st.integers(1, 50),
    epochs=st.integers(1, 10),
)
def test_learning_rates_lie_between_zero_and_the_peak(warmup: float, name: str, steps: int, epochs: int) -> None:
    schedule = ScheduleSpec.model_validate({"warmupEpochs": warmup, "name": name}, strict=False)
    rates = [learning_rate(0.3, schedule, step, steps, epochs) for step in range(steps * epochs)]
    assert all(0 < rate <= 0.3 for rate in rates)
    peak = rates.index(max(rates))
    assert rates[:peak] == sorted(rates[:peak])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)


def test_loss_scaling_leaves_out_steps_with_infinite_gradients() -> None:
    parameter = nn.Parameter(torch.zeros(2))
    scaler = LossScaler(scale=8.0, growth_interval=2)
    parameter.grad = torch.tensor([8.0, 16.0])
    assert scaler.unscale([parameter])
    assert torch.equal(parameter.grad, torch.tensor([1.0, 2.0]))
    parameter.grad = torch.tensor([float("inf"), 0.0])
    assert not scaler.unscale([parameter])
    assert (scaler.scale, scaler.good_steps) == (4.0, 0)
    for _ in range(2):
        parameter.grad = torch.ones(2)
        assert scaler.unscale([parameter])
    assert (scaler.scale, scaler.good_steps) == (8.0, 0)
