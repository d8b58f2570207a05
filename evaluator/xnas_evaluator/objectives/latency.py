"""Latency: the median time of one forward pass of one batch."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass

import torch

from xnas_core.api.base import ParameterValue
from xnas_core.api.metric_parameters import read_parameters
from xnas_evaluator.networks.build import GraphNetwork
from xnas_evaluator.training.settings import Arithmetic


@dataclass(frozen=True, slots=True)
class LatencySettings:
    """Parameters of the metric.

    Attributes:
        batch_size: samples a batch.
        repeats: passes that are timed.
        warm_up: passes before them.
    """

    batch_size: int = 1
    repeats: int = 20
    warm_up: int = 5

    @staticmethod
    def parse(parameters: Mapping[str, ParameterValue]) -> LatencySettings:
        """Read an objective's `parameters` (batchSize, repeats, warmUp).

        Raises:
            InvalidInputError: an unknown parameter or value.
        """
        settings = read_parameters("latency_ms", parameters)
        return LatencySettings(settings.whole("batchSize"), settings.whole("repeats"), settings.whole("warmUp"))


@torch.inference_mode()
def latency_ms(network: GraphNetwork, arithmetic: Arithmetic, settings: LatencySettings) -> float:
    """Return the median milliseconds of one forward pass, the device's queue waited for.

    Args:
        network: on the device, in eval mode.
        arithmetic: device and precision.
        settings: batch size and number of passes.
    """
    shape = (settings.batch_size, *network.graph.input_shape)
    images = torch.zeros(shape, device=arithmetic.device).contiguous(memory_format=arithmetic.memory_format)
    times = []
    for turn in range(settings.warm_up + settings.repeats):
        _wait(arithmetic.device)
        started = time.perf_counter()
        with arithmetic.autocast():
            network(images)
        _wait(arithmetic.device)
        if turn >= settings.warm_up:
            times.append(time.perf_counter() - started)
    return 1000 * statistics.median(times)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
