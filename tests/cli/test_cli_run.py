"""`xnas run` as a process: with and without a terminal, interrupted, gone on with, refused."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from xnas_core.local import open_search
from xnas_core.testing.command_line import Told, command, plain, xnas, xnas_on_terminal, xnas_process

SEARCH = """
apiVersion: xnas.dev/v1alpha1
kind: ArchitectureSearch
metadata: {{name: graphs}}
spec:
  seed: 5
  searchSpace: {{name: mobile}}
  objectives:
    - {{name: parameters, direction: minimize}}
    - {{name: macs, direction: minimize}}
  constraints:
    - {{metric: parameters, min: 100000}}
  algorithm: {{populationSize: 16}}
  limits: {{maxEvaluations: {evaluations}}}
"""


@dataclass(frozen=True)
class Ran:
    """A search that has run to its end."""

    search: Path
    output: Path
    told: Told


@pytest.fixture
def search(tmp_path: Path) -> Path:
    return _write(tmp_path, 80)


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    folder = tmp_path_factory.mktemp("ran")
    search, output = _write(folder, 80), folder / "out"
    return Ran(search, output, xnas_process("run", search, "--output", output))


def _write(folder: Path, evaluations: int) -> Path:
    file = folder / "search.yaml"
    file.write_text(SEARCH.format(evaluations=evaluations))
    return file


def _again(ran: Ran, folder: Path, old: str, new: str) -> Told:
    """Change the file of a copy of a search and run it again."""
    copy = Path(shutil.copytree(ran.search.parent, folder / "copy"))
    text = ran.search.read_text()
    assert old in text
    (copy / "search.yaml").write_text(text.replace(old, new))
    return xnas_process("run", copy / "search.yaml", "-o", copy / "out")


def test_without_a_terminal_it_ends_with_the_front_and_how_to_go_on(ran: Ran) -> None:
    told, output = ran.told, ran.output
    assert told.code == 0, told.err
    assert "\x1b" not in told.out + told.err
    view = open_search(output)
    lines = told.out.splitlines()
    assert lines[0].startswith("graphs: Complete (MaxEvaluations) · 80 evaluations · front ")
    assert {line.split()[0] for line in lines if re.match(r"c[0-9a-f]{12} ", line)} == set(view.front)
    assert f"report: {output / 'report.html'}" in told.out
    assert f"xnas candidate {output} {view.front[0]}" in told.out
    assert "xnas export" not in told.out
    assert "search started" in told.err
    assert (output / "report.html").is_file()


def test_run_again_it_says_the_same_as_json(ran: Ran) -> None:
    told = xnas_process("run", ran.search, "-o", ran.output, "--json", "--log-format", "json")
    assert told.code == 0
    document = json.loads(told.out)
    assert (document["outcome"], document["state"]) == ("Complete", "Complete")
    assert document["evaluations"]["succeeded"] == 80
    assert document["report"] == str(ran.output / "report.html")
    events = [json.loads(line) for line in told.err.splitlines()]
    assert (events[0]["event"], events[0]["resumed_at"]) == ("search started", 80)
    assert all(event["level"] == "info" for event in events)


def test_on_a_terminal_it_draws_and_leaves_only_the_result(search: Path, tmp_path: Path) -> None:
    told = xnas_on_terminal("run", search, "-o", tmp_path / "out")
    assert told.code == 0
    assert "\x1b[?25l" in told.out  # the cursor is hidden while it draws
    assert told.out.rindex("\x1b[?25h") > told.out.rindex("\x1b[?25l")
    last = plain(told.out[told.out.rindex("\x1b[?25h") :])
    assert "graphs: Complete" in last
    assert "search started" not in told.out


@pytest.mark.parametrize("environment", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_colours_are_left_out_if_asked(environment: dict[str, str], search: Path, tmp_path: Path) -> None:
    told = xnas_on_terminal("run", search, "-o", tmp_path / "out", environment=environment, columns=40)
    assert told.code == 0
    # Bold (1), dim (2) and reset (0) are no colours.
    used = {code for codes in re.findall(r"\x1b\[([0-9;]*)m", told.out) for code in codes.split(";")}
    assert used <= {"", "0", "1", "2"}
    assert ("\x1b" in told.out) == ("TERM" not in environment)


def test_ctrl_c_stops_cleanly_and_the_same_command_goes_on(tmp_path: Path) -> None:
    search, output = _write(tmp_path, 1_000_000), tmp_path / "out"
    told = xnas_on_terminal("run", search, "-o", output, typed=[("/1000000 evaluations", "\x03")])
    assert told.code == 130
    assert "Traceback" not in told.text
    assert "stopped; nothing that was finished is lost. Go on with:" in told.text
    shown = re.sub(r"\s+", " ", told.text)
    assert f"xnas run {search} --output {output}" in shown
    before = open_search(output)
    assert before.candidates
    _write(tmp_path, len(before.candidates) + 20)
    again = xnas_process("run", search, "-o", output)
    assert again.code == 0, again.err
    after = open_search(output)
    assert len(after.candidates) == len(before.candidates) + 20
    assert [c.id for c in after.candidates[: len(before.candidates)]] == [c.id for c in before.candidates]


def test_sigint_without_a_terminal(tmp_path: Path) -> None:
    search, output = _write(tmp_path, 1_000_000), tmp_path / "out"
    process = subprocess.Popen(
        command("run", search, "-o", output, "--json"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 60
    # The first segment is written before the run listens to signals, the second by the run.
    while len(list((output / "journal").glob("*.json"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert json.loads(out)["outcome"] == "Stopped"
    assert "Traceback" not in err


def test_a_second_run_is_refused_while_the_first_lives(tmp_path: Path) -> None:
    search, output = _write(tmp_path, 1_000_000), tmp_path / "out"
    first = subprocess.Popen(command("run", search, "-o", output), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        while not (output / "search.json").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        told = xnas_process("run", search, "-o", output, "--json")
    finally:
        first.send_signal(signal.SIGINT)
        assert first.wait(60) == 130
    assert told.code == 2
    assert f"in use by another run (process {first.pid})" in told.err
    assert json.loads(told.out)["reason"] == "FolderInUse"


def test_a_changed_field_is_refused_by_name(ran: Ran, tmp_path: Path) -> None:
    told = _again(ran, tmp_path, "seed: 5", "seed: 6")
    assert told.code == 2
    assert "may not change" in told.err
    assert "seed" in told.err


def test_changed_limits_go_on(ran: Ran, tmp_path: Path) -> None:
    told = _again(ran, tmp_path, "maxEvaluations: 80", "maxEvaluations: 96")
    assert told.code == 0
    assert told.out.startswith("graphs: Complete (MaxEvaluations) · 96 evaluations")


def test_a_mistake_in_the_file_starts_nothing(search: Path, tmp_path: Path) -> None:
    search.write_text(search.read_text().replace("populationSize: 16", "populationSize: 0"))
    told = xnas("run", search, "-o", tmp_path / "out")
    assert told.code == 2
    assert "search.yaml:" in told.err
    assert "populationSize" in told.err
    assert not (tmp_path / "out").exists()


def test_warnings_are_said_and_the_search_runs(search: Path, tmp_path: Path) -> None:
    search.write_text(search.read_text().replace("maxEvaluations: 80", "maxEvaluations: 8"))
    told = xnas_process("run", search, "-o", tmp_path / "out")
    assert told.code == 0
    assert "warning: spec.algorithm.populationSize" in told.err


def test_suspended_is_not_interrupted(ran: Ran, tmp_path: Path) -> None:
    told = _again(ran, tmp_path, "maxEvaluations: 80}", "maxEvaluations: 96}\n  suspend: true")
    assert told.code == 0
    assert "suspended (spec.suspend)" in told.err
    assert told.out.startswith("graphs: Suspended · 80 of 96 evaluations")


def test_a_token_is_of_use_with_listen_only(search: Path, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("0123456789abcdef")
    told = xnas("run", search, "-o", tmp_path / "out", "--token-file", tmp_path / "token")
    assert (told.code, "--listen only" in told.err) == (2, True)
    (tmp_path / "token").write_text("short")
    told = xnas("run", search, "-o", tmp_path / "out", "--listen", "127.0.0.1:0", "--token-file", tmp_path / "token")
    assert (told.code, "16 or more" in told.err) == (2, True)
