"""A tiny search space for tests of the engine: a few genes, redundant encodings, disconnected networks.

Genes are operation codes in a row. Code 0 is the identity, so that its place does not matter: encodings that differ
only in where zeros stand are one network. A network of only identities is disconnected.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from xnas_core.errors import InvalidInputError
from xnas_core.graph import Graph, Node, Op
from xnas_core.spaces.base import DataShape, Drawing, DrawnEdge, DrawnNode, Genes, StaticMetrics

SHAPE = DataShape(1, 8, 8, 4)
"""The data shape that tests use with this space."""


class ToySpace:
    """See the module. Parameters: genes (4), values (4), prune (true)."""

    name = "toy"

    def __init__(self, parameters: Mapping[str, Any], shape: DataShape) -> None:
        """Raise InvalidInputError for a parameter below 1."""
        genes, values = int(parameters.get("genes", 4)), int(parameters.get("values", 4))
        if genes < 1 or values < 1:
            raise InvalidInputError("toy space parameters 'genes' and 'values' must be at least 1")
        self._shape = shape
        self.prune = bool(parameters.get("prune", True))
        self.cardinalities: tuple[int, ...] = (values,) * genes
        self.gene_names: tuple[str, ...] = tuple(f"place {place}" for place in range(genes))

    def identity(self, genes: Genes) -> str:
        """Return the codes without zeros, or all of them with `prune: false`."""
        return "-".join(str(gene) for gene in genes if gene or not self.prune)

    def encoding(self, genes: Genes) -> str:
        """Return the codes, joined by dots."""
        return ".".join(map(str, genes))

    def decode(self, encoding: str) -> Genes:
        """Inverse of `encoding`; raise InvalidInputError."""
        try:
            genes = tuple(int(word) for word in encoding.split("."))
        except ValueError:
            raise InvalidInputError(f"{encoding!r} is not a row of codes") from None
        if len(genes) != len(self.cardinalities) or any(not 0 <= gene < self.cardinalities[0] for gene in genes):
            raise InvalidInputError(f"{encoding!r} does not fit the space")
        return genes

    def connected(self, genes: Genes) -> bool:
        """Return whether any code is not zero."""
        return any(genes)

    def graph(self, genes: Genes) -> Graph:
        """Return a chain of convolutions, one for each code that is not zero."""
        nodes = [Node("input", Op.INPUT)]
        for place, gene in enumerate(gene for gene in genes if gene):
            attributes = {"channels": gene, "kernel": 1}
            nodes.append(Node(f"conv{place}", Op.CONV, (nodes[-1].name,), attributes))
        nodes.append(Node("pool", Op.GLOBAL_AVG_POOL, (nodes[-1].name,)))
        nodes.append(Node("flat", Op.FLATTEN, ("pool",)))
        nodes.append(Node("scores", Op.LINEAR, ("flat",), {"features": self._shape.classes}))
        return Graph(tuple(nodes), (self._shape.channels, self._shape.height, self._shape.width))

    def static_metrics(self, genes: Genes) -> StaticMetrics:
        """Return what `graph` costs."""
        graph = self.graph(genes)
        return StaticMetrics(graph.parameters, graph.macs)

    def gene_label(self, gene: int, value: int) -> str:
        """Return the code as text."""
        del gene
        return f"code {value}"

    def size(self) -> int:
        """Return the number of encodings."""
        return math.prod(self.cardinalities)

    def drawing(self, genes: Genes) -> Drawing:
        """Return the chain of codes."""
        nodes = [DrawnNode("in", "input"), *(DrawnNode(f"n{place}", str(gene)) for place, gene in enumerate(genes))]
        edges = tuple(DrawnEdge(a.id, b.id, "") for a, b in zip(nodes, nodes[1:], strict=False))
        return Drawing(tuple(nodes), edges)
