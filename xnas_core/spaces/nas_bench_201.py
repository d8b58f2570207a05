"""The search space of NAS-Bench-201: one cell of four nodes and six edges, repeated.

Gene k is the operation on edge k of (0,1) (0,2) (1,2) (0,3) (1,3) (2,3). Gene values, in the order of the codes that
Carmichael et al. 2023 publish: 0 nor_conv_3x3, 1 nor_conv_1x1, 2 avg_pool_3x3, 3 none, 4 skip_connect.

With `prune: true` the network is the canonical one: 5,260 different networks (the disconnected ones counted as one)
stand behind the 15,625 encodings. With `prune: false` every encoding is a network of its own and is built as written,
zero edges and dead parts included; its parameters and multiply-accumulates are those of the published table.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from xnas_core.errors import InvalidInputError
from xnas_core.graph import Graph
from xnas_core.spaces.base import DataShape, Drawing, DrawnEdge, DrawnNode, Genes, StaticMetrics
from xnas_core.spaces.cell_form import (
    CONV_1X1,
    CONV_3X3,
    EDGES,
    IDENTITY,
    OPERATIONS,
    arch_string,
    cell_form,
    live_edges,
    parse_arch_string,
)
from xnas_core.spaces.cell_network import Skeleton, canonical_cell, conv_fragment, raw_cell
from xnas_core.spaces.parameters import ParameterReader, check_gene, check_genes, check_shape


class NasBench201:
    """See the module. Parameters: cellsPerStage (5; 1 to 20), channels (16; 1 to 512), prune (true)."""

    name = "nas-bench-201"
    cardinalities: tuple[int, ...] = (len(OPERATIONS),) * len(EDGES)
    gene_names: tuple[str, ...] = tuple(f"edge {source}-{target}" for source, target in EDGES)

    def __init__(self, parameters: Mapping[str, Any], shape: DataShape) -> None:
        """Raise InvalidParameterError for a bad parameter, InvalidInputError for images below 4x4 pixels."""
        reader = ParameterReader(parameters)
        cells = reader.integer("cellsPerStage", 5, 1, 20)
        channels = reader.integer("channels", 16, 1, 512)
        self.prune = reader.boolean("prune", True)
        reader.finish()
        check_shape(self.name, shape, smallest=4)
        self._skeleton = Skeleton(cells, channels, shape)
        self._shared = _metrics(self._skeleton.network(canonical_cell(IDENTITY)))
        self._added = {kind: self._cost(kind, cells) for kind in (CONV_3X3, CONV_1X1)}

    def _cost(self, operation: int, cells: int) -> StaticMetrics:
        """Return what one edge with this convolution adds over all cells."""
        costs = [_metrics(conv_fragment(operation, shape)) for shape in self._skeleton.stage_shapes()]
        return StaticMetrics(cells * sum(c.parameters for c in costs), cells * sum(c.macs for c in costs))

    def identity(self, genes: Genes) -> str:
        """Return the canonical cell as text, or the arch string with `prune: false`."""
        check_genes(genes, self.cardinalities)
        return cell_form(genes).text if self.prune else arch_string(genes)

    def encoding(self, genes: Genes) -> str:
        """Return the published arch string, `|op~0|+|op~0|op~1|+|op~0|op~1|op~2|`."""
        check_genes(genes, self.cardinalities)
        return arch_string(genes)

    def decode(self, encoding: str) -> Genes:
        """Inverse of `encoding`; raise InvalidInputError."""
        return parse_arch_string(encoding)

    def connected(self, genes: Genes) -> bool:
        """Return whether a path of non-zeroize edges joins input and output."""
        check_genes(genes, self.cardinalities)
        return bool(cell_form(genes).output)

    def graph(self, genes: Genes) -> Graph:
        """Return the network; raise InvalidInputError for a disconnected one, unless `prune: false`."""
        check_genes(genes, self.cardinalities)
        if not self.prune:
            return self._skeleton.network(raw_cell(genes))
        form = cell_form(genes)
        if not form.output:
            raise InvalidInputError(f"{arch_string(genes)} is disconnected: it has no path from input to output")
        return self._skeleton.network(canonical_cell(form))

    def static_metrics(self, genes: Genes) -> StaticMetrics:
        """Return what `graph` costs. A disconnected cell costs nothing, so the rest of the network is counted."""
        check_genes(genes, self.cardinalities)
        operations = [term.operation for term in cell_form(genes).terms] if self.prune else genes
        parameters, macs = self._shared.parameters, self._shared.macs
        for operation in operations:
            if operation in self._added:
                parameters += self._added[operation].parameters
                macs += self._added[operation].macs
        return StaticMetrics(parameters, macs)

    def gene_label(self, gene: int, value: int) -> str:
        """Return the operation's published name."""
        check_gene(gene, value, self.cardinalities)
        return OPERATIONS[value]

    def size(self) -> int:
        """Return 15,625."""
        return math.prod(self.cardinalities)

    def drawing(self, genes: Genes) -> Drawing:
        """Return the cell as encoded: four nodes, six edges; those that carry nothing to the output are not live."""
        check_genes(genes, self.cardinalities)
        labels = ("input", "1", "2", "output")
        nodes = tuple(DrawnNode(str(number), label) for number, label in enumerate(labels))
        edges = tuple(
            DrawnEdge(str(source), str(target), OPERATIONS[gene], live)
            for gene, (source, target), live in zip(genes, EDGES, live_edges(genes), strict=True)
        )
        caption = f"cell, {self._skeleton.cells_per_stage} in each of 3 stages"
        return Drawing(nodes, edges, caption)


def _metrics(graph: Graph) -> StaticMetrics:
    return StaticMetrics(graph.parameters, graph.macs)
