"""The optimiser and the learning rate of each step."""

from __future__ import annotations

import math

import torch
from torch import nn

from xnas_core.api.spec import OptimizerName, OptimizerSpec, ScheduleName, ScheduleSpec


def optimiser(network: nn.Module, spec: OptimizerSpec) -> torch.optim.Optimizer:
    """Return the optimiser of all parameters, with torch's fused kernels (one call for all tensors)."""
    parameters = list(network.parameters())
    rate, decay = spec.learning_rate, spec.weight_decay
    match spec.name:
        case OptimizerName.SGD:
            return torch.optim.SGD(
                parameters,
                lr=rate,
                momentum=spec.momentum,
                nesterov=spec.nesterov and spec.momentum > 0,
                weight_decay=decay,
                fused=True,
            )
        case OptimizerName.ADAM:
            return torch.optim.Adam(parameters, lr=rate, weight_decay=decay, fused=True)
        case OptimizerName.ADAMW:
            return torch.optim.AdamW(parameters, lr=rate, weight_decay=decay, fused=True)


def learning_rate(peak: float, schedule: ScheduleSpec, step: int, steps_per_epoch: int, epochs: int) -> float:
    """Return the learning rate of a step.

    Linear from 0 to the peak over the warm-up, then half a cosine down to 0 at the end of the last step (Loshchilov
    and Hutter 2017) or constant. Taken at the middle of the step, so that no step is wasted on a rate of 0.

    Args:
        peak: the highest rate.
        schedule: the schedule.
        step: number of the step, from 0.
        steps_per_epoch: steps in an epoch.
        epochs: epochs in all.
    """
    moment = (step + 0.5) / steps_per_epoch
    if moment < schedule.warmup_epochs:
        return peak * moment / schedule.warmup_epochs
    if schedule.name is ScheduleName.CONSTANT:
        return peak
    progress = (moment - schedule.warmup_epochs) / (epochs - schedule.warmup_epochs)
    return peak * 0.5 * (1 + math.cos(math.pi * progress))
