"""A network as data: a graph of operations, without torch.

Search spaces produce it; shapes, parameters and multiply-accumulates are computed from it before
anything is trained; the evaluator builds the torch module from it, whatever the space was. So a
plug-in space needs no code in the evaluator.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Any

from xnas_core.errors import InvalidInputError

Shape = tuple[int, ...]
"""(C, H, W), or (C,) after global pooling. The batch dimension is left out."""


class Op(StrEnum):
    """The operations. Attributes in brackets; all are integers or booleans."""

    INPUT = "input"
    CONV = "conv"  # [channels, kernel, stride=1, padding=kernel//2, groups=1, bias=False]
    BATCH_NORM = "batchNorm"  # affine, running statistics
    RELU = "relu"
    RELU6 = "relu6"
    SILU = "silu"
    HARD_SWISH = "hardSwish"
    SIGMOID = "sigmoid"
    HARD_SIGMOID = "hardSigmoid"
    AVG_POOL = "avgPool"  # [kernel, stride=1, padding=0]; padding is not counted in the mean
    MAX_POOL = "maxPool"  # [kernel, stride=1, padding=0]
    GLOBAL_AVG_POOL = "globalAvgPool"  # (C, H, W) -> (C, 1, 1)
    FLATTEN = "flatten"  # (C, H, W) -> (C*H*W,)
    LINEAR = "linear"  # [features], with bias
    ADD = "add"  # two or more inputs of one shape; an input may be named more than once
    MULTIPLY = "multiply"  # (C, H, W) times (C, 1, 1), for squeeze-excitation
    ZERO = "zero"  # zeros of the input's shape; only in unpruned networks


_REQUIRED: dict[Op, tuple[str, ...]] = {
    Op.CONV: ("channels", "kernel"),
    Op.AVG_POOL: ("kernel",),
    Op.MAX_POOL: ("kernel",),
    Op.LINEAR: ("features",),
}
_OPTIONAL: dict[Op, tuple[str, ...]] = {
    Op.CONV: ("stride", "padding", "groups", "bias"),
    Op.AVG_POOL: ("stride", "padding"),
    Op.MAX_POOL: ("stride", "padding"),
}
_MAY_BE_ZERO = frozenset({"padding", "bias"})
_NAME = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", re.ASCII)

ACTIVATIONS: frozenset[Op] = frozenset({Op.RELU, Op.RELU6, Op.SILU, Op.HARD_SWISH, Op.SIGMOID, Op.HARD_SIGMOID})


@dataclass(frozen=True, slots=True)
class Node:
    """One operation.

    Attributes:
        name: dotted path, unique in the graph and the name of the torch submodule ("stage1.cell0.edge0_1.conv").
        op: the operation.
        inputs: names of the nodes it reads, in order.
        attributes: see Op.
    """

    name: str
    op: Op
    inputs: tuple[str, ...] = ()
    attributes: Mapping[str, int] = field(default_factory=dict)
    _document: list[Any] | None = field(default=None, init=False, repr=False, compare=False)

    @property
    def document(self) -> list[Any]:
        """The node as JSON, made once; to be serialised, never to be changed."""
        if self._document is None:
            made = [self.name, self.op._value_, list(self.inputs), dict(self.attributes)]
            object.__setattr__(self, "_document", made)
            return made
        return self._document

    def get(self, attribute: str, default: int | None = None) -> int:
        """Return an attribute or its default; raise InvalidInputError where neither is there."""
        value = self.attributes.get(attribute, default)
        if value is None:
            raise InvalidInputError(f"node {self.name!r} ({self.op}) lacks the attribute {attribute!r}")
        return value


@dataclass(frozen=True)
class Graph:
    """Operations in topological order; the first is the input, the last the output (class scores)."""

    nodes: tuple[Node, ...]
    input_shape: Shape

    @cached_property
    def shapes(self) -> dict[str, Shape]:
        """Output shape of each node, batch left out. Raises InvalidInputError on a graph that does not fit."""
        shapes: dict[str, Shape] = {}
        for node in self.nodes:
            if node.name in shapes:
                raise InvalidInputError(f"two nodes are named {node.name!r}")
            missing = [name for name in node.inputs if name not in shapes]
            if missing:
                raise InvalidInputError(f"node {node.name!r} reads {missing[0]!r}, which does not come before it")
            shapes[node.name] = _shape(node, [shapes[name] for name in node.inputs], self.input_shape)
        return shapes

    @cached_property
    def parameters(self) -> int:
        """Number of trainable parameters (batch norm: weight and bias)."""
        return sum(_parameters(node, [self.shapes[i] for i in node.inputs]) for node in self.nodes)

    @cached_property
    def macs(self) -> int:
        """Multiply-accumulates of one forward pass of one sample: convolutions and linear layers.

        Adding a bias counts as one; pooling, activations, batch norm and sums count nothing. So do NAS-Bench-201's
        tables, whose "MFLOPs" are these / 10^6: the last 10 of 7,783,050 are the bias of the linear layer (10 classes).
        """
        return sum(_macs(node, [self.shapes[i] for i in node.inputs], self.shapes[node.name]) for node in self.nodes)

    def to_document(self) -> dict[str, Any]:
        """Return a JSON document; `from_document` is its inverse."""
        return {
            "inputShape": list(self.input_shape),
            "nodes": [[n.name, n.op._value_, list(n.inputs), dict(n.attributes)] for n in self.nodes],
        }

    def shared_document(self) -> dict[str, Any]:
        """Return what `to_document` does, made of parts that graphs with the same nodes share: to be serialised only.

        The networks of one search share most of their nodes, so a server that sends thousands makes each part once.
        """
        return {"inputShape": list(self.input_shape), "nodes": [node.document for node in self.nodes]}

    @staticmethod
    def from_document(document: Mapping[str, Any]) -> Graph:
        """Read what `to_document` wrote; raise InvalidInputError on anything else, `check` included."""
        try:
            nodes = tuple(
                Node(
                    str(name), Op(op), tuple(str(i) for i in inputs), {str(k): _whole(v) for k, v in attributes.items()}
                )
                for name, op, inputs, attributes in document["nodes"]
            )
            graph = Graph(nodes, tuple(_whole(d) for d in document["inputShape"]))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InvalidInputError(f"not a network graph: {error}") from error
        graph.check()
        return graph

    def check(self) -> None:
        """Raise InvalidInputError, naming the node, unless a torch module can be built from the graph.

        Checked: the input comes first and only there; names are dotted identifiers of which none is the beginning of
        another; attributes are known, complete and within bounds; numbers of inputs and shapes fit.
        """
        if not self.nodes or self.nodes[0].op is not Op.INPUT:
            raise InvalidInputError("the first node of a network must be its input")
        if not 1 <= len(self.input_shape) <= 3 or min(self.input_shape) < 1:
            raise InvalidInputError(f"a network cannot read samples of shape {self.input_shape}")
        names = {node.name for node in self.nodes}
        for node in self.nodes:
            _check_node(node, first=node is self.nodes[0])
            parts = node.name.split(".")
            parent = next((".".join(parts[:n]) for n in range(1, len(parts)) if ".".join(parts[:n]) in names), None)
            if parent:
                raise InvalidInputError(
                    f"node {node.name!r} lies inside node {parent!r}; give one of them another name"
                )
        _ = self.shapes

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the document, hex."""
        return hashlib.sha256(json.dumps(self.to_document(), sort_keys=True).encode()).hexdigest()


