"""The behavioural contract of SearchSpace. Subclass it and give a `space_class` fixture; every space passes it.

class TestPlainConv(SpaceContract):
    parameters = {"blocks": 3}
    wrong_parameters = {"blocks": 0}

    @pytest.fixture
    def space_class(self) -> type[SearchSpace]:
        return PlainConv
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import pytest

from xnas_core.errors import InvalidInputError
from xnas_core.graph import Graph, Op
from xnas_core.spaces.base import DataShape, Genes, SearchSpace

_NODE_NAME = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", re.ASCII)


class SpaceContract:
    """Tests that run over each space."""

    parameters: ClassVar[Mapping[str, Any]] = {}
    """Parameters to make the space with."""
    wrong_parameters: ClassVar[Mapping[str, Any]] = {}
    """For each parameter a value that must be refused, by an error that names the parameter."""
    shape: ClassVar[DataShape] = DataShape(channels=3, height=16, width=16, classes=10)
    """Shape of the data."""
    networks_are_named_once: ClassVar[bool] = True
    """Whether different identities must be different networks. Not so where identity is the encoding."""

    @pytest.fixture
    def space_class(self) -> type[SearchSpace]:
        """The space's class; to be overridden."""
        raise AssertionError("a subclass of SpaceContract must define the fixture space_class")

    @pytest.fixture
    def space(self, space_class: type[SearchSpace]) -> SearchSpace:
        """The space, made with `parameters` and `shape`."""
        return space_class(self.parameters, self.shape)

    @pytest.fixture
    def samples(self, space: SearchSpace) -> list[Genes]:
        """Both corners of the space, 40 random gene vectors and, of these, neighbours that differ in one gene."""
        rng = np.random.default_rng(2023)
        bounds = np.array(space.cardinalities)
        vectors = [np.zeros_like(bounds), bounds - 1, *rng.integers(0, bounds, size=(40, len(bounds)))]
        for vector in list(vectors):
            gene = int(rng.integers(len(bounds)))
            neighbour = vector.copy()
            neighbour[gene] = (neighbour[gene] + 1) % bounds[gene]
            vectors.append(neighbour)
        return [tuple(int(v) for v in vector) for vector in vectors]

    @pytest.fixture
    def connected(self, space: SearchSpace, samples: list[Genes]) -> list[Genes]:
        """Those of the samples that are connected."""
        connected = [genes for genes in samples if space.connected(genes)]
        assert connected, "not one sampled network is connected"
        return connected

    def test_genes_are_described(self, space: SearchSpace) -> None:
        """Every gene has a name of its own, at least one value, and a label for each value."""
        assert len(space.cardinalities) == len(space.gene_names) == len(set(space.gene_names)) >= 1
        assert min(space.cardinalities) >= 1
        size = 1
        for gene, cardinality in enumerate(space.cardinalities):
            labels = {space.gene_label(gene, value) for value in range(cardinality)}
            assert len(labels) == cardinality
            assert all(labels)
            size *= cardinality
        assert space.size() == size

    def test_encoding_is_read_back(self, space: SearchSpace, samples: list[Genes]) -> None:
        """`decode` gives the genes, or others of the same network and encoding."""
        for genes in samples:
            encoding = space.encoding(genes)
            read = space.decode(encoding)
            assert read == genes or (space.identity(read), space.encoding(read)) == (space.identity(genes), encoding)

    @pytest.mark.parametrize("encoding", ["", "|", "no architecture at all", "\N{SNOWMAN}", "0" * 5_000])
    def test_alien_encoding_is_refused(self, space: SearchSpace, encoding: str) -> None:
        """What is no encoding raises InvalidInputError and nothing else."""
        with pytest.raises(InvalidInputError):
            space.decode(encoding)

    def test_genes_that_do_not_fit_are_refused(self, space: SearchSpace) -> None:
        """A vector of another length or with a value out of bounds raises InvalidInputError."""
        zero = (0,) * len(space.cardinalities)
        for genes in ((), (*zero, 0), (-1, *zero[1:]), (space.cardinalities[0], *zero[1:])):
            with pytest.raises(InvalidInputError):
                space.identity(genes)
            with pytest.raises(InvalidInputError):
                space.graph(genes)

    def test_graph_reads_the_data_and_gives_class_scores(self, space: SearchSpace, connected: list[Genes]) -> None:
        """Shapes fit from the data's shape to one score for each class."""
        for genes in connected:
            graph = space.graph(genes)
            assert graph.input_shape == (self.shape.channels, self.shape.height, self.shape.width)
            assert graph.nodes[0].op is Op.INPUT
            assert graph.shapes[graph.nodes[-1].name] == (self.shape.classes,)

    def test_node_names_can_be_submodules(self, space: SearchSpace, connected: list[Genes]) -> None:
        """Names are dotted identifiers, and none is the beginning of another: a torch module has one place for each."""
        for genes in connected:
            names = [node.name for node in space.graph(genes).nodes]
            assert all(_NODE_NAME.fullmatch(name) for name in names)
            folders = {name.rsplit(".", depth)[0] for name in names for depth in range(1, name.count(".") + 1)}
            assert not folders & set(names)

    def test_connected_is_what_the_graph_says(self, space: SearchSpace, samples: list[Genes]) -> None:
        """Connected: a path without zeros leads from input to output. Else there is none, or no graph at all."""
        for genes in samples:
            if space.connected(genes):
                assert _carries(space.graph(genes))
            else:
                try:
                    graph = space.graph(genes)
                except InvalidInputError:
                    continue
                assert not _carries(graph)

    def test_metrics_are_the_graph_s(self, space: SearchSpace, connected: list[Genes]) -> None:
        """`static_metrics` gives what is counted from the graph."""
        for genes in connected:
            metrics, graph = space.static_metrics(genes), space.graph(genes)
            assert (metrics.parameters, metrics.macs) == (graph.parameters, graph.macs)

    def test_identity_and_graph_follow_from_the_genes(
        self, space: SearchSpace, space_class: type[SearchSpace], connected: list[Genes]
    ) -> None:
        """A second space, asked in another order, gives the same: nothing depends on what was asked before."""
        first = [(space.identity(genes), space.graph(genes).digest) for genes in connected]
        other = space_class(dict(self.parameters), self.shape)
        second = [(other.identity(genes), other.graph(genes).digest) for genes in reversed(connected)]
        assert first == second[::-1]

    def test_one_identity_is_one_graph(self, space: SearchSpace, connected: list[Genes]) -> None:
        """Equal identities have equal graphs, node for node, and different ones have different graphs."""
        pairs = {(space.identity(genes), space.graph(genes).digest) for genes in connected}
        assert len(pairs) == len({identity for identity, _ in pairs})
        if self.networks_are_named_once:
            assert len(pairs) == len({digest for _, digest in pairs})

    def test_graph_travels_as_json(self, space: SearchSpace, connected: list[Genes]) -> None:
        """A graph that went through JSON is the same graph."""
        for genes in connected:
            graph = space.graph(genes)
            read = Graph.from_document(json.loads(json.dumps(graph.to_document())))
            assert read.digest == graph.digest
            assert read.shapes == graph.shapes

    def test_drawing_is_a_graph(self, space: SearchSpace, samples: list[Genes]) -> None:
        """Arrows join nodes that are there, from earlier to later ones; ids are unique."""
        for genes in samples:
            drawing = space.drawing(genes)
            order = {node.id: number for number, node in enumerate(drawing.nodes)}
            assert len(order) == len(drawing.nodes) >= 2
            assert all(node.label for node in drawing.nodes)
            assert all(order[edge.source] < order[edge.target] for edge in drawing.edges)

    def test_wrong_parameters_are_named(self, space_class: type[SearchSpace]) -> None:
        """A value that is not allowed, and a name that is not known, are refused by an error that names them."""
        for name, value in {**self.wrong_parameters, "noSuchParameter": 1}.items():
            with pytest.raises(InvalidInputError, match=re.escape(name)):
                space_class({**self.parameters, name: value}, self.shape)


def _carries(graph: Graph) -> bool:
    """Return whether the output depends on the input along a path that passes no zero node."""
    reached: set[str] = set()
    for node in graph.nodes:
        if node.op is Op.INPUT or (node.op is not Op.ZERO and any(name in reached for name in node.inputs)):
            reached.add(node.name)
    return graph.nodes[-1].name in reached
