"""The network around the NAS-Bench-201 cell: stem, three stages of equal cells, two residual reductions, head.

Dong & Yang 2020, section 2: channels C, 2C and 4C; each reduction halves the image.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from xnas_core.graph import Graph, Op, Shape
from xnas_core.spaces.base import DataShape, Genes
from xnas_core.spaces.builder import GraphBuilder
from xnas_core.spaces.cell_form import CONV_1X1, CONV_3X3, EDGES, NONE, POOL, SKIP, CellForm, Sum

STAGES = 3
KERNELS = {CONV_3X3: 3, CONV_1X1: 1}

CellWriter = Callable[[GraphBuilder, str, str, int], str]
"""Writes one cell: builder, name prefix, name of the cell's input, channels; returns the name of the cell's output."""


@dataclass(frozen=True, slots=True)
class Skeleton:
    """What all networks of the space share."""

    cells_per_stage: int
    channels: int
    shape: DataShape

    @property
    def input_shape(self) -> Shape:
        """Shape of a sample, (C, H, W)."""
        return (self.shape.channels, self.shape.height, self.shape.width)

    def stage_shapes(self) -> list[Shape]:
        """Return the shape (C, H, W) that the cells of each stage keep."""
        shapes: list[Shape] = []
        channels, height, width = self.channels, self.shape.height, self.shape.width
        for _ in range(STAGES):
            shapes.append((channels, height, width))
            channels, height, width = 2 * channels, (height + 1) // 2, (width + 1) // 2
        return shapes

    def network(self, write_cell: CellWriter) -> Graph:
        """Return the whole network with the cells that `write_cell` writes."""
        builder = GraphBuilder(self.input_shape)
        here = builder.conv_norm("stem", "input", self.channels, 3)
        for stage, (channels, _, _) in enumerate(self.stage_shapes(), 1):
            if stage > 1:
                before = self.stage_shapes()[stage - 2]
                here = _reduction(builder, f"reduction{stage - 1}", here, channels, before)
            for cell in range(1, self.cells_per_stage + 1):
                here = write_cell(builder, f"stage{stage}.cell{cell}", here, channels)
        here = builder.add("head.relu", Op.RELU, builder.add("head.norm", Op.BATCH_NORM, here))
        builder.classifier("head", here, self.shape.classes)
        return builder.build()


def _reduction(builder: GraphBuilder, prefix: str, source: str, channels: int, before: Shape) -> str:
    """Append the residual block of stride 2.

    Its short cut pools 2x2, as published, where the image's sides are even. Where one is odd that would lose a row
    that the strided convolution keeps, so a 3x3 window with padding 1 is used: it gives ceil(side / 2) as well.
    """
    first = builder.relu_conv_norm(f"{prefix}.first", source, channels, 3, stride=2)
    second = builder.relu_conv_norm(f"{prefix}.second", first, channels, 3)
    window = {"kernel": 2} if before[1] % 2 == 0 and before[2] % 2 == 0 else {"kernel": 3, "padding": 1}
    pooled = builder.add(f"{prefix}.shortcut.pool", Op.AVG_POOL, source, stride=2, **window)
    shortcut = builder.add(f"{prefix}.shortcut.conv", Op.CONV, pooled, channels=channels, kernel=1)
    return builder.add(f"{prefix}.sum", Op.ADD, (second, shortcut))


def canonical_cell(form: CellForm) -> CellWriter:
    """Return the writer of a canonical cell: only what counts, named by the canonical numbers of its terms."""

    def write(builder: GraphBuilder, prefix: str, source: str, channels: int) -> str:
        names = [source]
        sums: dict[Sum, str] = {}

        def value(total: Sum) -> str:
            if len(total) == 1:
                return names[total[0]]
            if total not in sums:
                inputs = [names[index] for index in total]
                sums[total] = builder.add(f"{prefix}.sum{len(sums) + 1}", Op.ADD, inputs)
            return sums[total]

        for number, term in enumerate(form.terms, 1):
            read = value(term.reads)
            if term.operation == POOL:
                names.append(_pool(builder, f"{prefix}.pool{number}", read))
            else:
                kernel = KERNELS[term.operation]
                names.append(builder.relu_conv_norm(f"{prefix}.conv{number}", read, channels, kernel))
        return value(form.output)

    return write


def raw_cell(genes: Genes) -> CellWriter:
    """Return the writer of the cell as encoded: zero edges and dead parts are there and have a cost."""

    def write(builder: GraphBuilder, prefix: str, source: str, channels: int) -> str:
        nodes = [source]
        for target in (1, 2, 3):
            inputs = []
            for gene, (origin, end) in zip(genes, EDGES, strict=True):
                if end == target:
                    inputs.append(_edge(builder, f"{prefix}.edge{origin}_{end}", nodes[origin], gene, channels))
            nodes.append(inputs[0] if target == 1 else builder.add(f"{prefix}.node{target}", Op.ADD, inputs))
        return nodes[-1]

    return write


def _edge(builder: GraphBuilder, prefix: str, source: str, gene: int, channels: int) -> str:
    if gene == SKIP:
        return source
    if gene == NONE:
        return builder.add(f"{prefix}.zero", Op.ZERO, source)
    if gene == POOL:
        return _pool(builder, f"{prefix}.pool", source)
    return builder.relu_conv_norm(prefix, source, channels, KERNELS[gene])


def _pool(builder: GraphBuilder, name: str, source: str) -> str:
    return builder.add(name, Op.AVG_POOL, source, kernel=3, padding=1)


def conv_fragment(operation: int, shape: Shape) -> Graph:
    """Return one convolution of a cell by itself, on an input of `shape`: what it adds to a network."""
    builder = GraphBuilder(shape)
    builder.relu_conv_norm("cell", "input", shape[0], KERNELS[operation])
    return builder.build()
