"""Writes a graph node by node. What search spaces, plug-ins included, use to make networks."""

from __future__ import annotations

from collections.abc import Sequence

from xnas_core.graph import Graph, Node, Op, Shape


class GraphBuilder:
    """Collects nodes in topological order; every method returns the name of its node, to be read by later ones.

    Activations get a node at each use, as Captum's layer methods need: a module runs once per forward pass.
    """

    def __init__(self, input_shape: Shape) -> None:
        self._input_shape = input_shape
        self._nodes: list[Node] = [Node("input", Op.INPUT)]

    def add(self, name: str, op: Op, inputs: str | Sequence[str], **attributes: int) -> str:
        """Append one operation and return its name. Attributes: see Op; the same as the default are best left out."""
        sources = (inputs,) if isinstance(inputs, str) else tuple(inputs)
        self._nodes.append(Node(name, op, sources, attributes))
        return name

    def extend(self, nodes: Sequence[Node]) -> str:
        """Append nodes that another builder made, and return the name of the last one."""
        self._nodes.extend(nodes)
        return nodes[-1].name

    def conv_norm(self, prefix: str, source: str, channels: int, kernel: int, stride: int = 1, groups: int = 1) -> str:
        """Append a convolution without bias, padded to keep the size at stride 1, and a batch norm."""
        attributes = {"channels": channels, "kernel": kernel}
        if stride != 1:
            attributes["stride"] = stride
        if groups != 1:
            attributes["groups"] = groups
        return self.add(f"{prefix}.norm", Op.BATCH_NORM, self.add(f"{prefix}.conv", Op.CONV, source, **attributes))

    def relu_conv_norm(self, prefix: str, source: str, channels: int, kernel: int, stride: int = 1) -> str:
        """Append ReLU, convolution without bias, batch norm."""
        return self.conv_norm(prefix, self.add(f"{prefix}.relu", Op.RELU, source), channels, kernel, stride)

    def classifier(self, prefix: str, source: str, classes: int) -> str:
        """Append global average pooling and a linear layer: the class scores."""
        pooled = self.add(f"{prefix}.pool", Op.GLOBAL_AVG_POOL, source)
        return self.add(
            f"{prefix}.linear", Op.LINEAR, self.add(f"{prefix}.flatten", Op.FLATTEN, pooled), features=classes
        )

    def written(self) -> tuple[Node, ...]:
        """Return the nodes after the input."""
        return tuple(self._nodes[1:])

    def build(self) -> Graph:
        """Return the graph; the last node added is its output."""
        return Graph(tuple(self._nodes), self._input_shape)
