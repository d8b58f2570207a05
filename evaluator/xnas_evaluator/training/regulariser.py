"""The introspectability regulariser (Carmichael et al. 2023): class means of a batch are pushed apart."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xnas_evaluator.networks.build import GraphNetwork, activation_layers


def similarity_penalty(
    activations: Sequence[Tensor], labels: Tensor, classes: int, pair_weights: Tensor | None = None
) -> Tensor:
    """Return the mean over pairs of classes in the batch of lambda times the cosine similarity of their means.

    Args:
        activations: of each layer, (N, ...) with gradient.
        labels: (N,) true classes.
        classes: number of classes.
        pair_weights: (classes, classes) symmetric lambdas; 1 for all pairs when absent. A larger one pulls two
            classes apart that are confused.

    Returns:
        A scalar with gradient; 0 where the batch has fewer than two classes with activations that are not zero.
    """
    members = F.one_hot(labels, classes).to(torch.float32)
    gram = torch.zeros((classes, classes), device=labels.device)
    for layer in activations:
        # Sums instead of means: a cosine does not change with a row's scale.
        sums = members.T @ layer.flatten(1).float()
        gram = gram + sums @ sums.T
    first, second = torch.triu_indices(classes, classes, 1, device=labels.device)
    squares = gram.diagonal()
    defined = (squares[first] > 0) & (squares[second] > 0)
    first, second = first[defined], second[defined]
    if not len(first):
        return gram.sum() * 0
    similarity = gram[first, second] / (squares[first] * squares[second]).sqrt()
    if pair_weights is not None:
        similarity = similarity * pair_weights[first, second]
    return similarity.mean()


@contextmanager
def captured(network: GraphNetwork, layers: dict[str, nn.Module] | None = None) -> Iterator[list[Tensor]]:
    """Collect the outputs of the activation layers in each forward pass; hooks are gone afterwards.

    Args:
        network: the network.
        layers: which layers; convolutions and activations by default.

    Yields:
        A list that every forward pass appends to; the caller clears it between passes.
    """
    kept: list[Tensor] = []

    def keep(_module: nn.Module, _inputs: object, output: Tensor) -> None:
        kept.append(output)

    handles = [
        layer.register_forward_hook(keep)
        for layer in (activation_layers(network) if layers is None else layers).values()
    ]
    try:
        yield kept
    finally:
        for handle in handles:
            handle.remove()
        kept.clear()
