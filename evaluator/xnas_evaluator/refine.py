"""The task `refine` (protocol.md §3): some epochs more with pairs of classes pulled apart, measured before and after.

The case study of Carmichael et al. 2023: five epochs at learning rate 0.001, the confused pair's weight at 25.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from xnas_core.api.class_pairs import class_number, resolve_pairs
from xnas_core.api.spec import ClassPairSpec, RegularizerSpec, ScheduleName, ScheduleSpec, TrainingSpec
from xnas_core.api.task_parameters import RefineParameters, read_parameters
from xnas_core.artifacts.keys import REFINEMENT
from xnas_core.errors import InvalidInputError
from xnas_core.refinement import NetworkState, PairState, RefinedPair, Refinement
from xnas_core.tasks import TaskResult
from xnas_evaluator import checkpoints
from xnas_evaluator.context import TaskContext
from xnas_evaluator.diagnosis.class_distances import Counts, compare, confusion_matrix
from xnas_evaluator.evaluate import check_fit, environment
from xnas_evaluator.networks.build import GraphNetwork
from xnas_evaluator.objectives.introspectability import IntrospectabilitySettings, mean_distance
from xnas_evaluator.objectives.plan import recorded_introspectability
from xnas_evaluator.objectives.validation import batches, score
from xnas_evaluator.resident import search_data
from xnas_evaluator.source_checkpoint import source_checkpoint
from xnas_evaluator.timings import Timings
from xnas_evaluator.training.device_data import DeviceData
from xnas_evaluator.training.loop import Trainer
from xnas_evaluator.training.resumable import fingerprint_of, train
from xnas_evaluator.training.settings import Arithmetic, arithmetic, prepare

_BATCH = 256


@dataclass(frozen=True)
class _Seen:
    """The network at one moment, and the pairs in it."""

    state: NetworkState
    pairs: tuple[PairState, ...]


def refine(context: TaskContext) -> TaskResult:
    """Train the network of `assignment.source_attempt` further; store it, and what has changed.

    The optimiser begins anew, at a constant learning rate. The candidate's own checkpoint and scores stay as they are:
    all metrics begin with `refined_`.

    Raises:
        InvalidInputError: there is nothing to load, or a parameter is wrong (final).
        IntegrityError: the checkpoint is torn or altered; the message names the object.
        NonFiniteError: a loss or class score is NaN or infinite (final).
        TaskCancelledError: the attempt is not wanted any more.
        StoreError: the store refused.
    """
    timings = Timings()
    assignment, spec = context.assignment, context.spec
    if spec.dataset is None:
        raise InvalidInputError("a candidate can be refined only where there is a data set; the search has none")
    asked = read_parameters("refine", RefineParameters, assignment.parameters)
    settings = recorded_introspectability(spec)
    prepare(context.device, context.threads)
    numbers = arithmetic(context.device, spec.training.precision)
    with timings.part("data_seconds"):
        data = search_data(context)
    pairs = resolve_pairs(asked.pairs, data.class_names)
    training = refined_training(spec.training, asked, data.class_names)
    with timings.part("load_seconds"):
        network = check_fit(source_checkpoint(context).network, data)
        network = network.to(numbers.device).to(memory_format=numbers.memory_format)
    with timings.part("metrics_seconds"):
        before = _look(network, data, numbers, settings, pairs)
    # Weights come from the checkpoint, whose attempt the fingerprint names.
    trainer = Trainer(network, data, training, assignment.seed, numbers)
    origin = ["refine", assignment.source_attempt, assignment.seed]
    artifact, resumed = train(
        context, trainer, fingerprint_of(context, network.graph.digest, data, training, *origin), timings
    )
    with timings.part("metrics_seconds"):
        after = _look(network, data, numbers, settings, pairs)
    document = _document(training, asked, settings, data, pairs, before, after)
    metrics, errors = _metrics(document)
    with timings.part("checkpoint_seconds"):
        network.eval()
        stored = checkpoints.write(context, network, data, metrics, spec.training.epochs + trainer.epoch)
        written = context.put(REFINEMENT, document.model_dump_json().encode())
    return assignment.result(
        metrics,
        errors=errors,
        timings=timings.seconds,
        artifacts=(*((artifact,) if artifact else ()), *stored, written),
        environment=environment(context, numbers),
        resumed_from_epoch=resumed,
    )


def refined_training(training: TrainingSpec, asked: RefineParameters, class_names: Sequence[str]) -> TrainingSpec:
    """Return the settings of the further epochs: the search's, with another rate, length, schedule and regulariser.

    Pairs that the search itself has keep their weights, unless they are asked for, by name or by number.
    """
    own = training.introspectability_regularizer or RegularizerSpec()
    weight = own.weight if own.weight > 0 else RegularizerSpec().weight
    named = {_key(pair, class_names) for pair in asked.pairs}
    pairs = [*asked.pairs, *(pair for pair in own.pairs if _key(pair, class_names) not in named)]
    return training.model_copy(
        update={
            "epochs": asked.epochs,
            "optimizer": training.optimizer.model_copy(update={"learning_rate": asked.learning_rate}),
            "schedule": ScheduleSpec(name=ScheduleName.CONSTANT, warmup_epochs=0),
            "introspectability_regularizer": RegularizerSpec(weight=weight, pairs=pairs),
        }
    )


def _key(pair: ClassPairSpec, class_names: Sequence[str]) -> frozenset[int]:
    return frozenset(class_number(reference, class_names) for reference in pair.classes)


def _look(
    network: GraphNetwork,
    data: DeviceData,
    numbers: Arithmetic,
    settings: IntrospectabilitySettings,
    pairs: list[tuple[int, int, float]],
) -> _Seen:
    scores = score(network, data.validation, data, numbers, settings.layers, settings.max_samples)
    distances = scores.distances[settings.group_by]
    confusion = _confusion(network, data, numbers)
    state = NetworkState(
        accuracy=scores.accuracy,
        accuracy_error=scores.accuracy_error,
        loss=scores.loss,
        loss_error=scores.loss_error,
        introspectability=mean_distance(distances),
        classes=compare(distances.numpy(), confusion),
    )
    seen = []
    for first, second, _ in pairs:
        distance = float(distances[first, second])
        seen.append(
            PairState(
                distance=distance if distance == distance else None,
                first_as_second=int(confusion[first, second]),
                second_as_first=int(confusion[second, first]),
            )
        )
    return _Seen(state, tuple(seen))


@torch.inference_mode()
def _confusion(network: GraphNetwork, data: DeviceData, numbers: Arithmetic) -> Counts:
    network.eval()
    part = data.validation
    everything = torch.arange(len(part), device=part.labels.device)
    predicted = []
    for images, _ in batches(data, part, everything, _BATCH, numbers):
        with numbers.autocast():
            predicted.append(network(images).argmax(1))
    return confusion_matrix(part.labels.cpu().numpy(), torch.cat(predicted).cpu().numpy(), len(data.class_names))


def _document(
    training: TrainingSpec,
    asked: RefineParameters,
    settings: IntrospectabilitySettings,
    data: DeviceData,
    pairs: list[tuple[int, int, float]],
    before: _Seen,
    after: _Seen,
) -> Refinement:
    regulariser = training.introspectability_regularizer
    return Refinement(
        class_names=data.class_names,
        layers=settings.layers_text,
        group_by=settings.group_by,
        epochs=asked.epochs,
        learning_rate=asked.learning_rate,
        regularizer_weight=0.0 if regulariser is None else regulariser.weight,
        samples=len(data.validation),
        pairs=tuple(
            RefinedPair(first=first, second=second, weight=weight, before=then, after=now)
            for (first, second, weight), then, now in zip(pairs, before.pairs, after.pairs, strict=True)
        ),
        before=before.state,
        after=after.state,
    )


def _metrics(document: Refinement) -> tuple[dict[str, float], dict[str, float]]:
    """Return metrics and standard errors. A pair's distance is the mean over the pairs that were asked for."""
    values: dict[str, float | None] = {
        "refined_accuracy": document.after.accuracy,
        "refined_loss": document.after.loss,
        "refined_introspectability": document.after.introspectability,
        "refined_distance_before": _mean([pair.before.distance for pair in document.pairs]),
        "refined_distance": _mean([pair.after.distance for pair in document.pairs]),
    }
    errors = {"refined_accuracy": document.after.accuracy_error, "refined_loss": document.after.loss_error}
    return {name: value for name, value in values.items() if value is not None}, errors


def _mean(distances: list[float | None]) -> float | None:
    known = [distance for distance in distances if distance is not None]
    return sum(known) / len(known) if known and len(known) == len(distances) else None
