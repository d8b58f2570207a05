"""Training on a CUDA device: it learns, repeats bit for bit, goes on after a cut, and leaves what a CPU can use."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.gpu.gpu_device import DEVICE, MARKS
from xnas_core.api.spec import ArchitectureSearchSpec, DatasetSpec, Precision
from xnas_core.artifacts.keys import CHECKPOINT, CHECKPOINT_MANIFEST
from xnas_core.graph import Graph
from xnas_core.spaces.nas_bench_201 import NasBench201
from xnas_core.tasks import TaskKind, TaskResult
from xnas_evaluator import checkpoints, resident
from xnas_evaluator.context import TaskCancelledError
from xnas_evaluator.evaluate import evaluate
from xnas_evaluator.loading import load_model
from xnas_evaluator.networks.build import build
from xnas_evaluator.resident import device_data
from xnas_evaluator.testing import FolderContext, assignment
from xnas_evaluator.testing_trained import DIGITS, MIXED, digits_spec, trained_folder
from xnas_evaluator.training.device_data import DeviceData, to_device
from xnas_evaluator.training.loop import Trainer
from xnas_evaluator.training.settings import arithmetic

pytestmark = MARKS

TIMED = {"train_seconds", "latency_ms"}
PARAMETERS = {"cellsPerStage": 1, "channels": 4}
SPACE = NasBench201(PARAMETERS, DIGITS)
GRAPH = SPACE.graph(SPACE.decode(MIXED)).to_document()
ADAM: dict[str, Any] = {"optimizer": {"name": "adam", "learningRate": 0.01}}
SETTINGS: dict[str, dict[str, Any]] = {
    "float32": {"precision": "float32"},
    "bfloat16": {"precision": "bfloat16"},
    "float16": {"precision": "float16"},
    "adam": {"precision": "float32", **ADAM},
    "augmented": {"precision": "float32", "augmentation": ["crop", "flip", "cutout"]},
    "regularised": {"precision": "float32", "introspectabilityRegularizer": {"weight": 0.5}},
}


def _spec(epochs: int = 2, **training: Any) -> ArchitectureSearchSpec:
    return digits_spec(
        training={"epochs": epochs, "batchSize": 64, **training},
        searchSpace={"name": "nas-bench-201", "parameters": PARAMETERS},
    )


def _context(
    root: Path, cache: Path, spec: ArchitectureSearchSpec, attempt: int = 1, device: str = DEVICE, **fields: Any
) -> FolderContext:
    earlier = tuple(range(attempt - 1, 0, -1))
    task = assignment(graph=GRAPH, seed=11, attempt=attempt, previous_attempts=earlier)
    return FolderContext(task, spec, root, device=device, cache=cache, **fields)


def _values(result: TaskResult) -> dict[str, float]:
    return {name: value for name, value in result.metrics.items() if name not in TIMED}


def _weights(context: FolderContext) -> str:
    return next(a.sha256 for a in reversed(context.stored) if a.name == CHECKPOINT)


def _digits(cache: Path) -> DeviceData:
    return device_data(DatasetSpec(name="digits"), 3, cache, DEVICE)


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16", "auto"])
def test_it_learns_in_every_precision(precision: str, tmp_path: Path, cache: Path) -> None:
    context = _context(tmp_path, cache, _spec(epochs=4, precision=precision, **ADAM))
    result = evaluate(context)
    losses = [report.metrics["train_loss"] for report in context.reported if "train_loss" in report.metrics]
    assert len(losses) == 4
    assert all(math.isfinite(loss) for loss in losses)
    assert losses[-1] < losses[0]
    # Ten classes.
    assert result.metrics["accuracy"] > 0.4
    assert math.isfinite(result.metrics["loss"])
    assert result.metrics["latency_ms"] > 0
    expected = {"auto": "bfloat16" if torch.cuda.is_bf16_supported() else "float32"}.get(precision, precision)
    assert result.environment["precision"] == expected
    assert result.environment["device_name"] == torch.cuda.get_device_name()


@pytest.mark.parametrize("name", SETTINGS)
def test_equal_seeds_give_equal_bits_and_a_cut_changes_nothing(name: str, tmp_path: Path, cache: Path) -> None:
    spec = _spec(**SETTINGS[name])
    first, second = (_context(tmp_path / root, cache, spec) for root in ("first", "second"))
    expected = evaluate(first)
    assert _values(evaluate(second)) == _values(expected)
    assert _weights(second) == _weights(first)
    with pytest.raises(TaskCancelledError):
        evaluate(_context(tmp_path / "cut", cache, spec, cancel_at_epoch=1))
    again = _context(tmp_path / "cut", cache, spec, attempt=2)
    result = evaluate(again)
    assert result.resumed_from_epoch == 1
    assert _values(result) == _values(expected)
    assert _weights(again) == _weights(first)


def test_another_seed_gives_other_weights(tmp_path: Path, cache: Path) -> None:
    """So that the equality of the test above says something."""
    found = set()
    for seed in (1, 2):
        context = _context(tmp_path / str(seed), cache, _spec(epochs=1, precision="float32"))
        context.assignment = context.assignment.model_copy(update={"seed": seed})
        evaluate(context)
        found.add(_weights(context))
    assert len(found) == 2


def test_a_state_from_the_device_goes_on_without_one(tmp_path: Path, cache: Path) -> None:
    spec = _spec(precision="float32")
    with pytest.raises(TaskCancelledError):
        evaluate(_context(tmp_path, cache, spec, cancel_at_epoch=1))
    on_cpu = evaluate(_context(tmp_path, cache, spec, attempt=2, device="cpu"))
    assert on_cpu.resumed_from_epoch == 1
    assert on_cpu.environment["device"] == "cpu"


def test_the_data_are_moved_once_and_stay(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    moved: list[DeviceData] = []

    def move(*given: Any) -> DeviceData:
        moved.append(to_device(*given))
        return moved[-1]

    monkeypatch.setattr(resident, "_kept", {})
    monkeypatch.setattr(resident, "to_device", move)
    for root in ("first", "second"):
        evaluate(_context(tmp_path / root, cache, _spec(epochs=1)))
    (data,) = moved
    assert _digits(cache) is data
    for part in (data.train, data.validation, data.test):
        assert (part.images.device.type, part.images.dtype) == (torch.device(DEVICE).type, torch.uint8)
        assert part.labels.device.type == torch.device(DEVICE).type


def test_images_and_weights_are_channels_last_all_the_way(cache: Path) -> None:
    """Looked at behind the first convolution: an image of one channel lies in memory alike either way."""
    spec = _spec(epochs=1, precision="bfloat16")
    network = build(Graph.from_document(GRAPH), 11)
    trainer = Trainer(network, _digits(cache), spec.training, 11, arithmetic(DEVICE, Precision.BFLOAT16))
    seen: list[Tensor] = []

    def look(_module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> None:
        if output.dim() == 4 and min(output.shape[1:]) > 1:
            seen.append(output.detach())

    convolutions = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    for convolution in convolutions:
        convolution.register_forward_hook(look)
    trainer.run_epoch()
    assert seen
    assert all(output.is_contiguous(memory_format=torch.channels_last) for output in seen)
    assert not any(output.is_contiguous() for output in seen)
    assert {output.dtype for output in seen} == {torch.bfloat16}
    assert {output.device.type for output in seen} == {torch.device(DEVICE).type}
    weights = [module.weight for module in convolutions]
    assert all(weight.is_contiguous(memory_format=torch.channels_last) for weight in weights)
    assert {weight.dtype for weight in weights} == {torch.float32}


def test_a_checkpoint_gives_the_same_scores_on_the_cpu(tmp_path: Path, cache: Path) -> None:
    data, spec = _digits(cache), _spec(precision="float32", **ADAM)
    trainer = Trainer(
        build(Graph.from_document(GRAPH), 11), data, spec.training, 11, arithmetic(DEVICE, Precision.FLOAT32)
    )
    for _ in range(trainer.epochs):
        trainer.run_epoch()
    context = _context(tmp_path, cache, spec)
    network = trainer.network.eval()
    checkpoints.write(context, network, data, {}, trainer.epoch)
    manifest, weights = (context.get(TaskKind.EVALUATE, 1, name) for name in (CHECKPOINT_MANIFEST, CHECKPOINT))
    assert manifest is not None
    assert weights is not None
    stored = checkpoints.read(manifest, weights)
    assert {tensor.device.type for tensor in stored.network.state_dict().values()} == {"cpu"}
    images = data.normalise(data.validation.images)
    with torch.no_grad():
        expected, found = network(images).cpu(), stored.network(images.cpu())
    assert float((found - expected).abs().max()) <= 1e-4 * max(1.0, float(expected.abs().max()))


def test_a_folder_from_the_device_opens_on_the_cpu(tmp_path: Path) -> None:
    """`load_model` of what an evaluation left: the accuracy and loss that were measured on the device."""
    training = {"epochs": 2, "batchSize": 64, "precision": "float32", **ADAM}
    folder = trained_folder(tmp_path / "run", device=DEVICE, training=training)
    assert folder.result.environment["device"] == DEVICE
    network = load_model(folder.root, folder.candidate)
    data = device_data(DatasetSpec(name="digits"), folder.spec.seed, tmp_path / "cache", "cpu")
    part = data.validation
    with torch.no_grad():
        scores = network(network.normalise(part.images))
    assert {tensor.device.type for tensor in network.state_dict().values()} == {"cpu"}
    assert float((scores.argmax(1) == part.labels).float().mean()) == pytest.approx(folder.result.metrics["accuracy"])
    loss = float(nn.functional.cross_entropy(scores, part.labels))
    assert loss == pytest.approx(folder.result.metrics["loss"], rel=1e-4)
