"""`xnas export`: what is asked of the evaluator's side, and how its answer is shown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from xnas_core.errors import InvalidInputError
from xnas_core.testing.command_line import xnas
from xnas_core.testing.sample_search import sample_search

FILE = {"format": "onnx", "path": "/m/c.onnx", "size": 123_456, "sha256": "0" * 64, "maxAbsDifference": 2.5e-6}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    questions: list[tuple[str, dict[str, Any]]] = []

    def ask(module: str, question: dict[str, Any]) -> dict[str, Any]:
        questions.append((module, question))
        if question["formats"] == ["torch"]:
            raise InvalidInputError("its checkpoint was not kept")
        return {"candidate": question["candidate"], "samples": 20, "files": [FILE]}

    monkeypatch.setattr("xnas_core.local.describe.ask_evaluator", ask)
    return questions


def test_both_formats_below_the_output_folder(
    asked: list[tuple[str, dict[str, Any]]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    view = sample_search(30).view
    monkeypatch.setattr("xnas_core.local.open_search", lambda _folder: view)
    told = xnas("export", tmp_path, view.front[0][:9])
    assert told.code == 0
    assert told.out == "/m/c.onnx  123 kB, largest difference 2.5e-06\nchecked on 20 validation images\n"
    expected = {
        "folder": str(tmp_path), "candidate": view.front[0], "destination": str(tmp_path / "exports"),
        "formats": ["torch", "onnx"],
    }  # fmt: skip
    assert asked == [("xnas_evaluator.export_cli", expected)]
    told = xnas("export", tmp_path, view.front[0], "--format", "onnx", "--destination", tmp_path / "m", "--json")
    assert json.loads(told.out)["files"] == [FILE]
    assert asked[1][1]["destination"] == str(tmp_path / "m")
    told = xnas("export", tmp_path, view.front[0], "--format", "torch")
    assert (told.code, told.err) == (2, "error: its checkpoint was not kept\n")
