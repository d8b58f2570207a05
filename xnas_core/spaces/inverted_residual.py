"""The inverted residual block: expand, depthwise convolution, squeeze and excite, project, add.

Sources: Sandler et al. 2018 (MobileNetV2), figure 4; Howard et al. 2019 (MobileNetV3), figure 4 and section 5.2.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from xnas_core.graph import Graph, Node, Op, Shape
from xnas_core.spaces.base import StaticMetrics
from xnas_core.spaces.builder import GraphBuilder


@dataclass(frozen=True, slots=True)
class Block:
    """One block.

    Attributes:
        source_channels: channels that it reads.
        channels: channels that it gives.
        kernel: side of the depthwise convolution's window, odd.
        stride: 1 or 2.
        expansion: factor from source_channels to the channels inside; 1 has no expanding convolution.
        squeeze: whether it squeezes and excites.
        activation: Op.RELU or Op.HARD_SWISH.
    """

    source_channels: int
    channels: int
    kernel: int
    stride: int
    expansion: int
    squeeze: bool
    activation: Op

    @property
    def text(self) -> str:
        """All that makes the block, as one word: "k5-s2-e4-w24-se-relu"."""
        squeeze = "se" if self.squeeze else "plain"
        return f"k{self.kernel}-s{self.stride}-e{self.expansion}-w{self.channels}-{squeeze}-{self.activation.value}"

    def output_shape(self, shape: Shape) -> Shape:
        """Return the (C, H, W) that it gives for an input of (C, H, W)."""
        return (self.channels, *(-(-side // self.stride) for side in shape[1:]))

    def write(self, builder: GraphBuilder, prefix: str, source: str) -> str:
        """Append the block and return its last node."""
        inside = self.source_channels * self.expansion
        here = source
        if self.expansion != 1:
            here = builder.conv_norm(f"{prefix}.expand", here, inside, 1)
            here = builder.add(f"{prefix}.expand.activation", self.activation, here)
        here = builder.conv_norm(f"{prefix}.depthwise", here, inside, self.kernel, self.stride, groups=inside)
        here = builder.add(f"{prefix}.depthwise.activation", self.activation, here)
        if self.squeeze:
            here = _squeeze_excite(builder, f"{prefix}.squeeze", here, inside)
        here = builder.conv_norm(f"{prefix}.project", here, self.channels, 1)
        if self.stride == 1 and self.source_channels == self.channels:
            here = builder.add(f"{prefix}.sum", Op.ADD, (here, source))
        return here


def _squeeze_excite(builder: GraphBuilder, prefix: str, source: str, channels: int) -> str:
    """Append the channel attention; the squeezed width is a quarter, as in MobileNetV3, and at least 4."""
    squeezed = max(4, channels // 4)
    here = builder.add(f"{prefix}.pool", Op.GLOBAL_AVG_POOL, source)
    here = builder.add(f"{prefix}.reduce", Op.CONV, here, channels=squeezed, kernel=1, bias=1)
    here = builder.add(f"{prefix}.relu", Op.RELU, here)
    here = builder.add(f"{prefix}.restore", Op.CONV, here, channels=channels, kernel=1, bias=1)
    here = builder.add(f"{prefix}.gate", Op.HARD_SIGMOID, here)
    return builder.add(f"{prefix}.scale", Op.MULTIPLY, (source, here))


@lru_cache(maxsize=4096)
def block_nodes(block: Block, prefix: str, source: str) -> tuple[Node, ...]:
    """Return the nodes of the block below `prefix`, reading node `source`. Networks of one search share most blocks."""
    builder = GraphBuilder((block.source_channels, 1, 1))
    block.write(builder, prefix, source)
    return builder.written()


@lru_cache(maxsize=65_536)
def block_cost(block: Block, height: int, width: int) -> StaticMetrics:
    """Return what the block costs on an input of that height and width, counted from its graph."""
    builder = GraphBuilder((block.source_channels, height, width))
    block.write(builder, "block", "input")
    graph: Graph = builder.build()
    return StaticMetrics(graph.parameters, graph.macs)
