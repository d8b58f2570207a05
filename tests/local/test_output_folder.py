"""The output folder: identity written once, one run at a time."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from xnas_core.artifacts.folder import FolderStore
from xnas_core.errors import IntegrityError, InvalidInputError, StoreError
from xnas_core.local.folder import FolderInUseError, OutputFolder


def test_identity_is_written_once(tmp_path: Path) -> None:
    first = OutputFolder(tmp_path / "run").claim("fashion")
    assert OutputFolder(tmp_path / "run").claim("fashion") == first


def test_an_identity_that_is_there_needs_no_room_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> bool:
        raise StoreError("the disk is full")

    first = OutputFolder(tmp_path).claim("fashion")
    monkeypatch.setattr(FolderStore, "create", full)
    assert OutputFolder(tmp_path).claim("fashion") == first


def test_another_search_is_refused_by_name(tmp_path: Path) -> None:
    OutputFolder(tmp_path).claim("fashion")
    with pytest.raises(InvalidInputError, match="belongs to the search 'fashion'"):
        OutputFolder(tmp_path).claim("digits")


def test_a_folder_with_other_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(InvalidInputError, match=r"thesis\.tex"):
        OutputFolder(tmp_path)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"schema": 1}', '{"schema": 99, "searchId": "x", "name": "y"}'])
def test_a_damaged_identity_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "search.json").write_text(content)
    with pytest.raises(IntegrityError, match=r"search\.json"):
        OutputFolder(tmp_path).identity()


_HOLD = """
import sys, time
from pathlib import Path
from xnas_core.local.folder import OutputFolder
with OutputFolder(Path(sys.argv[1])).locked():
    print("locked", flush=True)
    time.sleep(60)
"""


def test_a_second_run_is_refused_while_the_first_lives_and_not_after_kill(tmp_path: Path) -> None:
    holder = subprocess.Popen([sys.executable, "-c", _HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "locked\n"
        with pytest.raises(FolderInUseError, match=f"process {holder.pid}"), OutputFolder(tmp_path).locked():
            pass
    finally:
        holder.kill()
        holder.communicate()
    with OutputFolder(tmp_path).locked():
        assert (tmp_path / "lock").read_text() == f"{os.getpid()}\n"


@pytest.mark.parametrize("call", ["open", "pwrite"])
def test_a_full_disk_is_said_and_the_lock_is_free_again(
    call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    folder = OutputFolder(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(os, call, full)
        with pytest.raises(StoreError, match="No space left on device; free some space"), folder.locked():
            pass
    with folder.locked():
        assert (tmp_path / "lock").read_text() == f"{os.getpid()}\n"


def test_children_do_not_keep_the_lock(tmp_path: Path) -> None:
    with OutputFolder(tmp_path).locked():
        sleeper = "import time; print('ready', flush=True); time.sleep(60)"
        child = subprocess.Popen([sys.executable, "-c", sleeper], close_fds=False, stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
    try:
        with OutputFolder(tmp_path).locked():
            assert child.poll() is None
    finally:
        child.kill()
        child.communicate()


def test_identity_has_a_schema(tmp_path: Path) -> None:
    OutputFolder(tmp_path).claim("x")
    assert json.loads((tmp_path / "search.json").read_text())["schema"] == 1
