"""The torch module of each operation of `xnas_core.graph.Op`. None works in place, none is shared."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from xnas_core.errors import InvalidInputError
from xnas_core.graph import Node, Op, Shape


class Add(nn.Module):
    """Sum of its inputs, from left to right."""

    def forward(self, *inputs: Tensor) -> Tensor:
        """Add tensors of one shape."""
        total = inputs[0]
        for tensor in inputs[1:]:
            total = total + tensor
        return total


class Multiply(nn.Module):
    """Product of two inputs; the second is broadcast over (H, W) in squeeze-excitation."""

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Multiply (N, C, H, W) by (N, C, H, W) or (N, C, 1, 1)."""
        return first * second


class Zero(nn.Module):
    """Zeros of the input's shape; nothing flows back."""

    def forward(self, tensor: Tensor) -> Tensor:
        """Return zeros like the input."""
        return torch.zeros_like(tensor)


class GlobalAveragePool(nn.Module):
    """(N, C, H, W) -> (N, C, 1, 1). A plain mean: the adaptive pool's gradient is not deterministic on CUDA."""

    def forward(self, tensor: Tensor) -> Tensor:
        """Return the mean over (H, W)."""
        return tensor.mean((2, 3), keepdim=True)


_PLAIN: dict[Op, type[nn.Module]] = {
    Op.INPUT: nn.Identity,
    Op.RELU: nn.ReLU,
    Op.RELU6: nn.ReLU6,
    Op.SILU: nn.SiLU,
    Op.HARD_SWISH: nn.Hardswish,
    Op.SIGMOID: nn.Sigmoid,
    Op.HARD_SIGMOID: nn.Hardsigmoid,
    Op.GLOBAL_AVG_POOL: GlobalAveragePool,
    Op.FLATTEN: nn.Flatten,
    Op.ADD: Add,
    Op.MULTIPLY: Multiply,
    Op.ZERO: Zero,
}


def module(node: Node, inputs: Sequence[Shape]) -> nn.Module:
    """Return a new module for the node.

    Args:
        node: the operation.
        inputs: shapes of what it reads, batch left out.

    Raises:
        InvalidInputError: an attribute is missing, or the operation is unknown.
    """
    if node.op in _PLAIN:
        return _PLAIN[node.op]()
    channels = inputs[0][0]
    match node.op:
        case Op.CONV:
            kernel = node.get("kernel")
            return nn.Conv2d(
                channels,
                node.get("channels"),
                kernel,
                stride=node.get("stride", 1),
                padding=node.get("padding", kernel // 2),
                groups=node.get("groups", 1),
                bias=bool(node.get("bias", 0)),
            )
        case Op.BATCH_NORM:
            return nn.BatchNorm2d(channels) if len(inputs[0]) == 3 else nn.BatchNorm1d(channels)
        case Op.AVG_POOL:
            return nn.AvgPool2d(
                node.get("kernel"), node.get("stride", 1), node.get("padding", 0), count_include_pad=False
            )
        case Op.MAX_POOL:
            return nn.MaxPool2d(node.get("kernel"), node.get("stride", 1), node.get("padding", 0))
        case Op.LINEAR:
            return nn.Linear(channels, node.get("features"))
        case _:
            raise InvalidInputError(f"node {node.name!r}: the evaluator does not know the operation {node.op}")
