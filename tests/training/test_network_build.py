"""The torch network of a graph: names, order, freed intermediates, first weights."""

from __future__ import annotations

import gc
import weakref

import pytest
import torch
from torch import Tensor, nn

from xnas_core.errors import InvalidInputError
from xnas_core.graph import Graph, Node, Op
from xnas_evaluator.networks.build import activation_layers, build
from xnas_evaluator.networks.operations import Add
from xnas_evaluator.testing_networks import small_graph


def test_every_node_is_a_submodule_of_its_name_and_none_is_shared_or_in_place() -> None:
    graph = small_graph()
    network = build(graph, 1)
    modules = [network.get_submodule(node.name) for node in graph.nodes]
    assert len({id(module) for module in modules}) == len(graph.nodes)
    assert not any(getattr(module, "inplace", False) for module in modules)
    assert isinstance(network.get_submodule("block.sum"), Add)


def test_output_and_counted_parameters_are_those_of_the_graph() -> None:
    graph = small_graph()
    network = build(graph, 1)
    assert network(torch.zeros(3, *graph.input_shape)).shape == (3, 4)
    assert sum(parameter.numel() for parameter in network.parameters()) == graph.parameters
    seen = {}
    for node in graph.nodes:
        network.get_submodule(node.name).register_forward_hook(
            lambda _m, _i, output, name=node.name: seen.update({name: tuple(output.shape[1:])})
        )
    network(torch.zeros(2, *graph.input_shape))
    assert seen == graph.shapes


def test_first_weights_follow_from_the_seed_alone() -> None:
    graph = small_graph()
    torch.manual_seed(0)
    first = build(graph, 5).state_dict()
    torch.manual_seed(1)
    again, other = build(graph, 5).state_dict(), build(graph, 6).state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["stem.conv.weight"], other["stem.conv.weight"])


def test_kaiming_scale() -> None:
    nodes = (
        Node("in", Op.INPUT),
        Node("conv", Op.CONV, ("in",), {"channels": 64, "kernel": 3}),
        Node("pool", Op.GLOBAL_AVG_POOL, ("conv",)),
        Node("flat", Op.FLATTEN, ("pool",)),
        Node("out", Op.LINEAR, ("flat",), {"features": 2}),
    )
    weight = build(Graph(nodes, (32, 4, 4)), 0).get_submodule("conv").get_parameter("weight")
    assert float(weight.detach().std()) == pytest.approx((2 / (64 * 9)) ** 0.5, rel=0.05)


def test_an_intermediate_is_let_go_after_its_last_use() -> None:
    network = build(small_graph(), 1).eval()
    alive: list[int] = []
    born: list[weakref.ref[Tensor]] = []

    def watch(_module: nn.Module, _inputs: object, output: Tensor) -> None:
        gc.collect()
        alive.append(sum(reference() is not None for reference in born))
        born.append(weakref.ref(output))

    for node in network.graph.nodes:
        network.get_submodule(node.name).register_forward_hook(watch)
    with torch.inference_mode():
        network(torch.zeros(1, 1, 8, 8))
    assert max(alive) <= 4
    assert alive[-1] <= 2


def test_activation_layers_by_kind() -> None:
    network = build(small_graph(), 1)
    default, every = activation_layers(network), activation_layers(network, "all")
    assert list(default) == [
        "stem.conv",
        "block.edge0.relu",
        "block.edge0.conv",
        "block.edge1.relu",
        "block.edge1.conv",
        "block.gate",
        "block.swish",
    ]
    assert set(every) == {node.name for node in network.graph.nodes} - {"image", "head.flat"}


@pytest.mark.parametrize(
    ("names", "message"),
    [(("conv", "conv.weight"), "can't be named"), (("forward", "b"), "can't be named")],
)
def test_names_that_clash_are_refused(names: tuple[str, str], message: str) -> None:
    nodes = (
        Node("in", Op.INPUT),
        Node(names[0], Op.CONV, ("in",), {"channels": 2, "kernel": 1}),
        Node(names[1], Op.RELU, (names[0],)),
        Node("flat", Op.FLATTEN, (names[1],)),
    )
    with pytest.raises(InvalidInputError, match=message):
        build(Graph(nodes, (1, 2, 2)))


def test_a_network_has_to_end_in_class_scores() -> None:
    with pytest.raises(InvalidInputError, match="end in class scores"):
        build(Graph((Node("in", Op.INPUT), Node("relu", Op.RELU, ("in",))), (1, 4, 4)))


def test_padding_is_not_counted_in_the_mean_of_an_average_pool() -> None:
    nodes = (
        Node("in", Op.INPUT),
        Node("pool", Op.AVG_POOL, ("in",), {"kernel": 3, "padding": 1}),
        Node("flat", Op.FLATTEN, ("pool",)),
    )
    assert torch.equal(build(Graph(nodes, (1, 4, 4)))(torch.ones(1, 1, 4, 4)), torch.ones(1, 16))
