"""The cell space: canonical form, graphs, encodings, drawings, errors."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xnas_core.errors import InvalidInputError
from xnas_core.graph import ACTIVATIONS, Graph, Op
from xnas_core.spaces.base import DataShape, Genes
from xnas_core.spaces.cell_form import CONV_1X1, CONV_3X3, EDGES, NONE, POOL, SKIP, cell_form, live_edges
from xnas_core.spaces.nas_bench_201 import NasBench201
from xnas_core.spaces.parameters import InvalidParameterError

SHAPE = DataShape(3, 16, 16, 10)
ALL_GENES = tuple(itertools.product(range(5), repeat=6))
SPACE = NasBench201({"cellsPerStage": 1, "channels": 4}, SHAPE)
RAW = NasBench201({"cellsPerStage": 1, "channels": 4, "prune": False}, SHAPE)

genes_of_the_cell = st.tuples(*[st.integers(0, 4)] * 6)


def _cell(zero_one: int, zero_two: int, one_two: int, zero_three: int, one_three: int, two_three: int) -> Genes:
    return (zero_one, zero_two, one_two, zero_three, one_three, two_three)


def _same(first: Genes, second: Genes) -> bool:
    return SPACE.identity(first) == SPACE.identity(second)


def test_all_encodings_are_5260_networks() -> None:
    identities = {SPACE.identity(genes) for genes in ALL_GENES}
    assert len(identities) == 5_260
    assert len({RAW.identity(genes) for genes in ALL_GENES}) == 15_625


def test_disconnected_means_no_path_of_non_zero_edges() -> None:
    for genes in ALL_GENES:
        kept = {edge for edge, gene in zip(EDGES, genes, strict=True) if gene != NONE}
        paths = [((0, 3),), ((0, 1), (1, 3)), ((0, 2), (2, 3)), ((0, 1), (1, 2), (2, 3))]
        assert SPACE.connected(genes) == RAW.connected(genes) == any(kept.issuperset(path) for path in paths)


def test_graphs_are_equal_exactly_where_identities_are() -> None:
    """One encoding in 5 of all that share an identity with another, so about 2,000 graphs."""
    by_identity: dict[str, list[Genes]] = {}
    for genes in ALL_GENES:
        if SPACE.connected(genes):
            by_identity.setdefault(SPACE.identity(genes), []).append(genes)
    digests: dict[str, str] = {}
    for identity, encodings in list(by_identity.items())[::5]:
        found = {SPACE.graph(genes).digest for genes in (encodings[0], encodings[len(encodings) // 2], encodings[-1])}
        assert len(found) == 1, identity
        digests[identity] = found.pop()
    assert len(set(digests.values())) == len(digests)


@given(genes_of_the_cell)
def test_pruned_and_raw_network_compute_the_same(genes: Genes) -> None:
    """Both cells send the input along the same ways, each as often: what was pruned had no influence."""
    if SPACE.connected(genes):
        assert sorted(_ways(SPACE.graph(genes))) == sorted(_ways(RAW.graph(genes)))


def _ways(graph: Graph) -> list[str]:
    """Return the operations along each way through the cell of stage 1 that passes no zero."""
    letters = {Op.CONV: "c", Op.AVG_POOL: "p", Op.BATCH_NORM: "b", Op.RELU: "r"}
    ways: dict[str, list[str]] = {"stem.norm": [""]}
    for node in graph.nodes:
        if node.name.startswith("stage1."):
            step = letters.get(node.op, "") + str(node.attributes.get("kernel", ""))
            before = [way for name in node.inputs for way in ways[name]]
            ways[node.name] = [] if node.op is Op.ZERO else [way + step for way in before]
    after = next(node for node in graph.nodes if node.name.startswith("reduction1."))
    return ways[after.inputs[0]]


@given(genes_of_the_cell)
def test_pruned_graph_holds_nothing_dead_and_nothing_shared(genes: Genes) -> None:
    if not SPACE.connected(genes):
        return
    graph = SPACE.graph(genes)
    read = {name for node in graph.nodes for name in node.inputs}
    assert [node.name for node in graph.nodes if node.name not in read] == [graph.nodes[-1].name]
    assert all(node.op is not Op.ZERO for node in graph.nodes)
    convs = [node for node in graph.nodes if node.op is Op.CONV and ".conv" in node.name and "stage1" in node.name]
    relus = [node.inputs[0] for node in convs]
    assert len(set(relus)) == len(relus)
    assert all(node.op in ACTIVATIONS for node in graph.nodes if node.name in relus)


def test_parallel_convolutions_stay_two_and_parallel_pools_become_one() -> None:
    convs = _cell(CONV_3X3, CONV_3X3, NONE, NONE, SKIP, SKIP)
    pools = _cell(POOL, POOL, NONE, NONE, SKIP, SKIP)
    one_conv_twice = _cell(CONV_3X3, NONE, SKIP, NONE, SKIP, SKIP)
    one_pool_twice = _cell(POOL, NONE, SKIP, NONE, SKIP, SKIP)
    assert not _same(convs, one_conv_twice)
    assert _same(pools, one_pool_twice)
    assert SPACE.identity(pools) == "1=avg_pool_3x3(0);1+1"
    assert SPACE.identity(convs) == "1=nor_conv_3x3(0);2=nor_conv_3x3(0);1+2"


def test_a_sum_keeps_its_multiplicity() -> None:
    assert SPACE.identity(_cell(SKIP, SKIP, SKIP, SKIP, SKIP, SKIP)) == "0+0+0+0"
    graph = SPACE.graph(_cell(SKIP, SKIP, SKIP, SKIP, SKIP, SKIP))
    sums = [node for node in graph.nodes if node.op is Op.ADD and node.name.startswith("stage1")]
    assert [node.inputs for node in sums] == [("stem.norm",) * 4]


def test_identity_cell_has_no_nodes() -> None:
    graph = SPACE.graph(_cell(NONE, NONE, NONE, SKIP, NONE, NONE))
    assert not [node.name for node in graph.nodes if node.name.startswith("stage")]


def test_dead_parts_are_dropped_or_kept() -> None:
    dead = _cell(CONV_3X3, CONV_1X1, NONE, CONV_3X3, NONE, NONE)
    assert SPACE.identity(dead) == "1=nor_conv_3x3(0);1"
    ends = RAW.graph(dead).parameters - SPACE.graph(dead).parameters
    assert ends == RAW.static_metrics(dead).parameters - SPACE.static_metrics(dead).parameters > 0
    assert any(node.op is Op.ZERO for node in RAW.graph(dead).nodes)


def test_disconnected_network_is_refused_unless_raw() -> None:
    nothing = (NONE,) * 6
    assert SPACE.identity(nothing) == "disconnected"
    with pytest.raises(InvalidInputError, match="disconnected"):
        SPACE.graph(nothing)
    assert RAW.graph(nothing).shapes


@given(genes_of_the_cell)
def test_live_edges_are_those_the_canonical_cell_keeps(genes: Genes) -> None:
    live = live_edges(genes)
    convs = [gene for gene, alive in zip(genes, live, strict=True) if alive and gene in (CONV_1X1, CONV_3X3)]
    kept = [term.operation for term in cell_form(genes).terms if term.operation != POOL]
    assert sorted(convs) == sorted(kept)
    drawing = SPACE.drawing(genes)
    assert [edge.live for edge in drawing.edges] == list(live)
    assert (len(drawing.nodes), len(drawing.edges)) == (4, 6)


@pytest.mark.parametrize(
    ("encoding", "what"),
    [
        ("|nor_conv_3x3~0|+|none~0|none~1|", "form"),
        ("|conv~0|+|none~0|none~1|+|none~0|none~1|none~2|", "unknown operation 'conv'"),
        ("|none~0|+|none~1|none~0|+|none~0|none~1|none~2|", "edge 0-2"),
        ("none~0+none~0|none~1+none~0|none~1|none~2", "form"),
        ("|none~0||+|none~0|none~1|+|none~0|none~1|none~2|", "form"),
    ],
)
def test_wrong_arch_strings_are_explained(encoding: str, what: str) -> None:
    with pytest.raises(InvalidInputError, match=what):
        SPACE.decode(encoding)


def test_wrong_parameters_and_shapes_are_explained() -> None:
    with pytest.raises(
        InvalidParameterError, match="'channels' is 513, but must be a whole number from 1 to 512"
    ) as info:
        NasBench201({"channels": 513}, SHAPE)
    assert info.value.parameter == "channels"
    with pytest.raises(InvalidParameterError, match="did you mean 'cellsPerStage'"):
        NasBench201({"cellsPerStages": 5}, SHAPE)
    with pytest.raises(InvalidInputError, match="at least 4x4 pixels, the data have 3x16"):
        NasBench201({}, DataShape(3, 3, 16, 10))
    with pytest.raises(InvalidInputError, match="at least 2 classes"):
        NasBench201({}, DataShape(3, 16, 16, 1))


@pytest.mark.parametrize("side", range(4, 35))
def test_reductions_fit_images_of_any_size(side: int) -> None:
    space = NasBench201({"cellsPerStage": 1, "channels": 2}, DataShape(1, side, side + 3, 4))
    graph = space.graph(_cell(CONV_3X3, POOL, CONV_1X1, SKIP, POOL, CONV_3X3))
    assert graph.shapes[graph.nodes[-1].name] == (4,)
