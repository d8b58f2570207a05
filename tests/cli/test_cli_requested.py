"""`xnas explain`, `xnas refine` and `xnas retry` on an output folder, with the real evaluator."""

from __future__ import annotations

import csv
import json
import time
from pathlib import Path

import pytest

from xnas_core.api import load_search
from xnas_core.cli import exit_codes
from xnas_core.journal import Journal
from xnas_core.local import RunOptions, open_search
from xnas_core.local.folder import OutputFolder
from xnas_core.local.runner import run_search
from xnas_core.search.events import AttemptEnded, TaskRequested
from xnas_core.search.recovery import recover
from xnas_core.search.view import CandidateState, TaskState
from xnas_core.tasks import EndReason, TaskKind
from xnas_core.testing.command_line import xnas
from xnas_core.testing.growing_search import GrowingSearch
from xnas_evaluator.explain.stored import read
from xnas_evaluator.testing_trained import TrainedFolder, trained_folder

OPERATIONS = ("nor_conv_3x3", "nor_conv_1x1", "avg_pool_3x3", "none", "skip_connect")
TABULAR = """
apiVersion: xnas.dev/v1alpha1
kind: ArchitectureSearch
metadata: {name: table}
spec:
  searchSpace: {name: nas-bench-201}
  benchmark: {table: table.csv}
  objectives: [{name: error, direction: minimize}, {name: size, direction: minimize}]
  algorithm: {populationSize: 10}
  limits: {maxEvaluations: 20}
"""


class Silent:
    def on_started(self, *_: object) -> None: ...
    def on_progress(self, *_: object) -> None: ...
    def on_message(self, *_: object) -> None: ...


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> TrainedFolder:
    return trained_folder(tmp_path_factory.mktemp("asked") / "run", epochs=1)


