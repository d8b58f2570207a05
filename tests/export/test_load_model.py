"""`load_model`: the network that was trained, ready for hooks and Captum; every mistake has a sentence."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from captum.attr import LayerActivation, Saliency
from torch import Tensor, nn

from xnas_core.artifacts.folder import FolderStore
from xnas_core.artifacts.keys import CHECKPOINT, CHECKPOINT_MANIFEST, segment
from xnas_core.errors import IntegrityError, InvalidInputError, UnknownNameError
from xnas_core.graph import ACTIVATIONS, Op
from xnas_core.journal import Journal, read_segments
from xnas_core.search.events import AttemptEnded, Event, Started
from xnas_core.tasks import EndReason, TaskKind
from xnas_evaluator import load_model
from xnas_evaluator.loading import TrainedNetwork
from xnas_evaluator.resident import device_data
from xnas_evaluator.stored_checkpoint import CheckpointMissingError
from xnas_evaluator.testing_trained import TrainedFolder
from xnas_evaluator.training.device_data import DeviceData


def _data(trained: TrainedFolder) -> DeviceData:
    assert trained.spec.dataset is not None
    return device_data(trained.spec.dataset, trained.spec.seed, trained.root.parent / "cache", "cpu")


@pytest.fixture
def copied(trained: TrainedFolder, tmp_path: Path) -> TrainedFolder:
    shutil.copytree(trained.root, tmp_path / "run")
    return replace(trained, root=tmp_path / "run")


def _evaluation(folder: TrainedFolder) -> Path:
    return folder.root / "candidates" / folder.candidate / "evaluate-1"


def test_it_predicts_as_the_trained_network_did(trained: TrainedFolder) -> None:
    network, part = load_model(trained.root, trained.candidate), _data(trained).validation
    assert not network.training
    with torch.no_grad():
        scores = network(network.normalise(part.images))
    assert float((scores.argmax(1) == part.labels).float().mean()) == pytest.approx(trained.result.metrics["accuracy"])
    loss = nn.functional.cross_entropy(scores, part.labels)
    assert float(loss) == pytest.approx(trained.result.metrics["loss"], abs=1e-5)
    assert network.classes == tuple("0123456789")


def test_it_normalises_as_training_did(trained: TrainedFolder) -> None:
    network, data = load_model(str(trained.root), trained.candidate), _data(trained)
    images = data.validation.images[:5]
    torch.testing.assert_close(network.normalise(images), data.normalise(images))
    torch.testing.assert_close(network.normalise(images.double()), data.normalise(images))
    assert images.dtype is torch.uint8
    with pytest.raises(InvalidInputError, match=r"must have the shape \(N, 1, 8, 8\), not \(1, 8, 8\)"):
        network.normalise(images[0])


def test_convolutions_and_activations_are_submodules_that_hooks_see(network: TrainedNetwork) -> None:
    seen: list[str] = []
    expected = [n.name for n in network.graph.nodes if n.op is Op.CONV or n.op in ACTIVATIONS]
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d | nn.ReLU):
            module.register_forward_hook(lambda *_, name=name: seen.append(name))
    network(torch.zeros(1, 1, 8, 8))
    assert sorted(seen) == sorted(expected)
    assert len(seen) > 8


def test_captum_works_on_it(network: TrainedNetwork) -> None:
    inputs = torch.randn(2, 1, 8, 8, requires_grad=True)
    attribution: Tensor = Saliency(network).attribute(inputs, target=3)
    assert attribution.shape == inputs.shape
    activation: Tensor = LayerActivation(network, network.get_submodule("head.relu")).attribute(inputs)
    assert activation.shape == (2, 32, 2, 2)


def test_its_state_is_that_of_the_checkpoint(network: TrainedNetwork) -> None:
    assert not any("mean" in name.split(".")[0] for name in network.state_dict())
    assert network.to(torch.float64).mean.dtype is torch.float64


def test_an_unknown_candidate_is_refused_with_a_suggestion(trained: TrainedFolder) -> None:
    misspelt = trained.candidate[:-1] + ("0" if trained.candidate[-1] != "0" else "1")
    with pytest.raises(UnknownNameError, match=f"did you mean '{trained.candidate}'"):
        load_model(trained.root, misspelt)


@pytest.mark.parametrize("name", ["..", ".", "", "../run", "c0123456789ab/evaluate-1"])
def test_a_path_is_no_candidate(trained: TrainedFolder, name: str) -> None:
    with pytest.raises(UnknownNameError):
        load_model(trained.root, name)


def test_a_folder_without_a_search_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="holds no search"):
        load_model(tmp_path, "c0123456789ab")


@pytest.mark.parametrize("name", [CHECKPOINT, CHECKPOINT_MANIFEST])
def test_a_checkpoint_that_was_not_kept_is_explained(copied: TrainedFolder, name: str) -> None:
    (_evaluation(copied) / name).unlink()
    with pytest.raises(CheckpointMissingError, match=r"artifacts\.checkpoints: all"):
        load_model(copied.root, copied.candidate)


def _journalled(copied: TrainedFolder, events: Callable[[list[Event]], list[Event]]) -> None:
    store = FolderStore(copied.root)
    found = list(read_segments(store)[0].events)
    store.delete(segment(1))
    Journal(store).append(events(found))


def test_a_candidate_that_is_not_trained_yet_is_explained(copied: TrainedFolder) -> None:
    _journalled(copied, lambda events: events[:-1])
    with pytest.raises(CheckpointMissingError, match="is not trained yet"):
        load_model(copied.root, copied.candidate)


def test_a_candidate_that_failed_is_explained(copied: TrainedFolder) -> None:
    ended = AttemptEnded(
        time=time.time(),
        task=TaskKind.EVALUATE,
        candidate=copied.candidate,
        attempt=1,
        reason=EndReason.NON_FINITE,
        message="the loss is nan",
    )
    _journalled(copied, lambda events: [*events[:-1], ended])
    with pytest.raises(CheckpointMissingError, match=r"failed \(NonFinite: the loss is nan\)"):
        load_model(copied.root, copied.candidate)


def test_a_search_that_trains_nothing_has_nothing_to_load(copied: TrainedFolder) -> None:
    def without_data(events: list[Event]) -> list[Event]:
        start, proposed = events[:2]
        assert isinstance(start, Started)
        spec = {name: value for name, value in start.spec.items() if name != "dataset"}
        return [start.model_copy(update={"spec": spec}), proposed]

    _journalled(copied, without_data)
    with pytest.raises(CheckpointMissingError, match="this search trains nothing"):
        load_model(copied.root, copied.candidate)


def test_a_torn_journal_is_named(copied: TrainedFolder) -> None:
    path = copied.root / segment(1)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(IntegrityError, match=segment(1)):
        load_model(copied.root, copied.candidate)


@pytest.mark.parametrize("name", [CHECKPOINT, CHECKPOINT_MANIFEST])
@pytest.mark.parametrize("how", ["torn", "altered", "empty"])
def test_a_damaged_object_is_named(copied: TrainedFolder, name: str, how: str) -> None:
    path = _evaluation(copied) / name
    content = path.read_bytes()
    middle = len(content) // 2
    altered = content[:middle] + bytes([content[middle] ^ 64]) + content[middle + 1 :]
    path.write_bytes({"torn": content[:middle], "altered": altered, "empty": b""}[how])
    with pytest.raises(IntegrityError, match=f"evaluate-1/{name}"):
        load_model(copied.root, copied.candidate)


def test_importing_the_package_does_not_import_torch() -> None:
    script = (
        "import sys, xnas_evaluator\n"
        "assert 'torch' not in sys.modules\n"
        # A worker needs neither the engine nor what only an explanation or an export needs.
        "import xnas_evaluator.finalise\n"
        "assert 'torch' in sys.modules\n"
        "assert not {'pymoo', 'captum', 'onnx', 'xnas_core.search.engine'} & set(sys.modules)\n"
        "assert callable(xnas_evaluator.load_model) and callable(xnas_evaluator.export_model)\n"
        "assert not {'captum', 'onnx'} & set(sys.modules)\n"
        "assert not hasattr(xnas_evaluator, 'something_else')\n"
    )
    environment = {"PYTHONPATH": ":".join(entry for entry in sys.path if entry)}
    subprocess.run([sys.executable, "-c", script], check=True, env=environment, timeout=120)
