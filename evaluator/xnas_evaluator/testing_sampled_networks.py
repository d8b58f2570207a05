"""Small networks of every search space, drawn by seed, with images to explain: what a contract is run over."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from xnas_core.graph import Op
from xnas_core.plugins import PluginKind, load, names
from xnas_core.spaces.base import DataShape, Genes, SearchSpace
from xnas_core.spaces.parameters import InvalidParameterError
from xnas_core.tasks import generator
from xnas_evaluator.networks.build import GraphNetwork, build

_SMALL: Mapping[str, Mapping[str, Any]] = {
    "nas-bench-201": {"cellsPerStage": 1, "channels": 4},
    "mobile": {"stages": 2, "stemChannels": 4, "widths": [4, 6], "depths": [1, 2], "expansions": [1, 3]},
}
"""Parameters that make a space's networks tiny; a space of a plug-in has its own defaults."""
_SHAPES = (DataShape(1, 8, 8, 5), DataShape(3, 12, 8, 4))
_DRAWN = 40
IMAGES = 3


@dataclass(frozen=True)
class Drawn:
    """Which network: the `number`-th of a space, pruned or not (spaces that can't prune have only one kind)."""

    space: str
    prune: bool
    number: int

    def __str__(self) -> str:
        """Return the words for a test's id."""
        return f"{self.space}-{'pruned' if self.prune else 'unpruned'}-{self.number}"


@dataclass(frozen=True)
class Sampled:
    """A network in eval mode, whose batch norms have seen data, and what to explain; not to be altered: copy it.

    Attributes:
        images: (IMAGES, C, H, W) float32, normalised.
        targets: (IMAGES,) int64.
    """

    name: str
    network: GraphNetwork
    images: Tensor
    targets: Tensor


def drawn(pruned: int = 2, unpruned: int = 1) -> list[Drawn]:
    """Return which networks there are: so many of every installed space, unpruned ones where it can do without."""
    return [
        Drawn(space, prune, number)
        for space in names(PluginKind.SPACE)
        for prune, count in ((True, pruned), (False, unpruned))
        if prune or _space(space, False, _SHAPES[0]) is not None
        for number in range(count)
    ]


@lru_cache(maxsize=64)
def sampled(which: Drawn) -> Sampled:
    """Return a network, always the same one.

    Even numbers read 1x8x8 images, odd ones 3x12x8. The first of a space together have as many kinds of operations
    as 40 draws could offer, so that squeeze-excitation, say, is never left out by chance.
    """
    shape = _SHAPES[which.number % len(_SHAPES)]
    space = _space(which.space, which.prune, shape)
    if space is None:
        raise ValueError(f"the search space {which.space!r} has no parameter 'prune'")
    *_, genes = (genes for _, genes in zip(range(which.number + 1), _varied(space), strict=False))
    network = build(space.graph(genes), seed=which.number)
    source = torch.Generator().manual_seed(which.number)
    size = (shape.channels, shape.height, shape.width)
    # One batch in training mode, so that no batch norm is the identity.
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
                module.momentum = 1.0
                module.bias.copy_(0.3 * torch.randn(module.bias.shape, generator=source))
        network(torch.randn((32, *size), generator=source))
    images = torch.randn((IMAGES, *size), generator=source)
    return Sampled(str(which), network.eval(), images, torch.arange(IMAGES) % shape.classes)


def _space(name: str, prune: bool, shape: DataShape) -> SearchSpace | None:
    """Return the space, None if it can't be left unpruned."""
    parameters = {} if prune else {"prune": False}
    try:
        space: SearchSpace = load(PluginKind.SPACE, name)({**_SMALL.get(name, {}), **parameters}, shape)
    except InvalidParameterError:
        if prune:
            raise
        return None
    return space


def _varied(space: SearchSpace) -> Iterator[Genes]:
    """Yield connected gene vectors; each next one is that of those left which adds the most new operations."""
    random = generator("networks for contracts", space.name)
    left: list[tuple[Genes, frozenset[Op]]] = []
    while len(left) < _DRAWN:
        genes = tuple(int(random.integers(0, values)) for values in space.cardinalities)
        if space.connected(genes):
            left.append((genes, frozenset(node.op for node in space.graph(genes).nodes)))
    seen: frozenset[Op] = frozenset()
    while left:
        best = max(left, key=lambda item: len(item[1] - seen))
        left.remove(best)
        seen |= best[1]
        yield best[0]
