"""`export_model`: files that other programs read, checked on real samples before they are kept."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from xnas_core.errors import IntegrityError, InvalidInputError, StoreError, UnknownNameError
from xnas_core.tasks import TaskKind
from xnas_evaluator import export, export_model
from xnas_evaluator.export import ExportMismatchError, ExportReport
from xnas_evaluator.finalise import finalise
from xnas_evaluator.loading import TrainedNetwork
from xnas_evaluator.locating import locate, validation_images
from xnas_evaluator.testing_trained import TrainedFolder, journal_result


@pytest.fixture(scope="module")
def explained(trained: TrainedFolder, tmp_path_factory: pytest.TempPathFactory) -> TrainedFolder:
    copied = replace(trained, root=tmp_path_factory.mktemp("explained") / "run")
    shutil.copytree(trained.root, copied.root)
    context = copied.context(TaskKind.EXPLAIN)
    journal_result(context, finalise(context))
    return copied


@pytest.fixture(scope="module")
def exported(explained: TrainedFolder, tmp_path_factory: pytest.TempPathFactory) -> ExportReport:
    return export_model(explained.root, explained.candidate, tmp_path_factory.mktemp("out") / "new" / "folder")


def test_both_files_are_there_and_the_report_describes_them(exported: ExportReport) -> None:
    assert [file.format for file in exported.files] == ["torch", "onnx"]
    assert exported.samples == 20
    for file in exported.files:
        content = file.path.read_bytes()
        assert (file.size, file.sha256) == (len(content), hashlib.sha256(content).hexdigest())
        assert file.max_abs_difference < 1e-4
    folder = exported.files[0].path.parent
    assert {path.name for path in folder.iterdir()} == {f"{exported.candidate_id}{e}" for e in (".pt2", ".onnx")}


@pytest.mark.parametrize("count", [1, 2, 9])
def test_onnx_gives_the_networks_scores_for_any_batch(
    exported: ExportReport, network: TrainedNetwork, count: int
) -> None:
    session = onnxruntime.InferenceSession(exported.files[1].path, providers=["CPUExecutionProvider"])
    images = torch.randn(count, 1, 8, 8)
    (scores,) = session.run(None, {"images": images.numpy()})
    torch.testing.assert_close(torch.from_numpy(scores), network(images).detach(), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("count", [1, 2, 9])
def test_torch_export_gives_the_networks_scores_for_any_batch(
    exported: ExportReport, network: TrainedNetwork, count: int
) -> None:
    program = torch.export.load(io.BytesIO(exported.files[0].path.read_bytes()))
    images = torch.randn(count, 1, 8, 8)
    torch.testing.assert_close(program.module()(images), network(images), atol=1e-5, rtol=1e-4)


def test_loading_the_torch_file_unpickles_nothing(exported: ExportReport, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("unpickled")

    content = exported.files[0].path.read_bytes()
    for module, name in ((torch, "load"), (pickle, "load"), (pickle, "loads"), (pickle, "Unpickler")):
        monkeypatch.setattr(module, name, refuse)
    torch.export.load(io.BytesIO(content))
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert not [i.filename for i in archive.infolist() if archive.read(i).startswith((b"\x80\x02", b"PK"))]


def test_class_names_and_normalisation_travel_along(exported: ExportReport, network: TrainedNetwork) -> None:
    extra = {"xnas": ""}
    torch.export.load(io.BytesIO(exported.files[0].path.read_bytes()), extra_files=extra)
    session = onnxruntime.InferenceSession(exported.files[1].path, providers=["CPUExecutionProvider"])
    onnx = session.get_modelmeta().custom_metadata_map["xnas"]
    assert extra["xnas"] == onnx
    document = json.loads(onnx)
    assert document["classes"] == list(network.classes)
    assert document["normalisation"]["mean"] == pytest.approx(network.mean.flatten().tolist())


def test_a_wrong_file_is_not_left_behind(
    explained: TrainedFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ending, convert, run = export._FORMATS["torch"]

    def wrong(network: nn.Module, images: Tensor, metadata: str) -> bytes:
        with torch.no_grad():
            next(network.parameters()).add_(0.1)
        try:
            return convert(network, images, metadata)
        finally:
            with torch.no_grad():
                next(network.parameters()).sub_(0.1)

    monkeypatch.setitem(export._FORMATS, "torch", (ending, wrong, run))
    with pytest.raises(ExportMismatchError, match="other class scores"):
        export_model(explained.root, explained.candidate, tmp_path, ["torch"])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_scores_that_are_not_numbers_are_a_mismatch(
    explained: TrainedFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: float
) -> None:
    def run(_: bytes, images: Tensor) -> Any:
        return torch.full((len(images), 10), value).numpy()

    monkeypatch.setitem(export._FORMATS, "torch", (".pt2", lambda *_: b"", run))
    with pytest.raises(ExportMismatchError):
        export_model(explained.root, explained.candidate, tmp_path, ["torch"])


def test_what_can_not_be_exported_is_refused(explained: TrainedFolder, tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="export format 'tflite'"):
        export_model(explained.root, explained.candidate, tmp_path, ["tflite"])
    with pytest.raises(InvalidInputError, match="no export format"):
        export_model(explained.root, explained.candidate, tmp_path, [])
    with pytest.raises(UnknownNameError, match="candidate"):
        export_model(explained.root, "c000000000000", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_destination_that_is_a_file_is_named(
    explained: TrainedFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(StoreError, match="choose another destination"):
        export_model(explained.root, explained.candidate, blocked, ["torch"])


def test_without_stored_samples_the_data_set_is_asked(
    explained: TrainedFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XNAS_CACHE", str(tmp_path / "cache"))
    copied = replace(explained, root=tmp_path / "run")
    shutil.copytree(explained.root, copied.root, ignore=shutil.ignore_patterns("explanations"))
    images = validation_images(locate(copied.root, copied.candidate))
    assert (images.dtype, tuple(images.shape)) == (torch.uint8, (64, 1, 8, 8))
    stored = validation_images(locate(explained.root, explained.candidate))
    assert tuple(stored.shape) == (20, 1, 8, 8)


def test_an_altered_explanation_is_not_checked_on(explained: TrainedFolder, tmp_path: Path) -> None:
    copied = replace(explained, root=tmp_path / "run")
    shutil.copytree(explained.root, copied.root)
    path = next(copied.root.glob("candidates/*/explain-1/explanations/integratedGradients.safetensors"))
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(IntegrityError, match=r"explanations/integratedGradients\.safetensors was altered"):
        export_model(copied.root, copied.candidate, tmp_path / "out")
    assert not (tmp_path / "out").exists()
