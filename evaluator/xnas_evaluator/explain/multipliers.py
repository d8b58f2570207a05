"""DeepLIFT's multipliers: what takes the place of each derivative when an image is compared with a reference.

Captum's own rules know ReLU, sigmoid and a few more; a SiLU, a hard-swish or the product in squeeze-excitation would
get its plain gradient, and the attributions would not add up, without a word. And Captum sets the gradient of an
activation's input tensor as a whole: where that tensor feeds a second operation, as every node of a cell does, the
other's share is lost. Here a rule is put on an operation's output instead, so that branches add up by themselves, and
every operation that computes something not linear has one:

- Elementwise functions: the rescale rule, (y - y') / (x - x') (Shrikumar, Greenside, Kundaje 2017, eq. 10). Where x
  and x' are nearly equal, the derivative, which is its limit.
- Products: each factor's share is its difference times the mean of the other factor over image and reference. That is
  the Shapley value of a product of two, and the only split that treats both alike and adds up.
- Maxima: what the output gains, max(y, y') - y', belongs to the pixel that is the largest of the image; what it loses,
  y - max(y, y'), to the one that was the largest of the reference. As Captum, but windows may overlap.

A batch is the images followed by their references, as many, in one pass.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xnas_evaluator.explain.base import NotApplicableError
from xnas_evaluator.networks.operations import Add, GlobalAveragePool, Multiply, Zero

_SMALLEST_DIFFERENCE = 1e-6
"""Below it a difference of two float32 activations is mostly rounding."""

LINEAR: tuple[type[nn.Module], ...] = (
    nn.Identity,
    nn.Conv2d,
    nn.BatchNorm1d,
    nn.BatchNorm2d,
    nn.AvgPool2d,
    nn.AdaptiveAvgPool2d,
    nn.Flatten,
    nn.Linear,
    nn.Dropout,
    Add,
    GlobalAveragePool,
    Zero,
)
"""Their derivative is the multiplier, in eval mode. Averages count padding or not: linear either way."""
ELEMENTWISE: tuple[type[nn.Module], ...] = (
    nn.ReLU,
    nn.ReLU6,
    nn.LeakyReLU,
    nn.ELU,
    nn.SiLU,
    nn.GELU,
    nn.Hardswish,
    nn.Hardsigmoid,
    nn.Sigmoid,
    nn.Tanh,
    nn.Softplus,
)

Rule = Callable[[nn.Module, tuple[Tensor, ...], Tensor], Tensor]
"""A forward hook that returns the output again, with another gradient."""


def rule(module: nn.Module) -> Rule | None:
    """Return the hook that gives a module without children its multipliers; None for one that needs none.

    Raises:
        NotApplicableError: there is no rule for the module, or it works in place.
    """
    if isinstance(module, LINEAR):
        return None
    if getattr(module, "inplace", False):
        raise NotApplicableError(f"deepLift needs activations that do not work in place; a {_name(module)} does")
    if isinstance(module, ELEMENTWISE):
        return rescale
    if isinstance(module, Multiply):
        return product
    if isinstance(module, nn.MaxPool2d) and module.dilation in (1, (1, 1)):
        return maximum
    raise NotApplicableError(f"deepLift has no rule for the operation {_name(module)} of this network")


def rescale(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
    """Give an elementwise function the slope between reference and image."""
    (before,) = inputs
    with torch.enable_grad():
        point = before.detach().requires_grad_()
        (slope,) = torch.autograd.grad(module.forward(point).sum(), point)
    moved = _difference(before)
    apart = moved.abs() > _SMALLEST_DIFFERENCE
    multiplier = torch.where(apart, _difference(output) / torch.where(apart, moved, 1.0), slope)
    return output.detach() + multiplier * _only_gradient(before)


def product(_: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
    """Give each of two factors the other's mean over image and reference."""
    first, second = inputs
    return output.detach() + _mean(second) * _only_gradient(first) + _mean(first) * _only_gradient(second)


def maximum(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
    """Give gain and loss of a maximum to the pixels that were the largest."""
    if not isinstance(module, nn.MaxPool2d):
        raise TypeError(f"maximum is the rule of MaxPool2d, not of {_name(module)}")
    (before,) = inputs
    _, places = F.max_pool2d(
        before.detach(),
        module.kernel_size,
        module.stride,
        module.padding,
        ceil_mode=module.ceil_mode,
        return_indices=True,
    )
    own, of_reference = (_twice(half) for half in places.chunk(2))
    largest, reference = (_twice(half) for half in output.detach().chunk(2))
    highest = torch.maximum(largest, reference)
    moved = _difference(before)
    apart = moved.abs() > _SMALLEST_DIFFERENCE
    flowing = _only_gradient(before)
    share = torch.where(apart, flowing / torch.where(apart, moved, 1.0), 0.0)
    gained = (highest - reference) * _picked(share, own)
    lost = (largest - highest) * _picked(share, of_reference)
    equal = _picked(torch.where(apart, 0.0, flowing), own)
    return output.detach() + gained + lost + equal


def _name(module: nn.Module) -> str:
    return type(module).__name__


def _twice(half: Tensor) -> Tensor:
    return torch.cat((half, half))


def _difference(values: Tensor) -> Tensor:
    images, references = values.detach().chunk(2)
    return _twice(images - references)


def _mean(values: Tensor) -> Tensor:
    images, references = values.detach().chunk(2)
    return _twice((images + references) / 2)


def _only_gradient(values: Tensor) -> Tensor:
    """Return zeros through which a gradient flows to the values."""
    return values - values.detach()


def _picked(values: Tensor, places: Tensor) -> Tensor:
    """Return (N, C, h, w) values at `places`, positions within the flattened (H, W), as max pooling gives them."""
    return values.flatten(2).gather(2, places.flatten(2)).view(places.shape)
