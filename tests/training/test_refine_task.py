"""The task `refine` on a really trained network: what changes, what does not, and going on after an interruption."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from xnas_core.api.class_pairs import resolve_pairs
from xnas_core.api.spec import ScheduleName
from xnas_core.api.task_parameters import RefineParameters
from xnas_core.artifacts.keys import CHECKPOINT, CHECKPOINT_MANIFEST, REFINEMENT, STATE
from xnas_core.errors import IntegrityError, InvalidInputError
from xnas_core.refinement import Refinement, read
from xnas_core.tasks import TaskKind, TaskResult, attempt_prefix
from xnas_evaluator.checkpoints import read as read_checkpoint
from xnas_evaluator.context import TaskCancelledError
from xnas_evaluator.loading import load_model
from xnas_evaluator.networks.build import activation_layers
from xnas_evaluator.refine import refine, refined_training
from xnas_evaluator.resident import device_data
from xnas_evaluator.tasks import run
from xnas_evaluator.testing import FolderContext
from xnas_evaluator.testing_trained import TrainedFolder, digits_spec, journal_result, trained_folder

PAIRS = [{"classes": ["3", 8], "weight": 25.0}]
PARAMETERS: dict[str, Any] = {"pairs": PAIRS, "epochs": 2, "learningRate": 0.01}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> TrainedFolder:
    torch.set_num_threads(1)
    return trained_folder(tmp_path_factory.mktemp("refine") / "run", epochs=2)


def _context(trained: TrainedFolder, attempt: int, **changes: Any) -> FolderContext:
    parameters = changes.pop("parameters", PARAMETERS)
    earlier = changes.pop("earlier", ())
    return trained.context(
        TaskKind.REFINE, attempt=attempt, seed=77, parameters=parameters, previous_attempts=earlier, **changes
    )


@pytest.fixture(scope="module")
def refined(trained: TrainedFolder) -> tuple[FolderContext, TaskResult]:
    context = _context(trained, 1)
    return context, run(context)


def _document(context: FolderContext) -> Refinement:
    data = context.get(TaskKind.REFINE, context.assignment.attempt, REFINEMENT)
    assert data is not None
    return read(data)


def test_all_metrics_have_names_of_their_own(refined: tuple[FolderContext, TaskResult]) -> None:
    context, result = refined
    document = _document(context)
    assert all(name.startswith("refined_") for name in (*result.metrics, *result.errors))
    assert result.metrics["refined_accuracy"] == document.after.accuracy
    assert result.metrics["refined_introspectability"] == document.after.introspectability
    assert result.metrics["refined_distance"] == document.pairs[0].after.distance
    assert result.metrics["refined_distance_before"] == document.pairs[0].before.distance
    names = {artifact.name for artifact in result.artifacts}
    assert names == {STATE, CHECKPOINT, CHECKPOINT_MANIFEST, REFINEMENT}
    for artifact in result.artifacts:
        data = context.get(TaskKind.REFINE, 1, artifact.name)
        assert data is not None
        assert (len(data), hashlib.sha256(data).hexdigest()) == (artifact.size, artifact.sha256)


def test_before_is_the_candidate_as_its_evaluation_measured_it(
    trained: TrainedFolder, refined: tuple[FolderContext, TaskResult]
) -> None:
    before, scores = _document(refined[0]).before, trained.result.metrics
    assert (before.accuracy, before.loss) == pytest.approx((scores["accuracy"], scores["loss"]))
    assert before.introspectability == pytest.approx(scores["introspectability"])


def test_confusion_and_distance_are_those_of_a_slow_look(
    trained: TrainedFolder, refined: tuple[FolderContext, TaskResult]
) -> None:
    """The refined checkpoint, run sample by sample; class means over all activations in plain numpy."""
    context, _ = refined
    prefix = attempt_prefix(trained.candidate, TaskKind.REFINE, 1)
    parts = [context.store.get(prefix + name) for name in (CHECKPOINT_MANIFEST, CHECKPOINT)]
    network = read_checkpoint(*parts).network
    assert json.loads(parts[0])["epochs"] == 4
    assert trained.spec.dataset is not None
    data = device_data(trained.spec.dataset, trained.spec.seed, context.cache, "cpu")
    kept: list[np.ndarray[Any, Any]] = []
    for layer in activation_layers(network).values():
        layer.register_forward_hook(lambda _m, _i, output: kept.append(output.double().flatten().numpy()))
    confusion = np.zeros((10, 10), dtype=int)
    activations: dict[int, list[np.ndarray[Any, Any]]] = {}
    with torch.no_grad():
        for image, label in zip(data.validation.images, data.validation.labels.tolist(), strict=True):
            kept.clear()
            predicted = int(network(data.normalise(image.unsqueeze(0))).argmax())
            confusion[label, predicted] += 1
            activations.setdefault(predicted, []).append(np.concatenate(kept))
    document = _document(context)
    assert np.array_equal(np.array(document.after.classes.confusion), confusion)
    pair = document.pairs[0]
    assert (pair.first, pair.second, pair.weight) == (3, 8, 25.0)
    assert (pair.after.first_as_second, pair.after.second_as_first) == (confusion[3, 8], confusion[8, 3])
    three, eight = (np.mean(activations[digit], 0) for digit in (3, 8))
    distance = 1 - three @ eight / np.linalg.norm(three) / np.linalg.norm(eight)
    assert pair.after.distance == pytest.approx(distance, rel=1e-4)


def test_the_pair_is_pulled_apart_more_than_without_its_weight(
    trained: TrainedFolder, refined: tuple[FolderContext, TaskResult]
) -> None:
    plain = _context(trained, 9, parameters={**PARAMETERS, "pairs": [{"classes": [3, 8], "weight": 1}]})
    result = run(plain)
    assert refined[1].metrics["refined_distance"] > result.metrics["refined_distance"]
    assert refined[1].metrics["refined_distance"] > refined[1].metrics["refined_distance_before"]


def test_cut_after_an_epoch_it_goes_on_to_the_same_end(
    trained: TrainedFolder, refined: tuple[FolderContext, TaskResult]
) -> None:
    with pytest.raises(TaskCancelledError):
        refine(replace(_context(trained, 20), cancel_at_epoch=1))
    again = _context(trained, 21, earlier=(20,))
    result = refine(again)
    assert result.resumed_from_epoch == 1
    assert result.metrics == refined[1].metrics
    assert _document(again) == _document(refined[0])


def test_the_candidate_itself_stays_as_it_was(
    trained: TrainedFolder, refined: tuple[FolderContext, TaskResult]
) -> None:
    before = load_model(trained.root, trained.candidate).state_dict()
    journal_result(*refined)
    after = load_model(trained.root, trained.candidate).state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    other = load_model(trained.root, trained.candidate, refined=True).state_dict()
    assert any(not torch.equal(before[name], other[name]) for name in before)


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({}, "pairs is wrong"),
        ({"pairs": [{"classes": ["3", "cat"]}]}, 'no class "cat"'),
        ({"pairs": PAIRS, "epochs": 0}, "epochs is wrong"),
        ({"pairs": PAIRS, "rate": 1}, "no parameter 'rate'"),
    ],
)
def test_wrong_parameters_are_refused(trained: TrainedFolder, parameters: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidInputError, match=said):
        refine(_context(trained, 30, parameters=parameters))


def test_a_damaged_checkpoint_is_named(trained: TrainedFolder, tmp_path: Path) -> None:
    root = tmp_path / "copy"
    shutil.copytree(trained.root, root)
    key = attempt_prefix(trained.candidate, TaskKind.EVALUATE, 1) + CHECKPOINT
    (root / key).write_bytes((root / key).read_bytes() + b"?")
    with pytest.raises(IntegrityError, match=CHECKPOINT):
        refine(replace(_context(trained, 31), root=root))


def test_settings_are_the_search_s_but_for_what_is_asked() -> None:
    regulariser = {"weight": 0, "pairs": [{"classes": [8, "3"], "weight": 4}, {"classes": [1, 7], "weight": 9}]}
    spec = digits_spec(training={"epochs": 8, "batchSize": 64, "introspectabilityRegularizer": regulariser})
    asked = RefineParameters.model_validate({"pairs": [{"classes": [3, 8]}]})
    training = refined_training(spec.training, asked, [str(digit) for digit in range(10)])
    assert (training.epochs, training.optimizer.learning_rate) == (5, 0.001)
    assert (training.schedule.name, training.schedule.warmup_epochs) == (ScheduleName.CONSTANT, 0)
    assert training.batch_size == 64
    assert training.introspectability_regularizer is not None
    assert training.introspectability_regularizer.weight == 0.5
    weights = [(pair.classes, pair.weight) for pair in training.introspectability_regularizer.pairs]
    assert weights == [([3, 8], 25.0), ([1, 7], 9.0)]


def test_a_pair_by_number_takes_the_place_of_the_search_s_by_name() -> None:
    regulariser = {"weight": 0.5, "pairs": [{"classes": ["cat", "dog"], "weight": 4}]}
    spec = digits_spec(training={"epochs": 8, "batchSize": 64, "introspectabilityRegularizer": regulariser})
    asked = RefineParameters.model_validate({"pairs": [{"classes": [1, 0]}]})
    training = refined_training(spec.training, asked, ("cat", "dog", "bird"))
    assert training.introspectability_regularizer is not None
    assert resolve_pairs(training.introspectability_regularizer.pairs, ("cat", "dog", "bird")) == [(0, 1, 25.0)]
