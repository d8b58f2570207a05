"""What a search space is: integer genes -> canonical identity -> graph of operations.

A space is a plug-in (entry-point group `xnas.spaces`): a class that is called with the space's
parameters and the data's shape. It runs where the engine runs and imports no torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from xnas_core.graph import Graph

Genes = tuple[int, ...]
"""One integer for each gene, 0 <= gene < upper bound."""


@dataclass(frozen=True, slots=True)
class DataShape:
    """Shape of one sample and number of classes, as the data set declares them."""

    channels: int
    height: int
    width: int
    classes: int


@dataclass(frozen=True, slots=True)
class StaticMetrics:
    """What the graph alone gives."""

    parameters: int
    macs: int


@dataclass(frozen=True, slots=True)
class DrawnNode:
    """A node of a drawing."""

    id: str
    label: str


@dataclass(frozen=True, slots=True)
class DrawnEdge:
    """An arrow of a drawing; `live` is False where it does not reach the output or carries zeros."""

    source: str
    target: str
    label: str
    live: bool = True


@dataclass(frozen=True, slots=True)
class Drawing:
    """An architecture as a small labelled graph for people; nodes in topological order, input first."""

    nodes: tuple[DrawnNode, ...]
    edges: tuple[DrawnEdge, ...]
    caption: str = ""


class SearchSpace(Protocol):
    """A search space. All methods are pure and cheap (well below a millisecond when repeated)."""

    name: str
    cardinalities: tuple[int, ...]
    """Number of values of each gene."""
    gene_names: tuple[str, ...]
    """A short name for each gene, for tables and drawings ("edge 0-1", "stage 2 kernel")."""

    def __init__(self, parameters: Mapping[str, Any], shape: DataShape) -> None:
        """Check the parameters; raise InvalidInputError that names the parameter, what is wrong and what is allowed."""

    def identity(self, genes: Genes) -> str:
        """Return the canonical identity (of the pruned network, or of the encoding with `prune: false`)."""
        ...

    def encoding(self, genes: Genes) -> str:
        """Return the architecture string of the encoding, as published work writes it."""
        ...

    def decode(self, encoding: str) -> Genes:
        """Inverse of `encoding`; raises InvalidInputError."""
        ...

    def connected(self, genes: Genes) -> bool:
        """Return whether input and output are joined. A disconnected network is never proposed."""
        ...

    def graph(self, genes: Genes) -> Graph:
        """Return the network that is built and trained (pruned unless `prune: false`)."""
        ...

    def static_metrics(self, genes: Genes) -> StaticMetrics:
        """Return parameters and multiply-accumulates of `graph(genes)`, possibly faster than by building it."""
        ...

    def gene_label(self, gene: int, value: int) -> str:
        """Return what a gene's value means ("nor_conv_3x3", "kernel 5")."""
        ...

    def size(self) -> int:
        """Return the number of encodings."""
        ...

    def drawing(self, genes: Genes) -> Drawing:
        """Return the part that the genes decide (a cell, a chain of stages) for people to look at."""
        ...
