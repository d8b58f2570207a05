"""The training loop: epochs of steps on the device, resumable at every epoch."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from xnas_core.api.spec import TrainingSpec
from xnas_core.errors import InvalidInputError
from xnas_core.graph import Op
from xnas_evaluator import state as states
from xnas_evaluator.context import NonFiniteError
from xnas_evaluator.networks.build import GraphNetwork
from xnas_evaluator.training.batches import batch_bounds, epoch_batches
from xnas_evaluator.training.device_data import DeviceData
from xnas_evaluator.training.optimisation import LossScaler, Optimiser, learning_rate
from xnas_evaluator.training.pairs import pair_matrix
from xnas_evaluator.training.regulariser import captured, similarity_penalty
from xnas_evaluator.training.settings import Arithmetic

SIGN_OF_LIFE_SECONDS = 2.0
"""How often a step within an epoch reports, at most."""


@dataclass(frozen=True, slots=True)
class EpochReport:
    """One epoch of training, measured on its augmented batches while the weights change.

    Attributes:
        loss: mean loss, the regulariser included.
        accuracy: share classified correctly.
    """

    epoch: int
    loss: float
    accuracy: float


class Trainer:
    """One network in training.

    Attributes:
        network: moved to the device; its weights change.
        epoch: epochs done.
        seconds: training time so far, earlier attempts included.
    """

    def __init__(
        self,
        network: GraphNetwork,
        data: DeviceData,
        spec: TrainingSpec,
        seed: int,
        arithmetic: Arithmetic,
    ) -> None:
        """Move the network to the device.

        Args:
            network: from `build`, with its first weights.
            data: on the same device.
            spec: settings.
            seed: training seed.
            arithmetic: device and precision.

        Raises:
            InvalidInputError: batch norm can't work with the batch size, or the regulariser names a class that the data
                have not.
        """
        _check_batch_norm(network, min(spec.batch_size, len(data.train)))
        self.network = network.to(arithmetic.device).to(memory_format=arithmetic.memory_format)
        self.epoch = 0
        self.seconds = 0.0
        self._data = data
        self._spec = spec
        self._seed = seed
        self._arithmetic = arithmetic
        regulariser = spec.introspectability_regularizer
        weights = None if regulariser is None else pair_matrix(regulariser.pairs, data.class_names)
        self._pair_weights = None if weights is None else weights.to(arithmetic.device)
        self._optimiser = Optimiser(self.network, spec.optimizer)
        self._scaler = LossScaler() if arithmetic.scaled else None

    @property
    def epochs(self) -> int:
        """Epochs in all."""
        return self._spec.epochs

    def run_epoch(self, alive: Callable[[str], None] = lambda _: None) -> EpochReport:
        """Train for one epoch.

        Args:
            alive: called now and then with a text such as "step 7 of 40".

        Raises:
            NonFiniteError: the loss is NaN or infinite.
        """
        started = last_sign = time.perf_counter()
        self.network.train()
        epoch, spec, device = self.epoch + 1, self._spec, self._arithmetic.device
        steps = len(batch_bounds(len(self._data.train), spec.batch_size))
        loss_sum, correct = torch.zeros((), device=device), torch.zeros((), dtype=torch.int64, device=device)
        batches = epoch_batches(
            self._data,
            self._data.train,
            spec.batch_size,
            spec.augmentation,
            self._seed,
            epoch,
            self._arithmetic.memory_format,
        )
        regulariser = spec.introspectability_regularizer
        with ExitStack() as stack:
            activations = None
            if regulariser is not None and regulariser.weight > 0:
                activations = stack.enter_context(captured(self.network))
            for step, (images, labels) in enumerate(batches):
                rate = learning_rate(
                    spec.optimizer.learning_rate, spec.schedule, self.epoch * steps + step, steps, spec.epochs
                )
                loss, logits = self._step(images, labels, rate, activations)
                loss_sum += loss * len(labels)
                correct += (logits.argmax(1) == labels).sum()
                now = time.perf_counter()
                if now - last_sign > SIGN_OF_LIFE_SECONDS:
                    alive(f"step {step + 1} of {steps}")
                    last_sign = now
        mean_loss, accuracy = loss_sum.item() / len(self._data.train), correct.item() / len(self._data.train)
        if not math.isfinite(mean_loss):
            raise NonFiniteError(f"the training loss became {mean_loss} in epoch {epoch}")
        self.epoch = epoch
        self.seconds += time.perf_counter() - started
        return EpochReport(epoch, mean_loss, accuracy)

    def _step(
        self, images: Tensor, labels: Tensor, rate: float, activations: list[Tensor] | None
    ) -> tuple[Tensor, Tensor]:
        """Take one step; return loss and logits, detached."""
        self._optimiser.clear_gradients()
        with self._arithmetic.autocast():
            logits = self.network(images)
        loss = F.cross_entropy(logits.float(), labels)
        regulariser = self._spec.introspectability_regularizer
        if activations is not None and regulariser is not None:
            penalty = similarity_penalty(activations, labels, len(self._data.class_names), self._pair_weights)
            loss = loss + regulariser.weight * penalty
            activations.clear()
        torch.autograd.backward(loss if self._scaler is None else loss * self._scaler.scale)
        if self._scaler is None or self._scaler.unscale(self._optimiser.parameters):
            self._optimiser.step(rate)
        return loss.detach(), logits.detach()

    def dump(self, fingerprint: str) -> bytes:
        """Return the training state after the epochs done so far."""
        scaler = None if self._scaler is None else (self._scaler.scale, self._scaler.good_steps)
        header = states.StateHeader(fingerprint, self.epoch, self.seconds, scaler)
        return states.dump(header, self.network, self._optimiser)

    def restore(self, state: states.TrainingState) -> None:
        """Go on from a state.

        Raises:
            IntegrityError: it does not fit this network.
        """
        states.restore(state, self.network, self._optimiser)
        if self._scaler is not None and state.header.scaler is not None:
            self._scaler.scale, self._scaler.good_steps = state.header.scaler
        self.epoch, self.seconds = state.header.epoch, state.header.seconds


def _check_batch_norm(network: GraphNetwork, batch_size: int) -> None:
    """Refuse batches of one sample where batch norm sees one value a channel."""
    shapes = network.graph.shapes
    for node in network.graph.nodes:
        if node.op is Op.BATCH_NORM and batch_size == 1 and math.prod(shapes[node.name][1:]) == 1:
            raise InvalidInputError(
                f"training.batchSize 1 leaves batch norm {node.name!r} a single value a channel; use 2 or more"
            )
