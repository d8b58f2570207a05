"""Conductance through a layer and through every branch of every sum, in one pass along the path.

Captum's LayerConductance does one layer a pass, and a network has a hundred branches; this does all at once, with the
trapezoid rule, whose error falls with the square of the steps. For one layer both tend to the same values.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from xnas_core.graph import Op
from xnas_evaluator.networks.build import GraphNetwork


@dataclass(frozen=True)
class Branches:
    """Sums of a network, in order, and what to call their operands ("stage1.cell1.sum2 < stage1.cell1.conv4.norm")."""

    sums: tuple[tuple[nn.Module, tuple[str, ...]], ...]

    @property
    def names(self) -> tuple[str, ...]:
        """All operands' names."""
        return tuple(name for _, names in self.sums for name in names)


@dataclass(frozen=True)
class Flow:
    """What flows on the way from the baseline to the images.

    Attributes:
        through_layer: (N, C, h, w) float64, each neuron's conductance.
        through_branch: (N,) float64 by operand: the conductance of an identity put on that branch.
        gained: (N,) float64, score(image) - score(baseline).
    """

    through_layer: Tensor
    through_branch: Mapping[str, Tensor]
    gained: Tensor


def branches(network: nn.Module) -> Branches:
    """Return the sums of a network that was built from a graph; of any other, none: its sums have no names."""
    if not isinstance(network, GraphNetwork):
        return Branches(())
    sums = []
    for node in network.graph.nodes:
        if node.op is Op.ADD:
            names = []
            for position, operand in enumerate(node.inputs):
                again = node.inputs[:position].count(operand)
                names.append(f"{node.name} < {operand}" + (f" ({again + 1})" if again else ""))
            sums.append((network.get_submodule(node.name), tuple(names)))
    return Branches(tuple(sums))


@dataclass
class _Watched:
    """What one forward pass showed: the layer's output, and of each sum its output and its operands."""

    layer: list[Tensor] = field(default_factory=list)
    sums: dict[nn.Module, tuple[Tensor, tuple[Tensor, ...]]] = field(default_factory=dict)


def conductance(
    network: nn.Module,
    layer: nn.Module,
    sums: Branches,
    images: Tensor,
    classes: Tensor,
    baseline: float,
    n_steps: int,
    rows: int,
) -> Flow:
    """Return what flows to the scores of `classes` as the images fade in from the baseline.

    Args:
        network: in eval mode, without parameter gradients.
        layer: runs once; everything passes through it.
        sums: the branches to follow.
        images: (N, C, H, W).
        classes: (N,).
        baseline: of every pixel.
        n_steps: points on the path, both ends included.
        rows: most images in one pass; two points of the path are needed at least.
    """
    count = len(images)
    points = torch.linspace(0, 1, n_steps, dtype=torch.float64).tolist()
    at_once = max(2, rows // count)
    total: Flow | None = None
    # Neighbouring parts share a point: what flows is a difference of two.
    for start in range(0, n_steps - 1, at_once - 1):
        part = _part(network, layer, sums, images, classes, baseline, points[start : start + at_once])
        total = part if total is None else _added(total, part)
    assert total is not None  # n_steps is at least 2
    return total


def _part(
    network: nn.Module,
    layer: nn.Module,
    sums: Branches,
    images: Tensor,
    classes: Tensor,
    baseline: float,
    points: Sequence[float],
) -> Flow:
    count = len(images)
    between = torch.cat([baseline + at * (images - baseline) for at in points]).requires_grad_()
    with _watching(layer, [module for module, _ in sums.sums]) as seen, torch.enable_grad():
        scores = network(between).gather(1, classes.repeat(len(points))[:, None]).squeeze(1)
    outputs = [seen.layer[0], *(output for output, _ in seen.sums.values())]
    # A sum of a dead branch has no gradient, or none that is used: nothing flows through it.
    live = [output for output in outputs if output.requires_grad]
    found = dict(zip(map(id, live), torch.autograd.grad(scores.sum(), live, allow_unused=True), strict=True))

    def flowed(output: Tensor, value: Tensor) -> Tensor:
        gradient = found.get(id(output))
        if gradient is None:
            return torch.zeros_like(value[:count], dtype=torch.float64)
        slopes, values = (
            tensor.detach().double().reshape(len(points), count, *tensor.shape[1:]) for tensor in (gradient, value)
        )
        flow: Tensor = (slopes[1:] + slopes[:-1]) / 2 * (values[1:] - values[:-1])
        return flow.sum(0)

    through_branch = {
        name: flowed(seen.sums[module][0], operand).flatten(1).sum(1)
        for module, names in sums.sums
        for name, operand in zip(names, seen.sums[module][1], strict=True)
    }
    ends = scores.detach().double()
    return Flow(flowed(outputs[0], outputs[0]), through_branch, ends[-count:] - ends[:count])


@contextmanager
def _watching(layer: nn.Module, sums: Sequence[nn.Module]) -> Iterator[_Watched]:
    seen = _Watched()

    def keep_layer(_: nn.Module, __: object, output: Tensor) -> None:
        seen.layer.append(output)

    def keep_sum(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        seen.sums[module] = output, inputs

    handles = []
    try:
        for module in sums:
            handles.append(module.register_forward_hook(keep_sum))
        handles.append(layer.register_forward_hook(keep_layer))
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def _added(first: Flow, second: Flow) -> Flow:
    shares = {name: value + second.through_branch[name] for name, value in first.through_branch.items()}
    return Flow(first.through_layer + second.through_layer, shares, first.gained + second.gained)
