"""How many images may go through a network at once, from a bound in bytes and what the network keeps of an image.

A fixed number of images would be far too few for an 8x8 digit and far too many for a photograph of 224x224.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod

import torch
from torch import Tensor, nn

from xnas_core.errors import InvalidInputError
from xnas_evaluator.networks.build import GraphNetwork

BUDGET_BYTES = 256 * 2**20
"""Default bound of a built-in explainer. On one core larger steps gain nothing, for the smallest networks neither."""

_FLOAT32 = 4
_KEPT_AND_FLOWING = 2
"""Autograd keeps at most every output once; the gradients that flow back are freed as used, so as many again."""


def bytes_per_image(network: nn.Module, inputs: Tensor) -> int:
    """Return an upper bound of what one image takes in a forward and backward pass to the pixels, weights left out.

    The float32 outputs of all operations, twice. A network that was built from a graph is not run: its graph has the
    shapes. Any other runs once on one image, and what its modules without children put out is counted.

    Args:
        network: in eval mode.
        inputs: (N, C, H, W), one is enough.
    """
    if isinstance(network, GraphNetwork):
        outputs = sum(prod(shape) for shape in network.graph.shapes.values())
    else:
        outputs = inputs[0].numel() + _counted(network, inputs[:1])
    return outputs * _FLOAT32 * _KEPT_AND_FLOWING


def images_at_once(network: nn.Module, inputs: Tensor, budget_bytes: int, copies: int = 1) -> int:
    """Return how many images fit into the budget; 1 where not even one does, as less is not possible.

    Args:
        network: in eval mode.
        inputs: (N, C, H, W), one is enough.
        budget_bytes: the bound.
        copies: how many times as much as a plain backward pass the method keeps of each image.
    """
    return max(1, budget_bytes // (bytes_per_image(network, inputs) * copies))


def check_budget(method: str, budget_bytes: int) -> int:
    """Return the budget; raise InvalidInputError where it is not at least a byte."""
    if budget_bytes < 1:
        raise InvalidInputError(f"{method} needs a budget_bytes of at least 1, not {budget_bytes}")
    return budget_bytes


def _counted(network: nn.Module, image: Tensor) -> int:
    counts: list[int] = []

    def count(_: nn.Module, __: object, output: object) -> None:
        if isinstance(output, Tensor):
            counts.append(output.numel())

    hook: Callable[..., None] = count
    handles = [module.register_forward_hook(hook) for module in network.modules() if not any(module.children())]
    try:
        with torch.no_grad():
            network(image)
    finally:
        for handle in handles:
            handle.remove()
    return sum(counts)
