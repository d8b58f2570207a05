"""The mobile space: genes without effect, strides, encodings, drawings, costs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xnas_core.errors import InvalidInputError
from xnas_core.graph import Op
from xnas_core.spaces.base import DataShape, Genes
from xnas_core.spaces.mobile import Mobile
from xnas_core.spaces.parameters import InvalidParameterError

DIGITS = DataShape(1, 8, 8, 10)
CIFAR10 = DataShape(3, 32, 32, 10)
FIVE = Mobile({"stages": 5}, CIFAR10)
# Every way to be without effect: empty stages, kernels beyond the image, stages that meet in width and halve nothing.
TANGLED = Mobile(
    {"stages": 4, "depths": [0, 1, 2], "widths": [4, 8], "kernels": [3, 5, 9], "expansions": [1, 2], "stemChannels": 4},
    DIGITS,
)


def _genes_of(space: Mobile) -> st.SearchStrategy[Genes]:
    return st.tuples(*[st.integers(0, cardinality - 1) for cardinality in space.cardinalities])


@given(_genes_of(FIVE))
def test_cost_added_up_from_parts_is_the_graph_s(genes: Genes) -> None:
    metrics, graph = FIVE.static_metrics(genes), FIVE.graph(genes)
    assert (metrics.parameters, metrics.macs) == (graph.parameters, graph.macs)
    assert FIVE.decode(FIVE.encoding(genes)) == genes


@given(_genes_of(TANGLED), _genes_of(TANGLED))
def test_identities_are_equal_exactly_where_graphs_are(first: Genes, second: Genes) -> None:
    same_identity = TANGLED.identity(first) == TANGLED.identity(second)
    assert same_identity == (TANGLED.graph(first).digest == TANGLED.graph(second).digest)


@given(_genes_of(TANGLED), st.integers(0, 3), st.data())
def test_genes_of_an_empty_stage_have_no_effect(genes: Genes, stage: int, data: st.DataObject) -> None:
    start = 5 * stage
    others = data.draw(_genes_of(TANGLED))[start + 1 : start + 5]
    empty = (*genes[:start], 0, *genes[start + 1 :])
    changed = (*genes[:start], 0, *others, *genes[start + 5 :])
    assert TANGLED.identity(empty) == TANGLED.identity(changed)
    assert TANGLED.graph(empty).digest == TANGLED.graph(changed).digest


def test_a_kernel_beyond_the_image_is_built_as_the_largest_with_an_effect() -> None:
    tail = "/d1-w16-k3-e2/d1-w32-k3-e2"
    kernels = {
        kernel: TANGLED.identity(TANGLED.decode(f"d1-w8-k3-e2/d1-w16-k3-e2/d1-w16-k{kernel}-e2/d0-w32-k3-e1"))
        for kernel in (3, 5, 9)
    }
    assert len(set(kernels.values())) == 1, "the third stage reads 2x2 pixels, where 3 is the largest with an effect"
    wide = TANGLED.decode("d0-w8-k3-e1/d1-w8-k9-e2" + tail)
    assert TANGLED.identity(wide) != TANGLED.identity(TANGLED.decode("d0-w8-k3-e1/d1-w8-k5-e2" + tail))


def test_where_nothing_is_halved_any_more_the_border_of_two_stages_has_no_effect() -> None:
    start = "d1-w4-k3-e1/d1-w8-k3-e1"
    first = TANGLED.decode(f"{start}/d2-w32-k3-e2-se/d1-w32-k3-e2-se")
    second = TANGLED.decode(f"{start}/d1-w32-k3-e2-se/d2-w32-k3-e2-se")
    assert first != second
    assert TANGLED.identity(first) == TANGLED.identity(second)
    assert TANGLED.graph(first).digest == TANGLED.graph(second).digest


@given(_genes_of(FIVE))
def test_every_activation_is_a_node_of_its_own(genes: Genes) -> None:
    activations = {Op.RELU, Op.HARD_SWISH, Op.HARD_SIGMOID}
    graph = FIVE.graph(genes)
    read = [name for node in graph.nodes if node.op in activations for name in node.inputs]
    assert len(read) == len(set(read))
    dead = {node.name for node in graph.nodes} - {name for node in graph.nodes for name in node.inputs}
    assert dead == {graph.nodes[-1].name}


@pytest.mark.parametrize("side", [4, 5, 7, 8, 12, 28, 32, 63, 64, 65, 224])
@pytest.mark.parametrize("stages", [2, 5])
def test_strides_adapt_to_the_image(side: int, stages: int) -> None:
    space = Mobile({"stages": stages}, DataShape(3, side, side + 1, 7))
    graph = space.graph((1, 1, 2, 1, 1) * stages)
    smallest = min(min(shape[1:]) for name, shape in graph.shapes.items() if name.endswith("project.norm"))
    halvings = sum(node.attributes.get("stride", 1) == 2 for node in graph.nodes)
    assert smallest >= 1
    assert halvings == stages + (side >= 64) or smallest <= 2
    assert graph.shapes[graph.nodes[-1].name] == (7,)


def test_squeeze_and_residual_sum_are_where_they_belong() -> None:
    space = Mobile({"stages": 2}, CIFAR10)
    names = {node.name: node for node in space.graph(space.decode("d2-w16-k3-e3-se/d1-w64-k5-e4")).nodes}
    assert "block1.sum" not in names, "it halves the image"
    assert names["block2.sum"].inputs == ("block2.project.norm", "block1.project.norm")
    assert names["block1.squeeze.scale"].inputs == ("block1.depthwise.activation", "block1.squeeze.gate")
    assert names["block1.squeeze.reduce"].attributes["channels"] == 12
    assert "block3.squeeze.pool" not in names
    assert (names["block1.depthwise.activation"].op, names["block3.depthwise.activation"].op) == (
        Op.RELU,
        Op.HARD_SWISH,
    )
    assert names["block3.depthwise.conv"].attributes == {"channels": 64, "kernel": 5, "stride": 2, "groups": 64}


def test_drawing_is_a_chain_of_stages() -> None:
    genes = TANGLED.decode("d2-w8-k5-e2-se/d0-w8-k3-e1/d1-w16-k3-e1/d1-w64-k3-e2")
    drawing = TANGLED.drawing(genes)
    assert [node.id for node in drawing.nodes] == ["input", "stem", "stage1", "stage3", "stage4", "head"]
    assert drawing.nodes[2].label == "stage 1: 2 x kernel 5, expansion 2, squeeze"
    assert [edge.label for edge in drawing.edges] == ["1x8x8", "4x8x8", "8x4x4", "16x2x2", "64x2x2"]


@pytest.mark.parametrize(
    ("encoding", "what"),
    [
        ("d1-w16-k3-e3", "has 1 stages, the space has 2"),
        ("d1-w16-k3-e3/d1-w32-k3", "stage 2, 'd1-w32-k3', is not of the form"),
        ("d1-w16-k3-e3/d1-w16-k3-e3", r"stage 2: width 16 is not one of \[32, 48, 64\]"),
        ("d9-w16-k3-e3/d1-w32-k3-e3", r"stage 1: depth 9 is not one of \[1, 2, 3\]"),
    ],
)
def test_wrong_encodings_are_explained(encoding: str, what: str) -> None:
    with pytest.raises(InvalidInputError, match=what):
        Mobile({"stages": 2}, CIFAR10).decode(encoding)


def test_wrong_parameters_are_explained() -> None:
    with pytest.raises(InvalidParameterError, match="'kernels' holds 4, but only odd numbers from 1 to 11 are allowed"):
        Mobile({"kernels": [3, 4]}, CIFAR10)
    with pytest.raises(InvalidParameterError, match="'depths' is 3, but must be a list"):
        Mobile({"depths": 3}, CIFAR10)
    with pytest.raises(InvalidParameterError, match=r"'widths' is \[8, 8\], but each value may be named only once"):
        Mobile({"widths": [8, 8]}, CIFAR10)
    with pytest.raises(InvalidInputError, match="there is no gene 25"):
        FIVE.gene_label(25, 0)
