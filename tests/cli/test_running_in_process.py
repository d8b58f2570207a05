"""`xnas run` with the run itself replaced: what each outcome says, and its exit code."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from xnas_core.api import ArchitectureSearch
from xnas_core.cli import running
from xnas_core.local import RunObserver, RunOptions, RunOutcome
from xnas_core.local.contract import RunStarted
from xnas_core.search.view import SearchState, SearchView
from xnas_core.testing.command_line import Told, xnas
from xnas_core.testing.sample_search import sample_search

SEARCH = """
apiVersion: xnas.dev/v1alpha1
kind: ArchitectureSearch
metadata: {name: sample}
spec:
  searchSpace: {name: mobile}
  objectives: [{name: macs, direction: minimize}]
  algorithm: {populationSize: 8}
  limits: {maxEvaluations: 48}
"""


class FakeRun:
    """Stands in for `run_search`."""

    def __init__(self, outcome: RunOutcome) -> None:
        self.outcome = outcome
        self.options: RunOptions | None = None

    def run(
        self, search: ArchitectureSearch, source: Path, output: Path, options: RunOptions, observer: RunObserver
    ) -> RunOutcome:
        assert search.metadata.name == "sample"
        assert source.name == "search.yaml"
        self.options = options
        output.mkdir(exist_ok=True)
        listening = ("127.0.0.1:7", "t" * 20) if options.listen else (None, None)
        observer.on_started(RunStarted("sample", "id", False, 0, 48, (), None, *listening))
        observer.on_message("info", "something to know")
        return self.outcome


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "search.yaml").write_text(SEARCH)
    return tmp_path


def _run(
    folder: Path, monkeypatch: pytest.MonkeyPatch, view: SearchView, state: str, *options: str
) -> tuple[Told, FakeRun]:
    outcome = RunOutcome("Complete", "Why", "a sentence", folder / "out", view, folder / "out" / "report.html")
    fake = FakeRun(replace(outcome, state=state))  # type: ignore[arg-type]  # a state's name
    monkeypatch.setattr(running, "run_search", fake.run)
    return xnas("run", folder / "search.yaml", "-o", folder / "out", *options), fake


def test_complete(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    view = sample_search(60).view
    told, fake = _run(folder, monkeypatch, view, "Complete")
    assert told.code == 0
    assert fake.options == RunOptions()
    assert f"xnas export {folder / 'out'} {view.front[0]}" in told.out
    assert "something to know" in told.err


def test_a_long_front_is_cut_at_the_end_of_a_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    view = sample_search(60).view
    view = replace(view, front=tuple(c.id for c in view.candidates))
    told, _ = _run(folder, monkeypatch, view, "Complete")
    assert sum(c.id in told.out for c in view.candidates) == running.SHOWN_MEMBERS
    assert "and 40 more: `xnas front` lists all" in told.out


def test_stopped(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    view = sample_search(60, state=SearchState.RUNNING).view
    options = ("--slots", "2", "--device", "cpu", "--listen", "127.0.0.1:7")
    told, fake = _run(folder, monkeypatch, view, "Stopped", *options)
    assert told.code == 130
    assert fake.options == RunOptions(slots=2, device="cpu", listen="127.0.0.1:7")
    assert told.out.startswith("sample: not finished yet · 57 of 60 evaluations")
    assert told.err.splitlines()[-1].strip() == (
        f"xnas run {folder / 'search.yaml'} --output {folder / 'out'} --slots 2 --device cpu --listen 127.0.0.1:7"
    )
    assert "xnas evaluator --connect 127.0.0.1:7 --token-file" in told.err
    # Evaluators wait for the next run, which knows them by the same token; the search's end takes it away.
    token = (folder / "out" / ".evaluator-token").read_text().strip()
    _, fake = _run(folder, monkeypatch, view, "Complete", *options)
    assert fake.options == RunOptions(slots=2, device="cpu", listen="127.0.0.1:7", token=token)
    assert not (folder / "out" / ".evaluator-token").exists()


def test_a_stopped_run_says_the_users_own_token_file_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "token").write_text("0123456789abcdef")
    view = sample_search(60, state=SearchState.RUNNING).view
    options = ("--listen", "127.0.0.1:7", "--token-file", str(folder / "token"))
    told, fake = _run(folder, monkeypatch, view, "Stopped", *options)
    assert fake.options == RunOptions(listen="127.0.0.1:7", token="0123456789abcdef")
    assert told.err.splitlines()[-1].endswith(f"--listen 127.0.0.1:7 --token-file {folder / 'token'}")


def test_suspended(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    view = sample_search(60, state=SearchState.SUSPENDED).view
    told, _ = _run(folder, monkeypatch, view, "Stopped")
    assert told.code == 0
    assert told.err.splitlines()[-1] == "a sentence"


def test_failed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    view = sample_search(60, state=SearchState.FAILED).view
    told, _ = _run(folder, monkeypatch, view, "Failed")
    assert told.code == 1
    assert told.err.splitlines()[-1] == "error: the search failed (Why): a sentence"
    told, _ = _run(folder, monkeypatch, view, "Failed", "--json")
    assert told.code == 1
    document = json.loads(told.out)
    assert (document["outcome"], document["outcomeReason"], document["outcomeMessage"]) == (
        "Failed",
        "Why",
        "a sentence",
    )


def test_two_searches_in_one_file_are_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "search.yaml").write_text(f"{SEARCH}---\n{SEARCH}")
    told, _ = _run(folder, monkeypatch, sample_search(6).view, "Complete")
    assert (told.code, "holds 2 searches" in told.err) == (2, True)
