"""The optimiser, the learning rate of each step, and loss scaling.

The arithmetic is torch.optim's own functions. Its classes are not used: the first one that is made imports torch's
compiler, which takes longer than training a small candidate.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim.adam import adam
from torch.optim.sgd import sgd

from xnas_core.api.spec import OptimizerName, OptimizerSpec, ScheduleName, ScheduleSpec

_BETAS = (0.9, 0.999)
_EPSILON = 1e-8


class Optimiser:
    """SGD (Nesterov), Adam or AdamW over all parameters of a network, with torch's fused kernels.

    Attributes:
        parameters: the parameters, in the network's order.
        slots: what the optimiser remembers, for each parameter, by name; it changes in place.
    """

    def __init__(self, network: nn.Module, spec: OptimizerSpec) -> None:
        """Start with memories of zero; a momentum of zero makes the first step's momentum its gradient."""
        self.parameters: list[Tensor] = list(network.parameters())
        self._spec = spec
        self.slots: dict[str, list[Tensor]] = {}
        if spec.name is OptimizerName.SGD:
            if spec.momentum > 0:
                self.slots["momentum"] = [torch.zeros_like(p) for p in self.parameters]
        else:
            self.slots["average"] = [torch.zeros_like(p) for p in self.parameters]
            self.slots["square"] = [torch.zeros_like(p) for p in self.parameters]
            self.slots["step"] = [torch.zeros((), device=p.device) for p in self.parameters]

    def clear_gradients(self) -> None:
        """Forget all gradients."""
        for parameter in self.parameters:
            parameter.grad = None

    @torch.no_grad()
    def step(self, rate: float) -> None:
        """Take one step with this learning rate; parameters without a gradient stay."""
        chosen = [index for index, parameter in enumerate(self.parameters) if parameter.grad is not None]
        parameters = [self.parameters[index] for index in chosen]
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        slots = {name: [slot[index] for index in chosen] for name, slot in self.slots.items()}
        if self._spec.name is OptimizerName.SGD:
            self._sgd(parameters, gradients, slots, rate)
        else:
            self._adam(parameters, gradients, slots, rate)

    def _sgd(
        self, parameters: list[Tensor], gradients: list[Tensor], slots: dict[str, list[Tensor]], rate: float
    ) -> None:
        sgd(
            parameters,
            gradients,
            [*slots.get("momentum", [None] * len(parameters))],
            fused=True,
            weight_decay=self._spec.weight_decay,
            momentum=self._spec.momentum,
            lr=rate,
            dampening=0.0,
            nesterov=self._spec.nesterov and self._spec.momentum > 0,
            maximize=False,
        )

    def _adam(
        self, parameters: list[Tensor], gradients: list[Tensor], slots: dict[str, list[Tensor]], rate: float
    ) -> None:
        adam(
            parameters,
            gradients,
            slots["average"],
            slots["square"],
            [],
            slots["step"],
            fused=True,
            amsgrad=False,
            beta1=_BETAS[0],
            beta2=_BETAS[1],
            lr=rate,
            weight_decay=self._spec.weight_decay,
            eps=_EPSILON,
            maximize=False,
            decoupled_weight_decay=self._spec.name is OptimizerName.ADAMW,
        )


@dataclass
class LossScaler:
    """Dynamic loss scaling for float16 (Micikevicius et al. 2018): small gradients do not become zero.

    Attributes:
        scale: factor on the loss.
        good_steps: steps with finite gradients since the scale last changed.
    """

    scale: float = 65_536.0
    good_steps: int = 0
    growth_interval: int = 2_000

    def unscale(self, parameters: list[Tensor]) -> bool:
        """Divide all gradients by the scale and adapt it; return False where a gradient is infinite or NaN.

        The caller leaves out the step then: the scale, not the network, was to blame.
        """
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        for gradient in gradients:
            gradient.div_(self.scale)
        if not all(torch.stack([gradient.isfinite().all() for gradient in gradients]).tolist()):
            self.scale, self.good_steps = self.scale / 2, 0
            return False
        self.good_steps += 1
        if self.good_steps >= self.growth_interval:
            self.scale, self.good_steps = self.scale * 2, 0
        return True


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
