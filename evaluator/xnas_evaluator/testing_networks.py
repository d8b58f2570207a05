"""A small network, a small data set and a small spec, for tests of everything that trains or measures."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from xnas_core.api.spec import ArchitectureSearchSpec
from xnas_core.graph import Graph, Node, Op
from xnas_core.tasks import generator
from xnas_evaluator.datasets.load import Dataset, Part
from xnas_evaluator.training.device_data import DeviceData, to_device


def small_graph(channels: int = 1, side: int = 8, classes: int = 4, width: int = 4) -> Graph:
    """Return a network with a residual sum, pools, squeeze-excitation, depthwise and repeated operations."""
    nodes = (
        Node("image", Op.INPUT),
        Node("stem.conv", Op.CONV, ("image",), {"channels": width, "kernel": 3}),
        Node("stem.norm", Op.BATCH_NORM, ("stem.conv",)),
        Node("block.edge0.relu", Op.RELU, ("stem.norm",)),
        Node("block.edge0.conv", Op.CONV, ("block.edge0.relu",), {"channels": width, "kernel": 1, "bias": 1}),
        Node("block.edge1.relu", Op.RELU, ("stem.norm",)),
        Node("block.edge1.conv", Op.CONV, ("block.edge1.relu",), {"channels": width, "kernel": 3, "groups": width}),
        Node("block.edge1.norm", Op.BATCH_NORM, ("block.edge1.conv",)),
        Node("block.pool", Op.AVG_POOL, ("stem.norm",), {"kernel": 3, "padding": 1}),
        Node("block.sum", Op.ADD, ("block.edge0.conv", "block.edge1.norm", "block.pool", "block.pool")),
        Node("block.squeeze", Op.GLOBAL_AVG_POOL, ("block.sum",)),
        Node("block.gate", Op.HARD_SIGMOID, ("block.squeeze",)),
        Node("block.scaled", Op.MULTIPLY, ("block.sum", "block.gate")),
        Node("block.swish", Op.HARD_SWISH, ("block.scaled",)),
        Node("block.maximum", Op.MAX_POOL, ("block.swish",), {"kernel": 2, "stride": 2}),
        Node("head.pool", Op.GLOBAL_AVG_POOL, ("block.maximum",)),
        Node("head.flat", Op.FLATTEN, ("head.pool",)),
        Node("head.scores", Op.LINEAR, ("head.flat",), {"features": classes}),
    )
    return Graph(nodes, (channels, side, side))


def small_dataset(
    samples: int = 96, channels: int = 1, side: int = 8, classes: int = 4, validation: int = 40, seed: int = 0
) -> Dataset:
    """Return noise with a bright spot that gives the class away, so that a network can learn it in a few epochs."""
    random = generator("small_dataset", seed)

    def part(count: int) -> Part:
        labels = np.arange(count, dtype=np.int64) % classes
        images = random.integers(0, 120, (count, channels, side, side), dtype=np.uint8)
        for image, label in zip(images, labels, strict=True):
            row, column = divmod(int(label) * 2, side)
            image[:, row * 2 : row * 2 + 3, column : column + 3] = 250
        return Part(images, labels)

    train = part(samples)
    mean, std = train.images.mean((0, 2, 3)), train.images.std((0, 2, 3))
    names = tuple(f"class {label}" for label in range(classes))
    return Dataset("small", names, train, part(validation), part(validation), False, mean, std, f"digest-{seed}")


def small_data(device: str = "cpu", **sizes: int) -> DeviceData:
    """Return `small_dataset` on a device."""
    return to_device(small_dataset(**sizes), torch.device(device))


def small_spec(**fields: Any) -> ArchitectureSearchSpec:
    """Return a spec on the lines data with two objectives; top-level fields may be replaced."""
    document = {
        "seed": 7,
        "searchSpace": {"name": "nas-bench-201"},
        "dataset": {"name": "lines", "trainingFraction": 0.1},
        "training": {"epochs": 3, "batchSize": 32},
        "objectives": [
            {"name": "accuracy", "direction": "maximize"},
            {"name": "introspectability", "direction": "maximize"},
        ],
    }
    return ArchitectureSearchSpec.model_validate({**document, **fields}, strict=False)
