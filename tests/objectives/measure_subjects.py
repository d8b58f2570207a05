"""Networks, data and measurements that the tests of measures share: random ones and briefly trained ones."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from xnas_core.api.spec import Precision, TrainingSpec
from xnas_core.graph import Graph, Node, Op
from xnas_evaluator.networks.build import GraphNetwork, build
from xnas_evaluator.objectives.interface import Measurement
from xnas_evaluator.objectives.shared import Shared
from xnas_evaluator.testing import FolderContext, assignment
from xnas_evaluator.testing_networks import small_data, small_graph, small_spec
from xnas_evaluator.training.device_data import DeviceData
from xnas_evaluator.training.loop import Trainer
from xnas_evaluator.training.settings import arithmetic

NUMBERS = arithmetic("cpu", Precision.FLOAT32)
CLASSES = 4


def data(seed: int = 0, channels: int = 1) -> DeviceData:
    """Return 96 training and 40 validation images of 8x8 pixels in four classes."""
    return small_data(seed=seed, channels=channels)


@lru_cache
def _trained(channels: int) -> dict[str, torch.Tensor]:
    training = {"epochs": 25, "batchSize": 16, "optimizer": {"name": "adam", "learningRate": 0.02}}
    spec = TrainingSpec.model_validate(training, strict=False)
    network = build(small_graph(channels=channels), 1).to(memory_format=torch.channels_last)
    trainer = Trainer(network, data(channels=channels), spec, 1, NUMBERS)
    for _ in range(spec.epochs):
        trainer.run_epoch()
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def network(kind: str, channels: int = 1) -> GraphNetwork:
    """Return the small network, "random" with batch norms that are not the identity, or "trained" for 25 epochs."""
    made = build(small_graph(channels=channels), 1).to(memory_format=torch.channels_last)
    if kind == "trained":
        made.load_state_dict(_trained(channels))
    else:
        generator = torch.Generator().manual_seed(3)
        for name, tensor in made.state_dict().items():
            if name.endswith(("running_mean", "norm.bias", "conv.bias")):
                tensor.copy_(torch.randn(tensor.shape, generator=generator) * 0.3)
            if name.endswith(("running_var", "norm.weight")):
                tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
    return made.eval()


def futile_graph() -> Graph:
    """Return a network with four branches: used, cut off by a zero, to be switched off by its batch norm, doubled."""
    nodes = [Node("image", Op.INPUT), Node("stem.conv", Op.CONV, ("image",), {"channels": 4, "kernel": 3})]
    for branch in ("used", "cut", "off", "twin1", "twin2"):
        nodes += [
            Node(f"{branch}.relu", Op.RELU, ("stem.conv",)),
            Node(f"{branch}.conv", Op.CONV, (f"{branch}.relu",), {"channels": 4, "kernel": 3}),
            Node(f"{branch}.norm", Op.BATCH_NORM, (f"{branch}.conv",)),
        ]
    nodes += [
        Node("zero", Op.ZERO, ("cut.norm",)),
        Node("sum", Op.ADD, ("used.norm", "zero", "off.norm", "twin1.norm", "twin2.norm")),
        Node("head.relu", Op.RELU, ("sum",)),
        Node("head.pool", Op.GLOBAL_AVG_POOL, ("head.relu",)),
        Node("head.flat", Op.FLATTEN, ("head.pool",)),
        Node("head.scores", Op.LINEAR, ("head.flat",), {"features": CLASSES}),
    ]
    return Graph(tuple(nodes), (1, 8, 8))


def futile_network(off: float = 0.0) -> GraphNetwork:
    """Return it with random weights; the batch norm of `off` multiplies by that."""
    made = build(futile_graph(), 2).to(memory_format=torch.channels_last).eval()
    made.get_parameter("off.norm.weight").data.fill_(off)
    return made


def measurement(root: Path, net: GraphNetwork, images: DeviceData, **parameters: Any) -> Measurement:
    """Return what a measure sees."""
    context = FolderContext(assignment(), small_spec(), root)
    shared = Shared(net, images, NUMBERS, context.spec.seed)
    return Measurement(net, images, NUMBERS, parameters, {}, context, shared)