def _whole(value: Any) -> int:
    if not isinstance(value, int):
        raise TypeError(f"{value!r} is not a whole number")
    return int(value)


def _check_node(node: Node, first: bool) -> None:
    if not _NAME.fullmatch(node.name):
        raise InvalidInputError(f"node name {node.name!r} is not made of identifiers joined by dots")
    if (node.op is Op.INPUT) != first:
        raise InvalidInputError(f"node {node.name!r}: the input must be the first node and only that")
    low, high = {Op.INPUT: (0, 0), Op.ADD: (2, 1_000), Op.MULTIPLY: (2, 2)}.get(node.op, (1, 1))
    if not low <= len(node.inputs) <= high:
        raise InvalidInputError(f"node {node.name!r} ({node.op}) must read {low} inputs, not {len(node.inputs)}")
    required, optional = _REQUIRED.get(node.op, ()), _OPTIONAL.get(node.op, ())
    for name in required:
        node.get(name)
    for name, value in node.attributes.items():
        if name not in required and name not in optional:
            raise InvalidInputError(f"node {node.name!r} ({node.op}) has the unknown attribute {name!r}")
        if value < (0 if name in _MAY_BE_ZERO else 1):
            raise InvalidInputError(f"node {node.name!r} ({node.op}): {name} must not be {value}")
    if node.op in (Op.AVG_POOL, Op.MAX_POOL) and 2 * node.get("padding", 0) > node.get("kernel"):
        raise InvalidInputError(f"node {node.name!r} ({node.op}): padding must be at most half of kernel")


