"""`xnas validate`: every mistake of every file, for people and as JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from xnas_core.testing.command_line import xnas

GOOD = """\
apiVersion: xnas.dev/v1alpha1
kind: ArchitectureSearch
metadata: {name: good}
spec:
  searchSpace: {name: nas-bench-201}
  dataset: {name: digits}
  objectives: [{name: accuracy, direction: maximize}]
  algorithm: {populationSize: 8}
  limits: {maxEvaluations: 48}
"""


@pytest.fixture
def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "good.yaml").write_text(GOOD)
    bad = GOOD.replace("digits", "digit").replace("populationSize: 8", "populationSize: 0")
    (tmp_path / "bad.yaml").write_text(bad)
    (tmp_path / "odd.yaml").write_text(GOOD.replace("maximize", "minimize"))
    return tmp_path


def test_a_valid_file(inside: Path) -> None:
    told = xnas("validate", "good.yaml")
    assert (told.code, told.out, told.err) == (0, "good.yaml: valid\n", "")


def test_every_mistake_has_its_place(inside: Path) -> None:
    told = xnas("validate", "bad.yaml", "good.yaml", "nowhere.yaml")
    assert told.code == 2
    lines = told.out.splitlines()
    assert lines[0].startswith('bad.yaml:6:13 spec.dataset.name: there is no data set "digit"; did you mean "digits"?')
    assert lines[1].startswith("bad.yaml:8:15 spec.algorithm.populationSize: ")
    assert lines[2] == "good.yaml: valid"
    assert lines[3] == "nowhere.yaml: there is no such file"
    assert told.err == "error: 3 mistakes in 2 files\n"


def test_a_warning_leaves_it_valid(inside: Path) -> None:
    told = xnas("validate", "odd.yaml")
    assert told.code == 0
    assert "odd.yaml:7:33 warning: spec.objectives[0].direction" in told.out
    assert told.out.endswith("odd.yaml: valid\n")
    assert told.err == ""


def test_as_json(inside: Path) -> None:
    told = xnas("validate", "bad.yaml", "odd.yaml", "--json")
    assert told.code == 2
    assert told.err == ""
    document = json.loads(told.out)
    assert document["valid"] is False
    assert [(file["file"], file["valid"]) for file in document["files"]] == [("bad.yaml", False), ("odd.yaml", True)]
    first = document["files"][0]["problems"][0]
    assert (first["line"], first["column"], first["field"]) == (6, 13, "spec.dataset.name")
    assert first["suggestion"] == "digits"
    assert document["files"][1]["problems"][0]["severity"] == "warning"
    assert json.loads(xnas("validate", "good.yaml", "--json").out)["valid"] is True


def test_one_mistake_is_counted_as_one(inside: Path) -> None:
    assert xnas("validate", "nowhere.yaml").err == "error: 1 mistake in 1 file\n"
