"""`xnas plan`: the space, the data, the cost of an evaluation here, the whole search."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xnas_core.api import ArchitectureSearchSpec, load_search
from xnas_core.cli import planning
from xnas_core.cli.planning import disk_estimate, evaluation_limit, front_guess
from xnas_core.spaces.base import DataShape
from xnas_core.testing.command_line import xnas

HEAD = """
apiVersion: xnas.dev/v1alpha1
kind: ArchitectureSearch
metadata: {name: planned}
spec:
"""
LINES = """
  searchSpace: {name: nas-bench-201, parameters: {cellsPerStage: 1, channels: 2}}
  dataset: {name: lines}
  training: {epochs: 2, batchSize: 64, threads: 1}
  objectives:
    - {name: accuracy, direction: maximize}
    - {name: introspectability, direction: maximize}
  algorithm: {populationSize: 4}
  limits: {maxEvaluations: 12}
  evaluators: {slotsPerEvaluator: 2}
  explanations: {methods: [saliency], samplesPerClass: 1}
"""
ANSWER = {
    "device": "cpu",
    "threads": 1,
    "startSeconds": 4.0,
    "networks": {
        size: {
            "trainSeconds": 10.0 * factor,
            "metricsSeconds": 1.0 * factor,
            "explainSeconds": 2.0 * factor,
            "memoryBytes": 500_000_000 * factor,
            "deviceMemoryBytes": None,
        }
        for factor, size in enumerate(("smallest", "median", "largest"), start=1)
    },
}
CELL = "|nor_conv_3x3~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|"
SHAPE = DataShape(1, 12, 12, 4)


def _file(folder: Path, spec: str) -> Path:
    file = folder / "search.yaml"
    file.write_text(HEAD + spec)
    return file


@pytest.fixture
def lines(tmp_path: Path) -> Path:
    return _file(tmp_path, LINES)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, object]]:
    questions: list[dict[str, object]] = []

    def answer(module: str, question: dict[str, object]) -> dict[str, object]:
        assert module == "xnas_evaluator.measure"
        questions.append(question)
        return ANSWER

    monkeypatch.setattr(planning, "ask_evaluator", answer)
    return questions


def test_the_whole_search_follows_from_the_cost_of_one(lines: Path, asked: list[dict[str, object]]) -> None:
    document = json.loads(xnas("plan", lines, "--json").out)
    # Start, then 12 evaluations of 22 s and 3 explanations of 4 s, two at a time.
    assert document["searchSeconds"] == 4 + (12 * 22 + 3 * 4) / 2
    assert document["searchSecondsIfAllLargest"] == 4 + (12 * 33 + 3 * 6) / 2
    assert document["space"] == {
        "name": "nas-bench-201", "encodings": 15625, "networks": 5259, "connectedShare": pytest.approx(0.98, abs=0.02),
        "exhaustive": True,
    }  # fmt: skip
    networks = document["networks"]
    assert networks["smallest"]["macs"] < networks["median"]["macs"] < networks["largest"]["macs"]
    assert networks["largest"]["evaluation"]["memoryBytes"] == 1_500_000_000
    assert document["data"]["classes"] == ["none", "horizontal", "vertical", "diagonal"]
    assert asked[0]["slots"] == 2
    assert json.loads(xnas("plan", lines, "--slots", "1", "--json").out)["searchSeconds"] == 4 + 12 * 22 + 3 * 4


def test_training_the_front_again_is_counted(tmp_path: Path, asked: list[dict[str, object]]) -> None:
    file = _file(tmp_path, LINES + "  confirmation: {seeds: 2}\n")
    document = json.loads(xnas("plan", file, "--json").out)
    # The front of three once more with either seed.
    assert document["confirmingTrainings"] == 6
    assert document["searchSeconds"] == 4 + ((12 + 6) * 22 + 3 * 4) / 2
    flat = " ".join(xnas("plan", file, columns=100).out.split())
    assert "about 6 more trainings: the final front again, with 2 other seeds" in flat
    endless = _file(
        tmp_path, LINES.replace("maxEvaluations: 12", "activeDeadlineSeconds: 60") + "  confirmation: {seeds: 1}\n"
    )
    flat = " ".join(xnas("plan", endless, columns=100).out.split())
    assert "more trainings: the final front again, with 1 other seed" in flat
    assert json.loads(xnas("plan", endless, "--json").out)["confirmingTrainings"] is None


def test_without_confirmation_nothing_is_said_of_it(lines: Path, asked: list[dict[str, object]]) -> None:
    assert json.loads(xnas("plan", lines, "--json").out)["confirmingTrainings"] == 0
    assert "confirmation" not in xnas("plan", lines).out


@pytest.mark.parametrize("columns", [40, 100])
def test_as_text(lines: Path, asked: list[dict[str, object]], columns: int) -> None:
    told = xnas("plan", lines, columns=columns)
    assert told.code == 0, told.err
    assert asked
    assert max(map(len, told.out.splitlines())) <= columns
    flat = " ".join(told.out.split())
    assert "15 625 encodings, 5259 different connected networks" in flat
    assert "4 classes" in flat
    assert "1 GB" in flat
    assert "about 2 min 22 s" in flat
    assert "at most 12, 2 at a time" in flat


def test_without_measuring_nothing_is_asked(lines: Path, asked: list[dict[str, object]]) -> None:
    document = json.loads(xnas("plan", lines, "--no-measure", "--json").out)
    assert asked == []
    assert document["searchSeconds"] is None
    assert "not measured" in xnas("plan", lines, "--no-measure").out


def test_nothing_is_measured_where_nothing_is_trained(tmp_path: Path, asked: list[dict[str, object]]) -> None:
    spec = """
  searchSpace: {name: mobile, parameters: {stages: 5}}
  objectives: [{name: macs, direction: minimize}]
  limits: {maxEvaluations: 12, activeDeadlineSeconds: 7200}
