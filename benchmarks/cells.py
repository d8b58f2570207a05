"""The three named cells of nas-bench-201 that the evaluator's benchmarks use, and made-up images for them."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from xnas_core.spaces.base import DataShape
from xnas_core.spaces.nas_bench_201 import NasBench201
from xnas_evaluator.networks.build import GraphNetwork, build
from xnas_evaluator.testing_networks import small_data
from xnas_evaluator.training.device_data import DeviceData

CELLS: Mapping[str, tuple[int, ...]] = {
    "all 3x3": (0, 0, 0, 0, 0, 0),
    "all 1x1": (1, 1, 1, 1, 1, 1),
    "mixed": (0, 1, 4, 2, 3, 0),
}
"""Genes by name; "mixed" has two 3x3 and one 1x1 convolution, a pool, an identity and an absent edge."""


def network(cell: str, channels: int, shape: DataShape, cells_per_stage: int = 1) -> GraphNetwork:
    """Return the network of a named cell in the layout that training uses."""
    space = NasBench201({"cellsPerStage": cells_per_stage, "channels": channels}, shape)
    return build(space.graph(CELLS[cell]), 1).to(memory_format=torch.channels_last)


def images(shape: DataShape, samples: int, validation: int = 40, device: str = "cpu") -> DeviceData:
    """Return made-up images: timings do not depend on what is to be seen on them."""
    return small_data(
        device,
        samples=samples,
        channels=shape.channels,
        side=shape.height,
        classes=shape.classes,
        validation=validation,
    )
