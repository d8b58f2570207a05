"""How a command ends: an exit code, one sentence, never a traceback for what a user did."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from xnas_core.errors import InvalidInputError, StoreError, XnasError
from xnas_core.testing.command_line import command, xnas, xnas_process


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["frnt"], "Did you mean 'front'?"),
        (["run"], "Missing argument 'FILE'"),
        (["run", "search.yaml"], "Missing option '--output'"),
        (["run", "search.yaml", "-o", "x", "--slots", "0"], "Invalid value for '--slots'"),
        (["run", "search.yaml", "-o", "x", "--device", "tpu"], "Invalid value for '--device'"),
        (["front", "nowhere"], "holds no search"),
        (["front"], "Missing argument 'SEARCH'"),
        (["plan", "nowhere.yaml"], "there is no such file"),
        (["run", "nowhere.yaml", "-o", "x"], "there is no such file"),
        (["evaluator", "--connect", "127.0.0.1:1", "--token-file", "nowhere"], "there is no token file nowhere"),
        (["validate"], "Missing argument 'FILE'"),
        (["front", ".", "--jsn"], "No such option"),
    ],
)
def test_wrong_usage_is_one_sentence_and_exit_code_2(
    arguments: list[str], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    told = xnas(*arguments)
    assert told.code == 2
    assert told.out == ""
    assert told.err.startswith("error: ")
    assert says in told.err
    assert told.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("error", "code", "reason"),
    [
        (InvalidInputError("the moon is full; wait"), 2, "InvalidInput"),
        (XnasError("it broke"), 1, "Error"),
        (StoreError("the disk is full; free some space"), 1, "StoreUnavailable"),
        (KeyboardInterrupt(), 130, "Interrupted"),
    ],
)
def test_errors_of_commands(
    error: BaseException, code: int, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xnas_core.local.open_search", _raising(error))
    told = xnas("front", tmp_path)
    assert told.code == code
    assert told.out == ""
    assert told.err == (f"error: {error}\n" if str(error) else "")
    document = json.loads(xnas("front", tmp_path, "--json").out)
    assert document == {"error": str(error) or "interrupted", "reason": reason}


@pytest.mark.parametrize("error", [ZeroDivisionError("ours"), OSError(errno.EINVAL, "Invalid argument")])
def test_a_mistake_of_ours_is_not_hidden(error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xnas_core.local.open_search", _raising(error))
    with pytest.raises(type(error)):
        xnas("front", tmp_path)


def test_real_process_has_no_traceback(tmp_path: Path) -> None:
    told = xnas_process("front", tmp_path / "nowhere")
    assert told.code == 2
    assert told.err.startswith("error: ")
    assert "Traceback" not in told.err


def test_a_reader_that_goes_away_leaves_no_traceback(tmp_path: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(command("version"), stdout=write, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    os.close(write)
    assert done.returncode == 1
    assert done.stderr == ""


@pytest.mark.parametrize(
    "arguments", [["version"], ["--help"], ["version", "--json"], ["validate", "--json", "nowhere"]]
)
def test_output_that_cannot_be_written_is_said(arguments: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            command(*arguments), stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False
        )
    assert done.returncode == 1
    said = "error: the output cannot be written: No space left on device; free some space, or send it elsewhere\n"
    assert done.stderr == said


def test_errors_that_cannot_be_written_are_told_by_the_exit_code(tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command("front", tmp_path), stdout=full, stderr=full, timeout=60, check=False)
    assert done.returncode == 2


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (PermissionError(errno.EACCES, "Permission denied", "a/b"), "cannot use a/b: Permission denied"),
        (
            OSError(errno.ENOSPC, "No space left on device", b"a"),
            "cannot use a: No space left on device; free some space",
        ),
    ],
)
def test_what_the_system_refuses_is_a_sentence(
    error: OSError, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xnas_core.local.open_search", _raising(error))
    told = xnas("front", tmp_path)
    assert (told.code, told.err) == (1, f"error: {said}\n")
    assert json.loads(xnas("front", tmp_path, "--json").out) == {"error": said, "reason": "System"}


def test_a_missing_evaluator_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib import util

    found = util.find_spec
    monkeypatch.setattr("xnas_core.cli.evaluator_side.find_spec", lambda name: None if name == "torch" else found(name))
    told = xnas("evaluator", "--connect", "127.0.0.1:1")
    assert told.code == 2
    assert told.err == "error: torch is not installed here; install xnas[local], or xnas[evaluator]\n"


def test_the_evaluator_takes_the_place_of_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[list[str]] = []
    monkeypatch.setattr("os.execv", lambda _path, arguments: started.append(arguments))
    (tmp_path / "token").write_text("0123456789abcdef")
    xnas("evaluator", "--connect", "box:7411", "--slots", "3", "--device", "cpu", "--token-file", tmp_path / "token")
    assert started == [
        [
            sys.executable, "-m", "xnas_evaluator.agent", "--connect", "box:7411", "--slots", "3", "--device", "cpu",
            "--give-up-seconds", "600", "--token-file", str(tmp_path / "token"),
        ]
    ]  # fmt: skip


def test_an_evaluator_for_a_cluster_is_given_all_that_it_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from xnas_evaluator.agent.settings import parse

    started: list[list[str]] = []
    monkeypatch.setattr("os.execv", lambda _path, arguments: started.append(arguments))
    files = {name: tmp_path / name for name in ("token", "ca.crt", "store.crt")}
    for file in files.values():
        file.write_text("content")
    xnas(
        "evaluator", "--connect", "box:8443", "--search", "team-a/fashion", "--token-file", files["token"],
        "--ca-file", files["ca.crt"], "--server-name", "xnas", "--store-ca-file", files["store.crt"],
    )  # fmt: skip
    settings = parse(started[0][3:])
    assert (settings.search, settings.server_name, settings.bearer()) == ("team-a/fashion", "xnas", "content")
    assert (settings.ca_file, settings.store_ca_file) == (files["ca.crt"], files["store.crt"])


def test_python_m_is_the_entry_point() -> None:
    assert sys.executable in command()
    assert xnas_process("--help").out == xnas_process("-h").out


def _raising(error: BaseException) -> Callable[[Path], None]:
    def raise_it(_folder: Path) -> None:
        raise error

    return raise_it