"""
    told = xnas("plan", _file(tmp_path, spec))
    assert told.code == 0
    assert asked == []
    assert "seconds to minutes: nothing is trained" in told.out
    assert "none: objectives come from the graph" in told.out
    assert "2 h" in told.out


@pytest.mark.slow
def test_measured_for_real(lines: Path) -> None:
    told = xnas("plan", lines, "--json")
    assert told.code == 0, told.err
    document = json.loads(told.out)
    assert document["measuredOn"] == {"device": "cpu", "threads": 1}
    for network in document["networks"].values():
        cost = network["evaluation"]
        assert cost["trainSeconds"] > 0
        assert cost["metricsSeconds"] > 0
        assert cost["explainSeconds"] > 0
        assert 50e6 < cost["memoryBytes"] < 5e9
        assert cost["deviceMemoryBytes"] is None
    assert document["searchSeconds"] > 0


def test_data_that_are_not_there_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XNAS_SYSTEM_ROOT", str(tmp_path))
    monkeypatch.delenv("XNAS_DATA", raising=False)
    told = xnas("plan", _file(tmp_path, LINES.replace("lines", "fashion-mnist")))
    assert told.code == 2
    assert "'fashion-mnist' is not on this machine" in told.err


@pytest.mark.parametrize(
    ("limits", "networks", "expected"),
    [
        ("{maxEvaluations: 100}", None, 100),
        ("{maxGenerations: 3}", None, 192),
        ("{maxEvaluations: 100, maxGenerations: 1}", None, 64),
        ("{maxEvaluations: 10000}", 5259, 5259),
        ("{activeDeadlineSeconds: 60}", 5259, None),
    ],
)
def test_how_many_evaluations(limits: str, networks: int | None, expected: int | None, tmp_path: Path) -> None:
    assert evaluation_limit(_spec(tmp_path, limits), networks) == expected


def test_disk_use_grows_with_what_is_kept(tmp_path: Path) -> None:
    spec = _spec(tmp_path, "{maxEvaluations: 100}")
    front = disk_estimate(spec, SHAPE, 100_000, 100)
    every = disk_estimate(
        _spec(tmp_path, "{maxEvaluations: 100}\n  artifacts: {checkpoints: all}"), SHAPE, 100_000, 100
    )
    assert front is not None
    assert every is not None
    assert every - front == (100 - front_guess(100, 2)) * 400_000
    assert disk_estimate(spec, SHAPE, 100_000, None) is None


@pytest.mark.parametrize(("source", "measured"), [("benchmark: {table: t.csv, key: arch}", 19e6), ("", 2.2e6)])
def test_disk_use_without_training_is_what_was_measured(source: str, measured: float, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(f"arch,parameters,macs\n{CELL},1,2\n")
    evaluations = 1_000 if source else 2_000
    spec = f"""  searchSpace: {{name: nas-bench-201}}
  {source}
  objectives: [{{name: parameters, direction: minimize}}, {{name: macs, direction: minimize}}]
  limits: {{maxEvaluations: {evaluations}}}
"""
    told = disk_estimate(load_search(_file(tmp_path, spec)).spec, SHAPE, 100_000, evaluations)
    assert told == pytest.approx(measured, rel=0.25)


@given(evaluations=st.integers(1, 10**7), objectives=st.integers(1, 8))
def test_a_guessed_front_is_possible(evaluations: int, objectives: int) -> None:
    assert 1 <= front_guess(evaluations, objectives) <= evaluations


def _spec(folder: Path, limits: str) -> ArchitectureSearchSpec:
    text = LINES.replace("{populationSize: 4}", "{populationSize: 64}").replace("{maxEvaluations: 12}", limits)
    return load_search(_file(folder, text)).spec
