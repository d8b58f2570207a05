"""What an explainer is, what it returns, and what it leaves behind: nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from xnas_core.errors import InvalidInputError, XnasError


class NotApplicableError(XnasError):
    """The method has no meaning for this network or these images. Not a failure: the report says why."""

    reason = "NotApplicable"


@dataclass(frozen=True)
class Explanation:
    """Attributions of a batch of images.

    Attributes:
        attributions: (N, C, H, W) or (N, 1, H, W) float32, of the inputs' height and width. Positive values speak
            for the explained class; a method without sign gives values that are not negative.
        deltas: (N,) float32, the method's own error measure in units of the class score, or None. For integrated
            gradients: sum of attributions minus the difference of scores that it should equal.
        parameters: what a reader must know to repeat or judge it (steps, baseline, layer); JSON values.
        layers: by the name of a part of the network (N,) float32, what it contributed to each image's class score;
            empty for methods that know nothing of the network's inside.
    """

    attributions: Tensor
    deltas: Tensor | None = None
    parameters: Mapping[str, str | int | float | bool] = field(default_factory=dict)
    layers: Mapping[str, Tensor] = field(default_factory=dict)


@runtime_checkable
class Explainer(Protocol):
    """One method. An entry point of the group `xnas.explainers` names a callable without arguments that makes one."""

    def explain(self, network: nn.Module, inputs: Tensor, targets: Tensor, seed: int) -> Explanation:
        """Attribute the score of a class to the pixels of each image.

        Must give the same result when called again, and leave the network as it was: no hooks, eval mode,
        `requires_grad` of every parameter as before, after a failure too (`undisturbed` does all but the hooks).

        Args:
            network: maps (N, C, H, W) float32, normalised, to class scores (N, classes) before the softmax.
            inputs: (N, C, H, W) float32, normalised, on the network's device.
            targets: (N,) int64, the class to explain for each image.
            seed: for methods that draw random numbers.

        Raises:
            NotApplicableError: the method has no meaning for this network.
        """
        ...


@contextmanager
def undisturbed(network: nn.Module) -> Iterator[None]:
    """Put the network in eval mode without parameter gradients; give the gradient flags back on the way out.

    The network stays in eval mode: batch statistics of a few explained images must never reach the running ones.
    """
    flags = [(parameter, parameter.requires_grad) for parameter in network.parameters()]
    network.eval()
    try:
        for parameter, _ in flags:
            parameter.requires_grad_(False)
        with torch.enable_grad():
            yield
    finally:
        for parameter, flag in flags:
            parameter.requires_grad_(flag)


def check_inputs(inputs: Tensor, targets: Tensor) -> None:
    """Raise InvalidInputError unless inputs are (N, C, H, W) floating point and targets (N,) whole numbers, N > 0."""
    if inputs.ndim != 4 or not inputs.is_floating_point() or inputs.shape[0] == 0:
        raise InvalidInputError(
            "images to explain must be a float tensor (N, C, H, W) with N > 0, "
            f"not {inputs.dtype} {tuple(inputs.shape)}; normalise them first"
        )
    if targets.shape != inputs.shape[:1] or targets.is_floating_point():
        raise InvalidInputError(
            f"classes to explain must be whole numbers of shape ({inputs.shape[0]},), "
            f"not {targets.dtype} {tuple(targets.shape)}"
        )


def steps(inputs: Tensor, targets: Tensor, size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield (inputs, targets) in slices of at most `size` images; gradients of the originals are not touched."""
    detached = inputs.detach()
    for start in range(0, len(detached), size):
        yield detached[start : start + size], targets[start : start + size]
