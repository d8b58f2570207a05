"""Class-mean heat maps by block: where in the image a block responds to a class.

Carmichael et al. 2023, section 4. A block's output is the last node of it that everything passes through; its map is
the mean of the class-mean activations over channels.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from xnas_core.graph import Graph, Op
from xnas_evaluator.objectives.class_means import ClassMeans
from xnas_evaluator.objectives.introspectability import GroupBy

MAX_BLOCKS = 8
MAX_SIDE = 32
"""Pixels a side; larger maps are averaged down."""
MAX_CLASSES = 64


@torch.inference_mode()
def heat_maps(graph: Graph, means: ClassMeans, group_by: GroupBy) -> dict[str, Tensor]:
    """Return (K, H, W) float32 maps on the CPU, by the name of the block's last node; at most MAX_CLASSES classes."""
    names = block_outputs(graph)
    return {name: _map(values[:MAX_CLASSES]) for name, values in means.means(group_by, names).items()}


def _map(values: Tensor) -> Tensor:
    image = values.mean(1, keepdim=True)
    height, width = (min(MAX_SIDE, side) for side in image.shape[2:])
    return F.adaptive_avg_pool2d(image, (height, width)).squeeze(1).cpu()


def block_outputs(graph: Graph) -> list[str]:
    """Return the last node of each block that all information passes through, from input to output.

    Nodes belong to a block by the first part of their names ("stage1" of "stage1.cell2.conv1"). Of more than
    MAX_BLOCKS blocks as many are taken, evenly spread, the first and the last among them. Maps have two rows and
    columns or more.
    """
    shapes = graph.shapes
    last: dict[str, str] = {}
    for name in _passages(graph):
        if len(shapes[name]) == 3 and min(shapes[name][1:]) > 1:
            last[name.split(".")[0]] = name
    names = list(last.values())
    if len(names) <= MAX_BLOCKS:
        return names
    return [names[round(k * (len(names) - 1) / (MAX_BLOCKS - 1))] for k in range(MAX_BLOCKS)]


def _passages(graph: Graph) -> list[str]:
    """Return the nodes without which no path leads from the input to the scores, in order, the input left out."""
    live = {graph.nodes[-1].name}
    readers: dict[str, set[str]] = {}
    for node in reversed(graph.nodes):
        if node.name in live and node.op is not Op.ZERO:
            live.update(node.inputs)
            for name in node.inputs:
                readers.setdefault(name, set()).add(node.name)
    found: list[str] = []
    waiting: dict[str, set[str]] = {}
    for node in graph.nodes:
        # Zeros carry nothing on.
        if node.name not in live or node.op is Op.ZERO:
            continue
        for name in node.inputs:
            if name in waiting:
                waiting[name].discard(node.name)
                if not waiting[name]:
                    del waiting[name]
        # Nothing computed before this node is read after it.
        if not waiting and node.op is not Op.INPUT:
            found.append(node.name)
        waiting[node.name] = set(readers.get(node.name, ()))
    return found
