"""Training to the last epoch, with the state stored after each, going on from what earlier attempts stored."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

from xnas_core.api.spec import TrainingSpec
from xnas_core.artifacts.keys import STATE
from xnas_core.errors import IntegrityError
from xnas_core.tasks import Artifact
from xnas_evaluator import state
from xnas_evaluator.context import TaskContext
from xnas_evaluator.timings import Timings
from xnas_evaluator.training.device_data import DeviceData
from xnas_evaluator.training.loop import Trainer


@dataclass(frozen=True, slots=True)
class Stretch:
    """The place of one training among all epochs of a task, for progress reports."""

    before: int
    in_all: int


def train(
    context: TaskContext, trainer: Trainer, fingerprint: str, timings: Timings, stretch: Stretch | None = None
) -> tuple[Artifact | None, int]:
    """Train to the end of the trainer's epochs.

    Args:
        context: the task.
        trainer: new.
        fingerprint: see `fingerprint_of`.
        timings: gets state_seconds and train_seconds.
        stretch: None where the training is all that the task does.

    Returns:
        The last state stored (None: nothing was left to train) and the epoch that this attempt went on from.

    Raises:
        NonFiniteError: the loss became NaN or infinite.
        TaskCancelledError: the attempt is not wanted any more.
        StoreError: the store refused.
    """
    stretch = stretch or Stretch(0, trainer.epochs)
    with timings.part("state_seconds"):
        _resume(context, trainer, fingerprint)
    resumed, artifact = trainer.epoch, None
    context.progress(stretch.before + resumed, stretch.in_all, "training")

    def alive(step: str) -> None:
        context.progress(stretch.before + trainer.epoch, stretch.in_all, step)

    while trainer.epoch < trainer.epochs:
        with timings.part("train_seconds"):
            report = trainer.run_epoch(alive)
        # Stored after the last epoch, too: an attempt that is lost while it measures need not train again.
        with timings.part("state_seconds"):
            artifact = context.put(STATE, trainer.dump(fingerprint))
        said = {"train_loss": report.loss, "train_accuracy": report.accuracy}
        context.progress(stretch.before + report.epoch, stretch.in_all, "", said)
    return artifact, resumed


def _resume(context: TaskContext, trainer: Trainer, fingerprint: str) -> None:
    """Go on from the most advanced whole state of earlier attempts that belongs to this training (protocol.md §6.1)."""
    best: state.TrainingState | None = None
    for attempt in context.assignment.previous_attempts:
        data = context.get(context.assignment.kind, attempt, STATE)
        if data is None:
            continue
        try:
            found = state.read(data)
        except IntegrityError:
            continue
        if found.header.fingerprint == fingerprint and (best is None or found.header.epoch > best.header.epoch):
            best = found
    if best is not None:
        trainer.restore(best)


def fingerprint_of(
    context: TaskContext, graph_digest: str, data: DeviceData, training: TrainingSpec, *parts: object
) -> str:
    """Return what a state has to have been made from: network, data, split, all settings but threads, and `parts`."""
    settings = training.to_document()
    settings.pop("threads", None)
    dataset = context.spec.dataset
    split = dataset and [dataset.validation_fraction, dataset.training_fraction]
    made_from = [graph_digest, data.digest, settings, context.spec.seed, *parts, split]
    return hashlib.sha256(json.dumps(made_from, sort_keys=True).encode()).hexdigest()
