"""`run_search` with real parts: the real agent and worker processes over a real Unix socket, the real journal."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pyarrow.parquet as pq
import pytest

from xnas_core.api import load_search
from xnas_core.errors import InvalidInputError, StoreError
from xnas_core.local import RunOptions, open_search
from xnas_core.local.contract import Level, RunOutcome, RunProgress, RunStarted
from xnas_core.local.folder import OutputFolder
from xnas_core.local.runner import run_search
from xnas_core.search.view import CandidateState, SearchView

OPERATIONS = ("nor_conv_3x3", "nor_conv_1x1", "avg_pool_3x3", "none", "skip_connect")

SEARCH = """
apiVersion: xnas.dev/v1alpha1
kind: ArchitectureSearch
metadata: {name: table}
spec:
  seed: 3
  searchSpace: {name: nas-bench-201}
  benchmark: {table: table.csv, key: arch}
  objectives:
    - {name: error, direction: minimize}
    - {name: size, direction: minimize}
  algorithm: {populationSize: 10}
  limits: {maxEvaluations: 60}
"""

TRAINING = """
apiVersion: xnas.dev/v1alpha1
kind: ArchitectureSearch
metadata: {name: training}
spec:
  searchSpace: {name: nas-bench-201, parameters: {cellsPerStage: 1, channels: 4}}
  dataset: {source: {npz: data.npz}, validationFraction: 0.2}
  training: {epochs: 1, batchSize: 32, threads: 1}
  objectives:
    - {name: accuracy, direction: maximize}
    - {name: parameters, direction: minimize}
  algorithm: {populationSize: 4}
  limits: {maxEvaluations: 6}
  explanations: {scope: none}
"""


class Observer:
    def __init__(self) -> None:
        self.started: list[RunStarted] = []
        self.progress: list[RunProgress] = []
        self.messages: list[str] = []

    def on_started(self, started: RunStarted) -> None:
        self.started.append(started)

    def on_progress(self, progress: RunProgress) -> None:
        self.progress.append(progress)

    def on_message(self, level: Level, text: str) -> None:
        self.messages.append(f"{level}: {text}")


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("table")
    with (folder / "table.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["arch", "error", "size"])
        for index in range(5**6):
            genes = [index // 5**place % 5 for place in range(6)]
            a, b, c, d, e, f = (OPERATIONS[gene] for gene in genes)
            error = sum((gene - 2) ** 2 * (place + 1) for place, gene in enumerate(genes)) / 10
            writer.writerow([f"|{a}~0|+|{b}~0|{c}~1|+|{d}~0|{e}~1|{f}~2|", error, genes.count(0) + genes[0]])
    (folder / "search.yaml").write_text(SEARCH)
    return folder


def _run(file: Path, output: Path, observer: Observer | None = None) -> RunOutcome:
    return run_search(load_search(file), file, output, RunOptions(slots=2), observer or Observer())


def _facts(view: SearchView) -> list[tuple[object, ...]]:
    return [(c.id, c.number, c.parents, c.state, dict(c.metrics)) for c in view.candidates]


@pytest.fixture(scope="module")
def undisturbed(table: Path) -> Path:
    output = table / "undisturbed"
    outcome = _run(table / "search.yaml", output)
    assert (outcome.state, outcome.reason) == ("Complete", "MaxEvaluations")
    return output


def test_a_tabular_search_runs_to_its_end_and_leaves_tables_and_report(undisturbed: Path) -> None:
    view = open_search(undisturbed)
    assert len(view.candidates) == 60
    rows = pq.read_table(undisturbed / "candidates.parquet").to_pylist()
    assert [row["id"] for row in rows] == [c.id for c in view.candidates]
    with (undisturbed / "front.csv").open() as file:
        assert [row["id"] for row in csv.DictReader(file)] == list(view.front)
    assert (undisturbed / "report.html").stat().st_size > 10_000


def test_a_run_killed_at_any_moment_goes_on_to_the_same_end(table: Path, undisturbed: Path) -> None:
    output = table / "killed"
    for seconds in (1.2, 1.6, 2.0):
        process = subprocess.Popen(
            [sys.executable, "-m", "xnas_core.cli", "run", str(table / "search.yaml"), "--output", str(output)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            time.sleep(seconds)
        finally:
            process.kill()
            process.wait(30)
    outcome = _run(table / "search.yaml", output)
    assert outcome.state == "Complete"
    assert _facts(open_search(output)) == _facts(open_search(undisturbed))
    assert open_search(output).front == open_search(undisturbed).front


def test_an_interrupt_stops_cleanly_and_the_same_command_goes_on(table: Path, undisturbed: Path) -> None:
    output = table / "interrupted"
    command = [sys.executable, "-m", "xnas_core.cli", "run", str(table / "search.yaml"), "--output", str(output)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not list(output.glob("journal/*.json")) and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    if process.returncode == 130:
        assert "xnas run" in said
    assert process.returncode in (0, 130), said
    assert "Traceback" not in said
    assert "Event loop is closed" not in said
    assert _run(table / "search.yaml", output).state == "Complete"
    assert _facts(open_search(output)) == _facts(open_search(undisturbed))


def test_a_finished_search_is_not_run_again(table: Path, undisturbed: Path) -> None:
    before = sorted(path.name for path in (undisturbed / "journal").iterdir())
    assert _run(table / "search.yaml", undisturbed).state == "Complete"
    assert sorted(path.name for path in (undisturbed / "journal").iterdir()) == before


def test_raised_limits_take_effect_and_other_changes_are_refused_by_name(table: Path) -> None:
    output = table / "changed"
    short = table / "short.yaml"
    short.write_text(SEARCH.replace("maxEvaluations: 60", "maxEvaluations: 25"))
    assert _run(short, output).state == "Complete"
    assert len(open_search(output).candidates) == 25
    short.write_text(SEARCH.replace("seed: 3", "seed: 4"))
    with pytest.raises(InvalidInputError, match="seed"):
        _run(short, output)
    observer = Observer()
    assert _run(table / "search.yaml", output, observer).state == "Complete"
    assert observer.started[0].changed
    assert len(open_search(output).candidates) == 60


def test_a_graph_only_search_needs_no_evaluator(tmp_path: Path) -> None:
    file = tmp_path / "graph.yaml"
    file.write_text(
        """