def _window(size: int, kernel: int, stride: int, padding: int) -> int:
    return (size + 2 * padding - kernel) // stride + 1


def _shape(node: Node, inputs: Sequence[Shape], input_shape: Shape) -> Shape:
    if node.op is Op.INPUT:
        return input_shape
    if not inputs:
        raise InvalidInputError(f"node {node.name!r} ({node.op}) has no input")
    first = inputs[0]
    if node.op is Op.CONV or node.op in (Op.AVG_POOL, Op.MAX_POOL):
        kernel = node.get("kernel")
        padding = node.get("padding", kernel // 2 if node.op is Op.CONV else 0)
        channels = node.get("channels") if node.op is Op.CONV else first[0]
        if len(first) != 3:
            raise InvalidInputError(f"node {node.name!r} ({node.op}) needs an image, its input has shape {first}")
        groups = node.get("groups", 1)
        if first[0] % groups or channels % groups:
            raise InvalidInputError(f"node {node.name!r}: {groups} groups do not divide its channels")
        size = tuple(_window(d, kernel, node.get("stride", 1), padding) for d in first[1:])
        if min(size) < 1:
            raise InvalidInputError(f"node {node.name!r} ({node.op}): an image of {first[1:]} is too small for it")
        return (channels, *size)
    if node.op is Op.GLOBAL_AVG_POOL:
        if len(first) != 3:
            raise InvalidInputError(f"node {node.name!r} ({node.op}) needs an image, its input has shape {first}")
        return (first[0], 1, 1)
    if node.op is Op.FLATTEN:
        size_ = 1
        for d in first:
            size_ *= d
        return (size_,)
    if node.op is Op.LINEAR:
        if len(first) != 1:
            raise InvalidInputError(f"node {node.name!r} (linear) needs a flat input, its input has shape {first}")
        return (node.get("features"),)
    if node.op is Op.ADD and any(shape != first for shape in inputs):
        raise InvalidInputError(f"node {node.name!r} adds shapes that differ: {list(inputs)}")
    if node.op is Op.MULTIPLY and (len(inputs) != 2 or inputs[1] not in (first, (first[0], 1, 1))):
        raise InvalidInputError(f"node {node.name!r} multiplies shapes that do not fit: {list(inputs)}")
    return first


def _parameters(node: Node, inputs: Sequence[Shape]) -> int:
    if node.op is Op.CONV:
        channels, kernel = node.get("channels"), node.get("kernel")
        weights = channels * (inputs[0][0] // node.get("groups", 1)) * kernel * kernel
        return weights + (channels if node.get("bias", 0) else 0)
    if node.op is Op.BATCH_NORM:
        return 2 * inputs[0][0]
    if node.op is Op.LINEAR:
        return node.get("features") * (inputs[0][0] + 1)
    return 0


def _macs(node: Node, inputs: Sequence[Shape], output: Shape) -> int:
    if node.op is Op.CONV:
        kernel = node.get("kernel")
        per_output = (inputs[0][0] // node.get("groups", 1)) * kernel * kernel
        return output[0] * output[1] * output[2] * (per_output + (1 if node.get("bias", 0) else 0))
    if node.op is Op.LINEAR:
        return (inputs[0][0] + 1) * output[0]
    return 0
