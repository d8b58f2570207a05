"""The torch network of a graph: every operation is a submodule of its own, named as its node."""

from __future__ import annotations

from collections.abc import Collection
from fnmatch import fnmatchcase
from typing import Literal

import torch
from torch import Tensor, nn

from xnas_core.errors import InvalidInputError
from xnas_core.graph import ACTIVATIONS, Graph, Op
from xnas_evaluator.networks.operations import module

Layers = Literal["all", "convolutionsAndActivations"] | tuple[str, ...]
"""Which outputs count as activations; a tuple holds names of operations or their beginnings (`named`)."""

_NOT_COUNTED = frozenset({Op.INPUT, Op.FLATTEN, Op.ZERO})
"""Not activations of their own: the input, a change of shape, constants."""


class GraphNetwork(nn.Module):
    """Executes a graph in its (topological) order.

    Hooks and Captum work on every operation: `network.get_submodule(node.name)`. An intermediate tensor is let go
    after its last use.

    Attributes:
        graph: the graph it was built from.
    """

    def __init__(self, graph: Graph) -> None:
        """Build the modules; their weights are torch's defaults until `initialise`."""
        super().__init__()
        shapes = graph.shapes
        if not graph.nodes or len(shapes[graph.nodes[-1].name]) != 1:
            raise InvalidInputError(
                "a network has to end in class scores: its last node must have the shape (classes,)"
            )
        self.graph = graph
        position = {node.name: index for index, node in enumerate(graph.nodes)}
        last_use = {name: index for index, node in enumerate(graph.nodes) for name in node.inputs}
        self._plan: list[tuple[nn.Module, tuple[int, ...], tuple[int, ...]]] = []
        for index, node in enumerate(graph.nodes):
            operation = module(node, [shapes[name] for name in node.inputs])
            _attach(self, node.name, operation)
            reads = tuple(position[name] for name in node.inputs)
            done = {position[name] for name in node.inputs if last_use[name] == index}
            if node.name not in last_use:
                done.add(index)
            self._plan.append((operation, reads, tuple(sorted(done))))

    def forward(self, images: Tensor) -> Tensor:
        """Return class scores.

        Args:
            images: (N, C, H, W), z-scored.

        Returns:
            (N, classes) logits.
        """
        values: list[Tensor | None] = []
        result = images
        for operation, reads, freed in self._plan:
            result = operation(*[values[i] for i in reads]) if reads else operation(images)
            values.append(result)
            for i in freed:
                values[i] = None
        return result


def build(graph: Graph, seed: int | None = None) -> GraphNetwork:
    """Return the network of a graph, on the CPU, in training mode.

    Args:
        graph: the network as data.
        seed: training seed that the first weights follow from; None leaves them to torch.

    Raises:
        InvalidInputError: the graph does not fit together, or two names clash.
    """
    network = GraphNetwork(graph)
    if seed is not None:
        initialise(network, seed)
    return network


def initialise(network: nn.Module, seed: int) -> None:
    """Set first weights: Kaiming (He et al. 2015) for convolutions and linear layers, on the CPU, from the seed alone.

    Convolutions: normal, fan-out, gain of ReLU. Linear: uniform, fan-in, gain 1/sqrt(3), as torch's default.
    Biases are 0; batch norm starts as the identity.
    """
    generator = torch.Generator().manual_seed(seed)
    for part in network.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu", generator=generator)
        elif isinstance(part, nn.Linear):
            nn.init.kaiming_uniform_(part.weight, a=5**0.5, generator=generator)
        elif isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
            part.reset_parameters()
        if isinstance(part, nn.Conv2d | nn.Linear) and part.bias is not None:
            nn.init.zeros_(part.bias)


def activation_layers(network: GraphNetwork, layers: Layers = "convolutionsAndActivations") -> dict[str, nn.Module]:
    """Return the layers whose outputs count as activations, by name, in execution order.

    Args:
        network: the network.
        layers: "convolutionsAndActivations", as the method's implementation takes them; "all", as the paper says
            (every operation but input, flatten and zero); or those of "all" that one of the given names or beginnings
            fits ("stage1.cell2" fits "stage1.cell2.conv1.relu"; * stands for any characters).
    """
    chosen = frozenset(layers) if isinstance(layers, tuple) else frozenset()
    found = {}
    for node in network.graph.nodes:
        if layers == "convolutionsAndActivations":
            counts = node.op is Op.CONV or node.op in ACTIVATIONS
        else:
            counts = node.op not in _NOT_COUNTED and (layers == "all" or node.name in chosen or fits(node.name, chosen))
        if counts:
            found[node.name] = network.get_submodule(node.name)
    return found


def fits(name: str, patterns: Collection[str]) -> bool:
    """Return whether a pattern fits the name or its beginning up to a dot; * stands for any characters."""
    parts = name.split(".")
    beginnings = [".".join(parts[:count]) for count in range(1, len(parts) + 1)]
    return any(fnmatchcase(beginning, pattern) for pattern in patterns for beginning in beginnings)


def _attach(root: nn.Module, name: str, operation: nn.Module) -> None:
    """Register the operation below containers for the name's dotted parts."""
    *path, leaf = name.split(".")
    parent = root
    try:
        for part in path:
            if part not in parent._modules:
                parent.add_module(part, nn.Module())
            parent = parent.get_submodule(part)
        if leaf in parent._modules:
            raise KeyError(f"{leaf!r} holds other nodes")
        parent.add_module(leaf, operation)
    except (KeyError, AttributeError) as error:
        raise InvalidInputError(f"node {name!r} can't be named so: {error.args[0]}") from error