def test_refine_shows_before_and_after_and_explain_comes_on_top(trained: TrainedFolder) -> None:
    told = xnas(
        "refine", trained.root, trained.candidate[:6], "--separate", "3,8", "--epochs", "1", "--learning-rate", "0.01",
        "--json",
    )  # fmt: skip
    assert told.code == exit_codes.OK, told.err
    answer = json.loads(told.out)
    document = answer["refinement"]
    assert (answer["candidate"], document["epochs"]) == (trained.candidate, 1)
    assert document["before"]["accuracy"] == pytest.approx(trained.result.metrics["accuracy"])
    (pair,) = document["pairs"]
    assert (pair["first"], pair["second"], pair["weight"]) == (3, 8, 25.0)

    told = xnas(
        "explain", trained.root, trained.candidate, "--method", "gradCam", "--samples-per-class", "1",
        "--set", "gradCam.preferredSide=8", "--set", "gradCam.layer=stage1",
    )  # fmt: skip
    assert told.code == exit_codes.OK, told.err
    assert "explain-1/explanations/gradCam.png" in told.out
    (stored,) = trained.root.glob("candidates/*/explain-1/explanations/gradCam.safetensors")
    said = read(stored.read_bytes())[1]["parameters"]
    assert said["layer"].startswith("stage1.")
    assert said["layerSide"] >= 8

    view = open_search(trained.root)
    (record,) = view.candidates
    assert record.metrics["accuracy"] == trained.result.metrics["accuracy"]
    assert record.metrics["refined_accuracy"] == document["after"]["accuracy"]
    assert record.tasks == dict.fromkeys((TaskKind.EVALUATE, TaskKind.EXPLAIN, TaskKind.REFINE), TaskState.SUCCEEDED)
    assert view.state.value == "Suspended", "a search that had not ended stays where it is"
    with (trained.root / "front.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert float(row["refined_accuracy"]) == record.metrics["refined_accuracy"]


def test_what_cannot_be_done_is_said_before_anything_starts(trained: TrainedFolder, tmp_path: Path) -> None:
    segments = sorted((trained.root / "journal").iterdir())
    wrong: list[tuple[list[str | Path], str]] = [
        (["refine", trained.root, "c", "--separate", "3,cat"], 'no class "cat"'),
        (["refine", trained.root, "c", "--separate", "3"], "does not name two classes"),
        (["refine", trained.root, "c", "--separate", "3,3"], "two classes, not"),
        (["explain", trained.root, "c", "--method", "nothing"], 'no explainer "nothing"'),
        (["explain", trained.root, "c", "--set", "steps=3"], "write NAME.PARAMETER=VALUE"),
        (["explain", trained.root, "c", "--set", "gradCam.preferredSide=1"], "must be a whole number 2 to 1,024"),
        (["explain", trained.root, "c", "--set", "gradCam.layers=stage1"], "did you mean 'layer'"),
        (["explain", trained.root, "c", "--set", "occlusion.window=2"], "occlusion, which is not asked for"),
        (["explain", trained.root, "cfff"], "has no candidate 'cfff'"),
        (["explain", tmp_path, "c"], "holds no search"),
        (["explain", "s3://bucket/searches/x", "c"], "where nothing runs"),
        (["retry", trained.root, "c"], "was scored"),
    ]
    for arguments, said in wrong:
        told = xnas(*arguments)
        assert told.code == exit_codes.BAD_INPUT, (arguments, told.out, told.err)
        assert said in told.err, (arguments, told.err)
    assert sorted((trained.root / "journal").iterdir()) == segments


def test_a_run_that_holds_the_folder_is_left_alone(trained: TrainedFolder) -> None:
    with OutputFolder(trained.root).locked():
        told = xnas("explain", trained.root, trained.candidate)
    assert told.code == exit_codes.BAD_INPUT
    assert "in use by another run" in told.err
    assert "asked for when it has ended" in told.err


def _table(file: Path, *, whole: bool) -> None:
    with file.open("w", newline="") as opened:
        writer = csv.writer(opened)
        writer.writerow(["arch", "error", "size"])
        for index in range(5**6):
            genes = [index // 5**place % 5 for place in range(6)]
            a, b, c, d, e, f = (OPERATIONS[gene] for gene in genes)
            # The best of all lie in the part that is missing.
            if whole or genes[0] != 2:
                error = sum(genes) + (0 if genes[0] == 2 else 50)
                writer.writerow([f"|{a}~0|+|{b}~0|{c}~1|+|{d}~0|{e}~1|{f}~2|", error, genes.count(0)])


def test_a_candidate_that_failed_is_retried_and_joins_the_front(tmp_path: Path) -> None:
    file, output = tmp_path / "search.yaml", tmp_path / "out"
    file.write_text(TABULAR)
    _table(tmp_path / "table.csv", whole=False)
    outcome = run_search(load_search(file), file, output, RunOptions(slots=2), Silent())
    failed = next(c for c in outcome.view.candidates if c.state is CandidateState.FAILED)
    _table(tmp_path / "table.csv", whole=True)
    told = xnas("retry", output, failed.id)
    assert told.code == exit_codes.OK, told.err
    assert "it is on the front" in told.out
    view = open_search(output)
    assert view.state.value == "Complete"
    assert next(c for c in view.candidates if c.id == failed.id).on_front
    assert [c.id for c in view.candidates] == [c.id for c in outcome.view.candidates]
    assert failed.id in (output / "front.csv").read_text()


def test_a_run_does_what_was_asked_for_and_not_done(tmp_path: Path) -> None:
    """As after a Ctrl-C during `xnas retry`: the search had ended, the task is open."""
    file, output = tmp_path / "search.yaml", tmp_path / "out"
    file.write_text(TABULAR)
    _table(tmp_path / "table.csv", whole=False)
    outcome = run_search(load_search(file), file, output, RunOptions(slots=2), Silent())
    failed = next(c for c in outcome.view.candidates if c.state is CandidateState.FAILED)
    _table(tmp_path / "table.csv", whole=True)
    _, journal = recover(OutputFolder(output).store)
    journal.append([TaskRequested(time=time.time(), task=TaskKind.EVALUATE, candidate=failed.id, parameters={})])
    again = run_search(load_search(file), file, output, RunOptions(slots=2), Silent())
    assert (again.state, again.reason) == (outcome.state, outcome.reason)
    assert next(c for c in again.view.candidates if c.id == failed.id).state is CandidateState.SUCCEEDED


def test_a_retry_of_a_search_that_goes_on_is_written_down_for_later(tmp_path: Path) -> None:
    folder = OutputFolder(tmp_path / "out")
    growing = GrowingSearch(folder.claim("digits").search_id)
    (candidate,) = growing.start(1)
    for attempt in range(1, 5):
        growing.start(0 if attempt == 1 else 1)
        ended = AttemptEnded(
            time=growing.events[-1].time, task=TaskKind.EVALUATE, candidate=candidate, attempt=attempt,
            reason=EndReason.WORKER_CRASHED, message="a segmentation fault",
        )  # fmt: skip
        growing.events.append(ended)
        growing.engine.handle(ended)
    Journal(folder.store).append(growing.events)
    told = xnas("retry", folder.path, candidate)
    assert told.code == exit_codes.OK, told.err
    assert "after the search's last evaluation" in told.out
    (record,) = [c for c in open_search(folder.path).candidates if c.id == candidate]
    assert (record.state, record.tasks[TaskKind.EVALUATE]) == (CandidateState.FAILED, TaskState.OPEN)
