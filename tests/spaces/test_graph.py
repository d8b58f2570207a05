"""Graphs as data: shapes and costs by hand, the document, and every refusal with its sentence."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from xnas_core.errors import InvalidInputError
from xnas_core.graph import Graph, Node, Op
from xnas_core.spaces.builder import GraphBuilder


def _small() -> Graph:
    builder = GraphBuilder((3, 9, 6))
    strided = builder.conv_norm("stem", "input", 8, 3, stride=2)  # (8, 5, 3)
    grouped = builder.add("grouped", Op.CONV, strided, channels=8, kernel=3, groups=4, bias=1)  # (8, 5, 3)
    pooled = builder.add("pool", Op.MAX_POOL, grouped, kernel=2)  # (8, 4, 2)
    gate = builder.add("gate", Op.SIGMOID, builder.add("mean", Op.GLOBAL_AVG_POOL, pooled))
    scaled = builder.add("scaled", Op.MULTIPLY, (pooled, gate))
    builder.classifier("head", builder.add("sum", Op.ADD, (scaled, scaled, pooled)), 5)
    return builder.build()


def test_shapes_and_costs_by_hand() -> None:
    graph = _small()
    graph.check()
    assert graph.shapes["stem.conv"] == graph.shapes["grouped"] == (8, 5, 3)
    assert graph.shapes["sum"] == (8, 4, 2)
    assert graph.shapes["head.flatten"] == (8,)
    stem, norm, grouped, linear = 8 * 3 * 9, 2 * 8, 8 * 2 * 9 + 8, 5 * 8 + 5
    assert graph.parameters == stem + norm + grouped + linear
    assert graph.macs == 5 * 3 * (stem + grouped) + linear


def test_document_is_read_back() -> None:
    graph = _small()
    read = Graph.from_document(graph.to_document())
    assert read == graph
    assert read.digest == graph.digest
    assert graph.shared_document() == graph.to_document() == Graph(graph.nodes, graph.input_shape).shared_document()
    changed = Graph((*graph.nodes[:-1], Node("head.linear", Op.LINEAR, ("head.flatten",), {"features": 6})), (3, 9, 6))
    assert changed.digest != graph.digest


# Each names a node of `_small` by its index, what is put in place of (name, op, inputs, attributes), and the complaint.
@pytest.mark.parametrize(
    ("index", "change", "complaint"),
    [
        (0, {0: "input", 1: "relu", 2: ["input"]}, "first node of a network must be its input"),
        (2, {1: "input", 2: [], 3: {}}, "'stem.norm': the input must be the first"),
        (3, {0: "stem.conv"}, "two nodes are named 'stem.conv'"),
        (3, {0: "stem.conv.inner"}, "'stem.conv.inner' lies inside node 'stem.conv'"),
        (3, {0: "../x"}, "'../x' is not made of identifiers"),
        (3, {0: "grouped\n"}, "is not made of identifiers"),
        (3, {1: "lstm"}, "not a network graph"),
        (3, {2: ["later"]}, "'grouped' reads 'later', which does not come before it"),
        (3, {2: []}, "must read 1 inputs, not 0"),
        (3, {2: ["stem.norm", "input"]}, "must read 1 inputs, not 2"),
        (3, {3: {"channels": 8}}, "lacks the attribute 'kernel'"),
        (3, {3: {"channels": 8, "kernel": 3, "dilation": 2}}, "unknown attribute 'dilation'"),
        (3, {3: {"channels": 0, "kernel": 3}}, "channels must not be 0"),
        (3, {3: {"channels": 8, "kernel": 3, "stride": 0}}, "stride must not be 0"),
        (3, {3: {"channels": 8, "kernel": 3, "padding": -1}}, "padding must not be -1"),
        (3, {3: {"channels": 8, "kernel": "3"}}, "'3' is not a whole number"),
        (3, {3: {"channels": 8.5, "kernel": 3}}, "8.5 is not a whole number"),
        (3, {3: {"channels": 8, "kernel": 3, "groups": 3}}, "3 groups do not divide its channels"),
        (3, {3: {"channels": 8, "kernel": 13, "padding": 0}}, "an image of (5, 3) is too small"),
        (3, {3: []}, "not a network graph"),
        (4, {3: {"kernel": 2, "padding": 2}}, "padding must be at most half of kernel"),
        (7, {2: ["pool", "input"]}, "multiplies shapes that do not fit"),
        (8, {2: ["pool", "grouped"]}, "adds shapes that differ"),
        (10, {1: "relu"}, "'head.linear' (linear) needs a flat input"),
    ],
)
def test_what_is_no_network_is_refused(index: int, change: dict[int, Any], complaint: str) -> None:
    document = copy.deepcopy(_small().to_document())
    for place, value in change.items():
        document["nodes"][index][place] = value
    with pytest.raises(InvalidInputError) as info:
        Graph.from_document(document)
    assert complaint in str(info.value)


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"nodes": [], "inputShape": [3, 8, 8]},
        {"nodes": 3, "inputShape": [3]},
        {"nodes": [["input", "input"]], "inputShape": [3]},
        {"nodes": [["input", "input", [], {}]], "inputShape": [3, 0, 8]},
        {"nodes": [["input", "input", [], {}]], "inputShape": []},
        {"nodes": [["input", "input", [], {}]], "inputShape": [3, 2.5, 8]},
        {"nodes": [["input", "input", [], {}], ["p", "globalAvgPool", ["input"], {}]], "inputShape": [3]},
        {
            "nodes": [["input", "input", [], {}], ["c", "conv", ["input"], {"channels": 1, "kernel": 1}]],
            "inputShape": [3],
        },
    ],
)
def test_documents_that_are_torn_are_refused(document: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError):
        Graph.from_document(document)
