"""A space of inverted residual stages, after MobileNetV3 (Howard et al. 2019): a chain where nas-bench-201 is a cell.

Five genes for each stage, in this order: depth (number of blocks), width (channels), kernel, expansion, and whether its
blocks squeeze and excite. A stage's widths are those of the parameter `widths`, doubled with every stage.

- Every stage halves the image in its first block while both sides are above 2 pixels; after that it keeps the size.
  The stem halves it too where both sides are at least 64 pixels. A stage of depth 0 halves nothing: later ones then
  work on a larger image, and cost more.
- Blocks of the first half of the stages use ReLU, later ones hard-swish, as MobileNetV3 does.
- There are no dead parts. But genes can be without effect: those of a stage of depth 0 (allowed, not among the default
  depths), and a kernel wider than the image can fill: on an image of n pixels only the middle 2n - 1 of the window ever
  meet a pixel. Such encodings are one network: it is named by its blocks alone and built with the smaller kernel. With
  `prune: false` identity is the encoding, and kernels are built as written.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from xnas_core.errors import InvalidInputError
from xnas_core.graph import Graph, Node, Op, Shape
from xnas_core.spaces.base import DataShape, Drawing, DrawnEdge, DrawnNode, Genes, StaticMetrics
from xnas_core.spaces.builder import GraphBuilder
from xnas_core.spaces.inverted_residual import Block, block_cost, block_nodes
from xnas_core.spaces.parameters import ParameterReader, check_gene, check_genes, check_shape

GENES_PER_STAGE = ("depth", "width", "kernel", "expansion", "squeeze-excitation")
_STAGE = re.compile(r"d(\d{1,4})-w(\d{1,6})-k(\d{1,4})-e(\d{1,4})(-se)?")


@dataclass(frozen=True, slots=True)
class _Stage:
    """One stage for given genes and input shape: its blocks, what they give and cost."""

    blocks: tuple[Block, ...]
    text: str
    output: Shape
    parameters: int
    macs: int


class Mobile:
    """See the module.

    Parameters: stages (3; 2 to 5), stemChannels (16; 1 to 256), depths ([1, 2, 3]; 0 to 8), widths of the first stage
    ([16, 24, 32]; 1 to 256), kernels ([3, 5, 7]; odd, 1 to 11), expansions ([3, 4, 6]; 1 to 8), prune (true).
    """

    name = "mobile"

    def __init__(self, parameters: Mapping[str, Any], shape: DataShape) -> None:
        """Raise InvalidParameterError for a bad parameter, InvalidInputError for images below 4x4 pixels."""
        reader = ParameterReader(parameters)
        self.stages = reader.integer("stages", 3, 2, 5)
        stem_channels = reader.integer("stemChannels", 16, 1, 256)
        self._depths = reader.choices("depths", (1, 2, 3), 0, 8)
        self._widths = reader.choices("widths", (16, 24, 32), 1, 256)
        self._kernels = reader.choices("kernels", (3, 5, 7), 1, 11, odd=True)
        self._expansions = reader.choices("expansions", (3, 4, 6), 1, 8)
        self.prune = reader.boolean("prune", True)
        reader.finish()
        check_shape(self.name, shape, smallest=4)
        self._shape = shape
        choices = (self._depths, self._widths, self._kernels, self._expansions, (0, 1))
        self.cardinalities: tuple[int, ...] = tuple(len(c) for c in choices) * self.stages
        self.gene_names: tuple[str, ...] = tuple(
            f"stage {stage} {name}" for stage in range(1, self.stages + 1) for name in GENES_PER_STAGE
        )
        self._stem_stride = 2 if min(shape.height, shape.width) >= 64 else 1
        sides = (-(-shape.height // self._stem_stride), -(-shape.width // self._stem_stride))
        self._stem_shape: Shape = (stem_channels, *sides)
        # Bounded; the default lists need at most a few thousand entries.
        self._stage = lru_cache(maxsize=65_536)(self._make_stage)
        self._ends = lru_cache(maxsize=1_024)(self._make_ends)
        self._head = lru_cache(maxsize=1_024)(self._make_head)
        # A candidate is asked for its identity, its costs and its graph, within a turn of the search loop or two.
        self._plan = lru_cache(maxsize=1_024)(self._make_plan)
        stem = GraphBuilder((shape.channels, shape.height, shape.width))
        self._write_stem(stem)
        self._stem_nodes = stem.written()

    def _values(self, stage: int, genes: Genes) -> tuple[int, int, int, int, bool]:
        """Return depth, channels, kernel, expansion and squeeze of a stage (from 0) for its five genes."""
        depth, width, kernel, expansion, squeeze = genes
        return (
            self._depths[depth],
            self._widths[width] << stage,
            self._kernels[kernel],
            self._expansions[expansion],
            bool(squeeze),
        )

    def _make_stage(self, stage: int, genes: Genes, source: Shape) -> _Stage:
        depth, channels, kernel, expansion, squeeze = self._values(stage, genes)
        activation = Op.RELU if stage < self.stages // 2 else Op.HARD_SWISH
        blocks: list[Block] = []
        parameters = macs = 0
        here = source
        for number in range(depth):
            stride = 2 if number == 0 and min(here[1:]) > 2 else 1
            fitting = min(kernel, 2 * max(here[1:]) - 1) if self.prune else kernel
            block = Block(here[0], channels, fitting, stride, expansion, squeeze, activation)
            cost = block_cost(block, here[1], here[2])
            parameters, macs = parameters + cost.parameters, macs + cost.macs
            here = block.output_shape(here)
            blocks.append(block)
        return _Stage(tuple(blocks), "".join(f"/{block.text}" for block in blocks), here, parameters, macs)

    def _make_plan(self, genes: Genes) -> tuple[_Stage, ...]:
        check_genes(genes, self.cardinalities)
        here = self._stem_shape
        plan = []
        for stage in range(self.stages):
            made = self._stage(stage, genes[5 * stage : 5 * stage + 5], here)
            here = made.output
            plan.append(made)
        return tuple(plan)

    def _make_ends(self, last: Shape) -> StaticMetrics:
        """Return what stem and head cost, for the shape that the last stage gives, counted from their graphs."""
        stem = GraphBuilder((self._shape.channels, self._shape.height, self._shape.width))
        self._write_stem(stem)
        head = GraphBuilder(last)
        self._write_head(head, "input", last[0])
        graphs = (stem.build(), head.build())
        return StaticMetrics(sum(g.parameters for g in graphs), sum(g.macs for g in graphs))

    def _make_head(self, source: str, channels: int) -> tuple[Node, ...]:
        head = GraphBuilder((channels, 1, 1))
        self._write_head(head, source, channels)
        return head.written()

    def _write_stem(self, builder: GraphBuilder) -> str:
        here = builder.conv_norm("stem", "input", self._stem_shape[0], 3, self._stem_stride)
        return builder.add("stem.activation", Op.HARD_SWISH, here)

    def _write_head(self, builder: GraphBuilder, source: str, channels: int) -> None:
        here = builder.conv_norm("head", source, 2 * channels, 1)
        builder.classifier("head", builder.add("head.activation", Op.HARD_SWISH, here), self._shape.classes)

    def identity(self, genes: Genes) -> str:
        """Return the blocks, one after the other, or the encoding with `prune: false`."""
        if not self.prune:
            return self.encoding(genes)
        return "stem" + "".join(stage.text for stage in self._plan(genes))

    def encoding(self, genes: Genes) -> str:
        """Return the stages, joined by `/`: `d2-w24-k5-e4-se` is 2 blocks of 24 channels, kernel 5, expansion 4."""
        check_genes(genes, self.cardinalities)
        words = []
        for stage in range(self.stages):
            depth, channels, kernel, expansion, squeeze = self._values(stage, genes[5 * stage : 5 * stage + 5])
            words.append(f"d{depth}-w{channels}-k{kernel}-e{expansion}{'-se' if squeeze else ''}")
        return "/".join(words)

    def decode(self, encoding: str) -> Genes:
        """Inverse of `encoding`; raise InvalidInputError that names the stage."""
        words = encoding.strip().split("/")
        if len(words) != self.stages:
            raise InvalidInputError(f"{encoding!r} has {len(words)} stages, the space has {self.stages}")
        genes: list[int] = []
        for stage, word in enumerate(words):
            match = _STAGE.fullmatch(word)
            if match is None:
                raise InvalidInputError(
                    f"stage {stage + 1}, {word!r}, is not of the form d2-w24-k5-e4 or d2-w24-k5-e4-se"
                )
            widths = tuple(width << stage for width in self._widths)
            lists = (self._depths, widths, self._kernels, self._expansions)
            for name, text, allowed in zip(GENES_PER_STAGE, match.groups(), lists, strict=False):
                if int(text) not in allowed:
                    raise InvalidInputError(f"stage {stage + 1}: {name} {text} is not one of {list(allowed)}")
                genes.append(allowed.index(int(text)))
            genes.append(int(match.group(5) is not None))
        return tuple(genes)

    def connected(self, genes: Genes) -> bool:
        """Return True: a chain always is."""
        check_genes(genes, self.cardinalities)
        return True

    def graph(self, genes: Genes) -> Graph:
        """Return the network. Blocks are numbered through, so that equal networks have equal names."""
        plan = self._plan(genes)
        builder = GraphBuilder((self._shape.channels, self._shape.height, self._shape.width))
        here = builder.extend(self._stem_nodes)
        for number, block in enumerate((block for stage in plan for block in stage.blocks), 1):
            here = builder.extend(block_nodes(block, f"block{number}", here))
        builder.extend(self._head(here, plan[-1].output[0]))
        return builder.build()

    def static_metrics(self, genes: Genes) -> StaticMetrics:
        """Return what `graph` costs, added up from its parts' graphs."""
        plan = self._plan(genes)
        ends = self._ends(plan[-1].output)
        return StaticMetrics(
            ends.parameters + sum(stage.parameters for stage in plan), ends.macs + sum(stage.macs for stage in plan)
        )

    def gene_label(self, gene: int, value: int) -> str:
        """Return the value with its unit, such as "24 channels"."""
        check_gene(gene, value, self.cardinalities)
        stage, kind = divmod(gene, len(GENES_PER_STAGE))
        match GENES_PER_STAGE[kind]:
            case "depth":
                return f"{self._depths[value]} blocks"
            case "width":
                return f"{self._widths[value] << stage} channels"
            case "kernel":
                return f"kernel {self._kernels[value]}"
            case "expansion":
                return f"expansion {self._expansions[value]}"
            case _:
                return "squeeze-excitation" if value else "no squeeze-excitation"

    def size(self) -> int:
        """Return the number of encodings."""
        return math.prod(self.cardinalities)

    def drawing(self, genes: Genes) -> Drawing:
        """Return the chain: input, stem, stages but those of depth 0, head. Arrows carry channels x height x width."""
        nodes = [DrawnNode("input", "input"), DrawnNode("stem", "stem")]
        shapes = [(self._shape.channels, self._shape.height, self._shape.width), self._stem_shape]
        for number, stage in enumerate(self._plan(genes), 1):
            if stage.blocks:
                first = stage.blocks[0]
                label = f"stage {number}: {len(stage.blocks)} x kernel {first.kernel}, expansion {first.expansion}"
                nodes.append(DrawnNode(f"stage{number}", label + (", squeeze" if first.squeeze else "")))
                shapes.append(stage.output)
        nodes.append(DrawnNode("head", "head"))
        edges = tuple(
            DrawnEdge(source.id, target.id, "x".join(map(str, shape)))
            for source, target, shape in zip(nodes, nodes[1:], shapes, strict=False)
        )
        return Drawing(tuple(nodes), edges, "inverted residual stages; an arrow says channels x height x width")