apiVersion: xnas.dev/v1alpha1
kind: ArchitectureSearch
metadata: {name: graph}
spec:
  searchSpace: {name: mobile}
  objectives: [{name: parameters, direction: maximize}, {name: macs, direction: minimize}]
  limits: {maxEvaluations: 200}
"""
    )
    observer = Observer()
    assert _run(file, tmp_path / "out", observer).state == "Complete"
    assert observer.started[0].socket is None
    assert len(open_search(tmp_path / "out").candidates) == 200


def test_a_killed_evaluator_is_replaced_and_nothing_is_lost(tmp_path: Path, table: Path, undisturbed: Path) -> None:
    class Killer(Observer):
        killed = False

        def on_progress(self, progress: RunProgress) -> None:
            if not self.killed and progress.succeeded >= 5:
                self.killed = True
                children = subprocess.run(
                    ["ps", "-o", "pid=,args=", "--ppid", str(os.getpid())], capture_output=True, text=True, check=True
                ).stdout
                agents = [line.split()[0] for line in children.splitlines() if "xnas_evaluator.agent" in line]
                for pid in agents:
                    os.kill(int(pid), signal.SIGKILL)

    killer = Killer()
    output = tmp_path / "out"
    run_search(load_search(table / "search.yaml"), table / "search.yaml", output, RunOptions(slots=2), killer)
    assert killer.killed
    assert _facts(open_search(output)) == _facts(open_search(undisturbed))


def test_a_run_that_cannot_store_results_stops_and_goes_on_once_it_can(table: Path, undisturbed: Path) -> None:
    output = table / "refused"
    OutputFolder(output).claim("table")
    # In place of a full disk, where the journal's small segments may still find room.
    (output / "candidates").write_text("in the way")
    with pytest.raises(StoreError, match="a file is in the way"):
        _run(table / "search.yaml", output)
    assert sum(len(c.history) for c in open_search(output).candidates) < 10
    (output / "candidates").unlink()
    assert _run(table / "search.yaml", output).state == "Complete"
    assert _facts(open_search(output)) == _facts(open_search(undisturbed))


def _write_images(file: Path, first_pixel: int) -> None:
    images = np.random.default_rng(0).integers(0, 255, (120, 8, 8), dtype=np.uint8)
    images[0, 0, 0] = first_pixel
    np.savez(file, x_train=images, y_train=np.arange(120) % 2)


class Spoiler(Observer):
    """Changes the data set once so many evaluations have succeeded, and kills the workers, which know the old one."""

    def __init__(self, change: Callable[[], None], after: int) -> None:
        super().__init__()
        self._change, self._after = change, after

    def on_progress(self, progress: RunProgress) -> None:
        super().on_progress(progress)
        if progress.succeeded >= self._after:
            self._after = 1_000_000
            self._change()
            for child in psutil.Process().children(recursive=True):
                if "xnas_evaluator.worker" in child.cmdline():
                    child.kill()


def test_data_that_changed_are_refused_and_cost_no_candidate(tmp_path: Path) -> None:
    file, output, data = tmp_path / "search.yaml", tmp_path / "out", tmp_path / "data.npz"
    _write_images(data, 1)
    file.write_text(TRAINING)
    with pytest.raises(InvalidInputError, match=r"the data set '.*data.npz' is not the one"):
        _run(file, output, Spoiler(lambda: _write_images(data, 2), 2))
    with pytest.raises(InvalidInputError, match="the data set is not the one that this search was started with"):
        _run(file, output)
    _write_images(data, 1)
    outcome = _run(file, output)
    assert outcome.state == "Complete"
    assert [candidate.state for candidate in outcome.view.candidates] == [CandidateState.SUCCEEDED] * 6


def test_a_device_that_is_not_there_is_said_and_costs_no_candidate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    file, output = tmp_path / "search.yaml", tmp_path / "out"
    file.write_text(TRAINING)
    _write_images(tmp_path / "data.npz", 1)
    with pytest.raises(InvalidInputError, match="there is no CUDA device here"):
        run_search(load_search(file), file, output, RunOptions(slots=2, device="cuda"), Observer())
    outcome = _run(file, output)
    assert [candidate.state for candidate in outcome.view.candidates] == [CandidateState.SUCCEEDED] * 6


def test_no_search_in_the_folder(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="holds no search"):
        open_search(tmp_path)


def test_a_suspended_search_starts_nothing_and_ends_the_run_until_it_is_resumed(table: Path, tmp_path: Path) -> None:
    file = table / "suspended.yaml"
    file.write_text(SEARCH + "  suspend: true\n")
    outcome = _run(file, tmp_path / "out")
    assert outcome.state == "Stopped"
    assert "suspended" in outcome.message
    assert not open_search(tmp_path / "out").candidates
    file.write_text(SEARCH)
    assert _run(file, tmp_path / "out").state == "Complete"
    assert len(open_search(tmp_path / "out").candidates) == 60
