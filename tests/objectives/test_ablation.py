"""Which activations are live: planted futile blocks are found, and the numbers are those of the obvious way."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from tests.objectives.measure_subjects import NUMBERS, data, futile_network, network
from xnas_evaluator.networks.build import GraphNetwork, activation_layers
from xnas_evaluator.objectives import ablation as ablating
from xnas_evaluator.objectives.ablation import Ablation, AblationSettings, live_activations


def _images(count: int = 40) -> Tensor:
    images = data()
    z_scored = images.normalise(images.validation.images[:count])
    return z_scored.contiguous(memory_format=torch.channels_last)


@torch.no_grad()
def _obvious_change(net: GraphNetwork, images: Tensor, group: Sequence[str], by_zero: bool) -> float:
    """One sample at a time with hooks that replace outputs; means from all samples' outputs kept in a list."""
    outputs: dict[str, list[Tensor]] = {name: [] for name in group}
    keeping = [
        net.get_submodule(name).register_forward_hook(lambda _m, _i, out, name=name: outputs[name].append(out.double()))
        for name in group
    ]
    before = torch.cat([net(image[None]) for image in images]).double()
    for handle in keeping:
        handle.remove()
    handles = []
    for name in group:
        mean = torch.cat(outputs[name]).mean(0, keepdim=True).float() * (0 if by_zero else 1)
        handles.append(net.get_submodule(name).register_forward_hook(lambda _m, _i, _o, mean=mean: mean))
    after = torch.cat([net(image[None]) for image in images]).double()
    for handle in handles:
        handle.remove()
    total, spread = 0.0, 0.0
    count, classes = before.shape
    centre = torch.stack([before[i] - before[i].mean() for i in range(count)]).mean(0)
    for i in range(count):
        for k in range(classes):
            change = (after[i, k] - after[i].mean()) - (before[i, k] - before[i].mean())
            total += float(change) ** 2
            spread += float(before[i, k] - before[i].mean() - centre[k]) ** 2
    return float((total / spread) ** 0.5)


@pytest.mark.parametrize("by_zero", [False, True])
@pytest.mark.parametrize("kind", ["random", "trained"])
def test_changes_are_those_of_replacing_outputs_sample_by_sample(kind: str, by_zero: bool) -> None:
    net, images = network(kind), _images(12)
    names = list(activation_layers(net, "all"))
    groups = [[name] for name in names] + [["block.edge0.conv", "block.pool"]]
    found = Ablation(net, images, NUMBERS, names, by_zero).changes(groups)
    for group, change in zip(groups, found.tolist(), strict=True):
        assert change == pytest.approx(_obvious_change(net, images, group, by_zero), rel=1e-4, abs=1e-6), group


def test_what_is_cut_off_or_multiplied_by_nothing_is_futile() -> None:
    net = futile_network()
    names = tuple(activation_layers(net, "all"))
    live = live_activations(net, _images(), NUMBERS, names, AblationSettings())
    futile = {name for name in names if name.startswith(("cut.", "off."))}
    assert set(names) - live == futile


@pytest.mark.parametrize(("off", "dead"), [(1e-5, True), (0.3, False)])
def test_nearly_nothing_is_nothing_and_little_is_not(off: float, dead: bool) -> None:
    live = live_activations(futile_network(off), _images(), NUMBERS, ("off.conv", "used.conv"), AblationSettings())
    assert ("off.conv" not in live) is dead
    assert "used.conv" in live


def test_zero_finds_what_is_cut_off_too_but_keeps_what_is_constant() -> None:
    net = futile_network()
    net.get_parameter("used.norm.weight").data.zero_()
    net.get_parameter("used.norm.bias").data.copy_(torch.tensor([3.0, -2.0, 1.0, 2.0]))
    names = ("used.norm", "cut.norm", "twin1.norm")
    # The same for every sample: no information, but the scores are others without it.
    assert live_activations(net, _images(), NUMBERS, names, AblationSettings()) == {"twin1.norm"}
    by_zero = AblationSettings(by_zero=True)
    assert live_activations(net, _images(), NUMBERS, names, by_zero) == {"used.norm", "twin1.norm"}


def test_of_two_that_can_do_without_each_other_only_one_is_futile() -> None:
    net = futile_network()
    net.get_parameter("twin2.conv.weight").data.copy_(net.get_parameter("twin1.conv.weight").data)
    net.get_parameter("twin2.norm.weight").data.fill_(0.9)
    names = ("twin1.norm", "twin2.norm")
    ablation = Ablation(net, _images(), NUMBERS, names, by_zero=False)
    one, other, both = ablation.changes([["twin1.norm"], ["twin2.norm"], list(names)]).tolist()
    larger, smaller = max(one, other), min(one, other)
    assert both > larger == one > smaller
    # A tolerance between each one's change and that of both: alone, each would count as futile.
    tolerance = (larger + both) / 2
    live = live_activations(net, _images(), NUMBERS, names, AblationSettings(tolerance))
    assert live == {"twin1.norm"}
    assert live_activations(net, _images(), NUMBERS, names, AblationSettings(smaller * 0.9)) == set(names)


def test_where_all_are_missed_no_more_than_a_part_is_live_after_all() -> None:
    net = network("trained")
    names = tuple(activation_layers(net, "all"))
    ablation = Ablation(net, _images(), NUMBERS, names, by_zero=False)
    for tolerance in (0.05, 0.3, 0.8):
        live = live_activations(net, _images(), NUMBERS, names, AblationSettings(tolerance))
        futile = [name for name in names if name not in live]
        assert float(ablation.changes([futile])) <= tolerance if futile else True


def test_scores_that_do_not_differ_depend_on_what_changes_them_and_on_nothing_else() -> None:
    net = futile_network()
    net.get_parameter("head.scores.weight").data.zero_()
    assert live_activations(net, _images(), NUMBERS, ("used.conv", "head.relu"), AblationSettings()) == set()


@settings(max_examples=8, deadline=None)
@given(budget=st.integers(1, 60_000), order=st.permutations(range(16)), renamed=st.permutations(range(4)))
def test_chunks_order_and_names_of_classes_change_nothing(budget: int, order: list[int], renamed: list[int]) -> None:
    net, images = network("trained"), _images(16)
    names = list(activation_layers(net))
    expected = Ablation(net, images, NUMBERS, names, by_zero=False).changes([[name] for name in names])
    head = net.get_submodule("head.scores")
    assert isinstance(head, nn.Linear)
    head.weight.data = head.weight.data[renamed]
    head.bias.data = head.bias.data[renamed]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ablating, "BUDGET_BYTES", budget)
        again = Ablation(net, images[order], NUMBERS, names, by_zero=False).changes([[name] for name in names])
    assert torch.allclose(again, expected, rtol=1e-4, atol=1e-6)


def test_nothing_is_left_on_the_network() -> None:
    net = network("random")
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    live_activations(net, _images(), NUMBERS, tuple(activation_layers(net)), AblationSettings())
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in net.modules())
    assert live_activations(net, _images(), NUMBERS, (), AblationSettings()) == frozenset()
