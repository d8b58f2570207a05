"""All outputs of a diagnosis: computed, stored, and summed up as metrics of the task."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from pydantic import BaseModel
from torch import Tensor

from xnas_core.artifacts import keys
from xnas_core.diagnosis import Diagnosis, Mispredictions, Samples
from xnas_core.tasks import Artifact
from xnas_evaluator.context import TaskContext
from xnas_evaluator.diagnosis.calibration import calibrate
from xnas_evaluator.diagnosis.class_distances import compare, confusion_matrix
from xnas_evaluator.diagnosis.detection import detect
from xnas_evaluator.diagnosis.gather import Gathered, Subject, gather
from xnas_evaluator.diagnosis.heat_maps import heat_maps
from xnas_evaluator.diagnosis.pictures import heat_map_sheet, suspect_sheet
from xnas_evaluator.diagnosis.plane import plane
from xnas_evaluator.diagnosis.suspects import suspects
from xnas_evaluator.networks.build import GraphNetwork
from xnas_evaluator.objectives.introspectability import IntrospectabilitySettings, distances_of
from xnas_evaluator.objectives.plan import recorded_introspectability
from xnas_evaluator.tensors import pack
from xnas_evaluator.training.device_data import DeviceData
from xnas_evaluator.training.settings import Arithmetic

SECONDS = "diagnosis_seconds"
PICTURES_SECONDS = "diagnosis_pictures_seconds"


@dataclass
class Diagnosed:
    """What was made, in the terms of a TaskResult."""

    metrics: dict[str, float] = field(default_factory=dict)
    errors: dict[str, float] = field(default_factory=dict)
    timings: dict[str, float] = field(default_factory=dict)
    artifacts: list[Artifact] = field(default_factory=list)


@dataclass(frozen=True)
class Outputs:
    """The document, and the tensors behind it."""

    document: Diagnosis
    tensors: Mapping[str, Tensor]
    maps: Mapping[str, Tensor]


def diagnose(context: TaskContext, network: GraphNetwork, data: DeviceData, arithmetic: Arithmetic) -> Diagnosed:
    """Diagnose a trained network on the validation and training splits, and store what was found.

    Args:
        context: the task.
        network: on the device; it is put into eval mode.
        data: on the same device; the test split is never looked at.
        arithmetic: device and precision.

    Raises:
        NonFiniteError: a class score is NaN or infinite (final).
        TaskCancelledError: the attempt is not wanted any more.
        StoreError: the store refused.
    """
    started = time.perf_counter()
    network.eval()
    settings = recorded_introspectability(context.spec)
    subject = Subject(network, data, arithmetic, settings.layers, _Alive(context))
    outputs = compute(subject, settings, context.spec.seed)
    names = outputs.document.class_names
    made = Diagnosed()
    maps = {name: values.numpy() for name, values in outputs.maps.items()}
    for name, content in (
        (keys.DIAGNOSIS, rounded(outputs.document).model_dump_json().encode()),
        (keys.DIAGNOSIS_TENSORS, pack(outputs.tensors, {"format": outputs.document.format, "classNames": list(names)})),
    ):
        made.artifacts.append(context.put(name, content))
    made.metrics, made.errors = summary(outputs.document)
    drawing = time.perf_counter()
    made.timings[SECONDS] = drawing - started
    for name, picture in (
        (keys.HEAT_MAPS, heat_map_sheet(maps, names)),
        (keys.SUSPECTS, suspect_sheet(outputs.document.suspects, names)),
    ):
        made.artifacts.append(context.put(name, picture))
    made.timings[PICTURES_SECONDS] = time.perf_counter() - drawing
    return made


class _Alive:
    """A sign of life now and then; it raises TaskCancelledError where the attempt is not wanted any more."""

    def __init__(self, context: TaskContext, every: float = 2.0) -> None:
        self._context, self._every, self._last = context, every, float("-inf")

    def __call__(self) -> None:
        now = time.perf_counter()
        if now - self._last > self._every:
            self._last = now
            self._context.progress(0, 1, "diagnosing")


@torch.inference_mode()
def compute(subject: Subject, settings: IntrospectabilitySettings, seed: int) -> Outputs:
    """Return all outputs; nothing is stored.

    Confidences compare a sample with the mean of its predicted class over all validation samples of that prediction,
    so no label plays a part in them.
    """
    data, names = subject.data, subject.data.class_names
    seen = gather(subject, data.validation, "predictedClass")
    trained = gather(subject, data.train, "trueClass")
    distances = distances_of(seen.means.gram(settings.group_by)).numpy()
    confusion = confusion_matrix(seen.labels, seen.predictions, len(names))
    maps = heat_maps(subject.network.graph, seen.means, settings.group_by)
    correct = seen.labels == seen.predictions
    points = plane(subject, data.validation, seen, seed)
    document = Diagnosis(
        class_names=names,
        layers=settings.layers_text,
        group_by=settings.group_by,
        validation=Samples(used=len(seen.labels), of=len(data.validation)),
        training=Samples(used=len(trained.labels), of=len(data.train)),
        classes=compare(distances, confusion),
        activation_calibration=calibrate(seen.similarity, correct),
        softmax_calibration=calibrate(seen.confidence, correct),
        mispredictions=Mispredictions(
            mistakes=int((~correct).sum()),
            activation=detect(seen.similarity, ~correct),
            softmax=detect(seen.confidence, ~correct),
        ),
        suspects=suspects(trained, data.train, data.train_sources),
        plane=points,
        blocks=tuple(maps),
    )
    tensors = {
        "classes.distances": torch.from_numpy(distances),
        "classes.confusion": torch.from_numpy(confusion),
        **_samples("validation", seen),
        **_samples("training", trained),
        "plane.points": torch.tensor(points.points, dtype=torch.float32).reshape(-1, 2),
        **{f"heatmap.{name}": values for name, values in maps.items()},
    }
    return Outputs(document, tensors, maps)


def _samples(split: str, gathered: Gathered) -> dict[str, Tensor]:
    narrow = {"labels": np.int32, "predictions": np.int32, "positions": np.int64}
    exact = {name: getattr(gathered, name).astype(kind) for name, kind in narrow.items()}
    shares = {name: getattr(gathered, name).astype(np.float32) for name in ("similarity", "confidence")}
    return {f"{split}.{name}": torch.from_numpy(values) for name, values in (exact | shares).items()}


def summary(document: Diagnosis) -> tuple[dict[str, float], dict[str, float]]:
    """Return the metrics (`xnas_core.objectives.DIAGNOSED`) and standard errors; undefined values are left out."""
    wrong = document.mispredictions
    values: dict[str, float | None] = {
        "distance_confusion_correlation": document.classes.pearson,
        "activation_ece": document.activation_calibration.error,
        "softmax_ece": document.softmax_calibration.error,
        "activation_calibration_correlation": document.activation_calibration.pearson,
        "softmax_calibration_correlation": document.softmax_calibration.pearson,
    }
    errors: dict[str, float] = {}
    for name, found in (("misprediction_auc", wrong.activation), ("misprediction_auc_softmax", wrong.softmax)):
        if found is not None:
            values[name], errors[name] = found.auc, found.auc_error
    return {name: value for name, value in values.items() if value is not None}, errors


def rounded(document: Diagnosis) -> Diagnosis:
    """Return the document with numbers of six figures."""
    return Diagnosis.model_validate(_short(document))


def _short(value: object) -> object:
    if isinstance(value, BaseModel):
        return {name: _short(getattr(value, name)) for name in type(value).model_fields}
    if isinstance(value, tuple):
        return tuple(_short(part) for part in value)
    return float(f"{value:.6g}") if isinstance(value, float) else value
