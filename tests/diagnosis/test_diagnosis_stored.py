"""The stored diagnosis of a trained network: the document, the tensors, the pictures and the metrics agree."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import stats

from xnas_core.artifacts import keys
from xnas_core.diagnosis import SUSPECTS, Diagnosis, read_diagnosis
from xnas_core.errors import IntegrityError
from xnas_core.tasks import TaskKind, TaskResult
from xnas_evaluator.datasets.load import load
from xnas_evaluator.diagnosis.pictures import heat_map_sheet, thumbnail
from xnas_evaluator.finalise import finalise
from xnas_evaluator.objectives.plan import recorded_introspectability
from xnas_evaluator.resident import device_data
from xnas_evaluator.tensors import unpack
from xnas_evaluator.testing import FolderContext
from xnas_evaluator.testing_trained import TrainedFolder, digits_spec


@pytest.fixture(scope="module")
def stored(diagnosed_run: TrainedFolder) -> tuple[FolderContext, TaskResult]:
    context = diagnosed_run.context(TaskKind.FINALISE, spec=digits_spec(epochs=1, explanations={"methods": []}))
    return context, finalise(context)


def _object(context: FolderContext, name: str) -> bytes:
    content = context.get(TaskKind.FINALISE, 1, name)
    assert content is not None
    return content


@pytest.fixture(scope="module")
def document(stored: tuple[FolderContext, TaskResult]) -> Diagnosis:
    return read_diagnosis(_object(stored[0], keys.DIAGNOSIS), "it")


def test_mean_class_distance_is_the_recorded_introspectability(
    diagnosed_run: TrainedFolder, document: Diagnosis
) -> None:
    first, second = np.triu_indices(10, 1)
    values = np.array(document.classes.distances, dtype=np.float64)[first, second]
    assert np.nanmean(values) == pytest.approx(diagnosed_run.result.metrics["introspectability"], rel=1e-5)
    confusion = np.array(document.classes.confusion)
    accuracy = diagnosed_run.result.metrics["accuracy"]
    assert confusion.trace() / confusion.sum() == pytest.approx(accuracy)
    assert document.mispredictions.mistakes == confusion.sum() - confusion.trace() > 0
    folded = (confusion + confusion.T)[first, second]
    defined = ~np.isnan(values)
    r = stats.pearsonr(-values[defined], folded[defined]).statistic
    assert document.classes.pearson == pytest.approx(r, rel=1e-4)


def test_metrics_are_those_of_the_document(stored: tuple[FolderContext, TaskResult], document: Diagnosis) -> None:
    metrics, errors = stored[1].metrics, stored[1].errors
    assert metrics["distance_confusion_correlation"] == pytest.approx(document.classes.pearson, rel=1e-5)
    assert document.mispredictions.activation is not None
    assert metrics["misprediction_auc"] == pytest.approx(document.mispredictions.activation.auc, rel=1e-5)
    assert errors["misprediction_auc"] == pytest.approx(document.mispredictions.activation.auc_error, rel=1e-5)
    assert metrics["activation_ece"] == pytest.approx(document.activation_calibration.error, rel=1e-5)
    assert metrics["softmax_ece"] == pytest.approx(document.softmax_calibration.error, rel=1e-5)
    assert "diagnosis_seconds" in stored[1].timings


def test_the_tensors_hold_every_sample(stored: tuple[FolderContext, TaskResult], document: Diagnosis) -> None:
    tensors, metadata = unpack(_object(stored[0], keys.DIAGNOSIS_TENSORS), "it")
    assert metadata["classNames"] == list(document.class_names)
    assert len(tensors["validation.similarity"]) == document.validation.used == document.validation.of
    assert len(tensors["training.similarity"]) == document.training.used
    assert {f"heatmap.{name}" for name in document.blocks} < set(tensors)
    lowest = torch.sort(tensors["training.similarity"])[0][: len(document.suspects)]
    assert [s.similarity for s in document.suspects] == pytest.approx(lowest.tolist(), rel=1e-5)
    torch.testing.assert_close(
        tensors["plane.points"], torch.tensor(document.plane.points, dtype=torch.float32), rtol=1e-4, atol=1e-4
    )


def test_suspects_are_training_images_that_can_be_found_again(
    diagnosed_run: TrainedFolder, stored: tuple[FolderContext, TaskResult], document: Diagnosis
) -> None:
    spec, cache = diagnosed_run.spec, stored[0].cache
    assert spec.dataset is not None
    data = device_data(spec.dataset, spec.seed, cache, "cpu")
    sources = load(spec.dataset, spec.seed, cache).train_sources
    assert sources is not None
    assert len(document.suspects) == SUSPECTS
    for suspect in document.suspects:
        assert data.train.labels[suspect.position] == suspect.label
        assert suspect.source == sources[suspect.position]
        picture = Image.open(io.BytesIO(base64.b64decode(suspect.thumbnail))).convert("L")
        assert np.array_equal(np.asarray(picture), data.train.images[suspect.position, 0].numpy())


def test_it_is_small_and_the_same_again(diagnosed_run: TrainedFolder, stored: tuple[FolderContext, TaskResult]) -> None:
    spec = digits_spec(epochs=1, explanations={"methods": []})
    again = finalise(diagnosed_run.context(TaskKind.FINALISE, spec=spec, attempt=2))
    assert again.artifacts == stored[1].artifacts
    sizes = {a.name: a.size for a in again.artifacts}
    assert sizes[keys.DIAGNOSIS] < 60_000
    assert sizes[keys.HEAT_MAPS] < 60_000
    assert sizes[keys.SUSPECTS] < 60_000


def test_layers_and_grouping_are_the_searchs() -> None:
    objective = {"name": "i", "metric": "introspectability", "direction": "maximize"}
    parameters = {"groupBy": "trueClass", "layers": "all"}
    accuracy = {"name": "accuracy", "direction": "maximize"}
    spec = digits_spec(objectives=[accuracy, {**objective, "parameters": parameters}])
    assert (recorded_introspectability(spec).group_by, recorded_introspectability(spec).layers) == ("trueClass", "all")
    assert recorded_introspectability(digits_spec(objectives=[accuracy])).group_by == "predictedClass"
    named = {"layers": "named", "layerNames": ["stage2", "head.relu"]}
    spec = digits_spec(objectives=[accuracy, {**objective, "parameters": named}])
    assert recorded_introspectability(spec).layers == ("stage2", "head.relu")


@pytest.mark.parametrize("content", [b"", b"{}", b'{"format": "xnas-diagnosis/9"}'])
def test_a_torn_or_alien_document_is_named(content: bytes) -> None:
    with pytest.raises(IntegrityError, match="the file is torn or of another version"):
        read_diagnosis(content, "the file")


@pytest.mark.parametrize("shape", [(1, 80, 40), (3, 8, 8), (4, 64, 64)])
def test_thumbnails_are_small(shape: tuple[int, int, int]) -> None:
    picture = thumbnail(np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8))
    assert max(Image.open(io.BytesIO(picture)).size) <= 32
    assert len(base64.b64encode(picture)) <= 2_600


def test_a_network_without_maps_has_an_empty_sheet(tmp_path: Path) -> None:
    assert Image.open(io.BytesIO(heat_map_sheet({}, ["a"]))).width > 0
