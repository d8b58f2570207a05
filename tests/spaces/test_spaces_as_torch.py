"""Networks of the spaces as torch modules: torch counts what the graph counts, and pruning changes no output."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from xnas_core.graph import Graph
from xnas_core.spaces.base import DataShape, Genes, SearchSpace
from xnas_core.spaces.mobile import Mobile
from xnas_core.spaces.nas_bench_201 import NasBench201
from xnas_evaluator.networks.build import GraphNetwork, build

SHAPE = DataShape(channels=2, height=7, width=9, classes=3)
SPACES: list[SearchSpace] = [
    NasBench201({"cellsPerStage": 1, "channels": 4}, SHAPE),
    NasBench201({"cellsPerStage": 1, "channels": 4, "prune": False}, SHAPE),
    Mobile({"stages": 3, "depths": [0, 1, 2], "widths": [4, 8], "expansions": [1, 3], "stemChannels": 4}, SHAPE),
]


def _connected(space: SearchSpace, count: int) -> list[Genes]:
    drawn = np.random.default_rng(5).integers(0, space.cardinalities, size=(3 * count, len(space.cardinalities)))
    genes = [tuple(int(value) for value in row) for row in drawn]
    return [vector for vector in genes if space.connected(vector)][:count]


def _outputs(graph: Graph) -> tuple[GraphNetwork, torch.Tensor]:
    network = build(graph, seed=1).eval()
    images = torch.randn((2, *graph.input_shape), generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        return network, network(images)


@pytest.mark.parametrize("space", SPACES, ids=["nas-bench-201", "nas-bench-201 raw", "mobile"])
def test_torch_counts_what_the_graph_counts(space: SearchSpace) -> None:
    for genes in _connected(space, 12):
        graph = space.graph(genes)
        network, scores = _outputs(graph)
        assert scores.shape == (2, SHAPE.classes)
        assert sum(parameter.numel() for parameter in network.parameters()) == graph.parameters


def test_pruned_and_raw_network_give_the_same_scores() -> None:
    """All weights of a kind are equal, so that only the structure counts."""
    pruned, raw = SPACES[0], SPACES[1]
    scores: set[float] = set()
    for genes in _connected(pruned, 25):
        outputs = []
        for space in (pruned, raw):
            network, _ = _outputs(space.graph(genes))
            for module in network.modules():
                if isinstance(module, nn.Conv2d):
                    nn.init.constant_(module.weight, 0.1)
                elif isinstance(module, nn.Linear):
                    nn.init.ones_(module.weight)
            images = torch.randn((2, 2, 7, 9), generator=torch.Generator().manual_seed(3))
            with torch.no_grad():
                outputs.append(network(images))
        torch.testing.assert_close(outputs[0], outputs[1], rtol=1e-4, atol=1e-4)
        scores.add(round(float(outputs[0].sum()), 3))
    assert len(scores) > 20, "the scores would hardly show a difference"


def test_a_kernel_beyond_the_image_gives_what_the_smaller_one_gives() -> None:
    """The ground for building it smaller: the outer weights of the window never meet a pixel."""
    for side, kernel in ((1, 3), (2, 7), (3, 9)):
        fitting = 2 * side - 1
        for stride in (1, 2):
            wide = nn.Conv2d(4, 4, kernel, stride, kernel // 2, groups=4, bias=False)
            small = nn.Conv2d(4, 4, fitting, stride, fitting // 2, groups=4, bias=False)
            margin = (kernel - fitting) // 2
            with torch.no_grad():
                small.weight.copy_(wide.weight[:, :, margin : kernel - margin, margin : kernel - margin])
                images = torch.randn(2, 4, side, side)
                torch.testing.assert_close(wide(images), small(images))
