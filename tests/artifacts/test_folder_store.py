"""The folder store: the contract, and what only files can do wrong (protocol.md §5.6)."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from xnas_core.artifacts.folder import FolderStore
from xnas_core.errors import StoreError
from xnas_core.testing.store_contract import StoreContract


class TestFolderStore(StoreContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> FolderStore:
        return FolderStore(tmp_path / "root")


def test_a_write_that_fails_half_way_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = FolderStore(tmp_path)
    store.put("report.html", b"old")

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match="disk is full"):
        store.put("report.html", b"new")
    with pytest.raises(StoreError, match="disk is full"):
        store.create("journal/00000001.json", b"new")
    monkeypatch.undo()
    assert store.get("report.html") == b"old"
    assert list(store.list("")) == ["report.html"]
    assert not [path for path in tmp_path.rglob("*") if path.name.startswith(".tmp-")]


def test_the_file_and_its_folder_are_synced_before_create_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FolderStore(tmp_path)
    order: list[str] = []
    real_fsync, real_link = os.fsync, os.link

    def fsync(descriptor: int) -> None:
        name = Path(f"/proc/self/fd/{descriptor}").readlink()
        order.append("folder" if name.is_dir() else "file")
        real_fsync(descriptor)

    def link(source: Path, target: Path) -> None:
        order.append("link")
        real_link(source, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "link", link)
    assert store.create("object", b"x")
    assert order == ["file", "link", "folder"]


def test_a_leftover_temporary_file_is_not_an_object(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    (tmp_path / "journal").mkdir()
    (tmp_path / "journal" / ".tmp-00000001.json-abc").write_bytes(b"torn")
    assert list(store.list("journal/")) == []
    assert store.create("journal/00000001.json", b"whole")


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("a file")
    with pytest.raises(StoreError, match=r"results.*a file is in the way"):
        FolderStore(tmp_path / "results")
