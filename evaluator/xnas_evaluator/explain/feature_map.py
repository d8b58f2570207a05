"""Which layer Grad-CAM looks at: the last one that everything passes through, found by trying.

Selvaraju et al. 2017 take the last convolution of a network that is one chain. In a cell with branches the last
convolution belongs to one branch, and its map hides what the others add. So the layer is one whose output, were it
held fixed, would cut the image off from the class scores: the sum at the end of a cell, or the last activation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from xnas_evaluator.explain.base import NotApplicableError
from xnas_evaluator.networks.build import fits

_SMALLEST_SIDE = 2


@dataclass(frozen=True)
class Layer:
    """A module without children that ran once, with the smaller side of its output in pixels (0: not an image)."""

    name: str
    module: nn.Module
    side: int


def last_feature_map(network: nn.Module, inputs: Tensor, preferred_side: int, method: str, named: str = "") -> Layer:
    """Return the last layer after a convolution that all information passes through on its way to the class scores.

    Args:
        network: in eval mode.
        inputs: (N, C, H, W), one is enough.
        preferred_side: smallest height and width of its output; where no layer has it, 2 pixels are taken.
        method: who asks, for the message.
        named: only layers of this name, or whose name begins so up to a dot; * stands for any characters. "": all.

    Raises:
        NotApplicableError: there is no such layer; the message says what is missing.
    """
    layers = _layers_after_convolution(network, inputs)
    if not layers:
        raise NotApplicableError(f"{method} needs a convolution; this network has none")
    if named:
        layers = [layer for layer in layers if fits(layer.name, [named])]
    for smallest in (preferred_side, _SMALLEST_SIDE):
        for layer in reversed(layers):
            if layer.side >= smallest and _cuts_off(network, inputs, layer.module):
                return layer
    which = f" whose name is or begins with {named!r}" if named else ""
    raise NotApplicableError(
        f"{method} needs a layer of at least 2x2 pixels, after a convolution, that all information passes through; "
        f"this network has none{which}"
    )


def _layers_after_convolution(network: nn.Module, inputs: Tensor) -> list[Layer]:
    """Return the layers that ran, in order, from the first convolution on; those that ran twice are left out."""
    runs: list[Layer] = []

    def record(name: str, module: nn.Module) -> Callable[[nn.Module, object, object], None]:
        def hook(_: nn.Module, __: object, output: object) -> None:
            image = isinstance(output, Tensor) and output.ndim == 4
            runs.append(Layer(name, module, min(output.shape[2:]) if image and isinstance(output, Tensor) else 0))

        return hook

    leaves = [(name, module) for name, module in network.named_modules() if not any(module.children())]
    with _hooked([(module, record(name, module)) for name, module in leaves]), torch.no_grad():
        network(inputs)
    first = next((n for n, layer in enumerate(runs) if isinstance(layer.module, nn.Conv2d)), len(runs))
    names = [layer.name for layer in runs]
    return [layer for layer in runs[first:] if names.count(layer.name) == 1]


def _cuts_off(network: nn.Module, inputs: Tensor, module: nn.Module) -> bool:
    """Return whether no gradient reaches the inputs when the module's output is held fixed."""

    def hold(_: nn.Module, __: object, output: Tensor) -> Tensor:
        return output.detach().requires_grad_()

    images = inputs.detach().requires_grad_()
    with _hooked([(module, hold)]), torch.enable_grad():
        scores = network(images)
    if not scores.requires_grad:
        return False
    (gradient,) = torch.autograd.grad(scores.sum(), [images], allow_unused=True)
    return gradient is None


@contextmanager
def _hooked(hooks: list[tuple[nn.Module, Callable[..., Tensor | None]]]) -> Iterator[None]:
    """Register forward hooks; they go in any case."""
    handles = []
    try:
        for module, hook in hooks:
            handles.append(module.register_forward_hook(hook))
        yield
    finally:
        for handle in handles:
            handle.remove()
