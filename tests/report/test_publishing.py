"""Tables and report in any store, and what is removed from it."""

from __future__ import annotations

from pathlib import Path

import pytest

from xnas_core.artifacts import keys
from xnas_core.artifacts.folder import FolderStore
from xnas_core.artifacts.retention import remove
from xnas_core.artifacts.store import ObjectStore
from xnas_core.errors import StoreError
from xnas_core.local.outputs import write_outputs
from xnas_core.report import publish, render
from xnas_core.report.tables import candidates_parquet, front_csv
from xnas_core.testing.memory_store import Fault, MemoryStore
from xnas_core.testing.sample_search import sample_search

SAMPLE = sample_search(40, population=8)


def filled(store: ObjectStore) -> ObjectStore:
    for candidate in SAMPLE.view.candidates:
        if candidate.on_front:
            for artifact in candidate.artifacts:
                if artifact.key.endswith(".png"):
                    store.put(artifact.key, SAMPLE.read(artifact.key))
    return store


def test_all_three_are_stored_and_are_what_they_always_were() -> None:
    store = MemoryStore()
    filled(store)
    publish(SAMPLE.view, store)
    assert store.objects[keys.CANDIDATES_TABLE] == candidates_parquet(SAMPLE.view)
    assert store.objects[keys.FRONT_TABLE] == front_csv(SAMPLE.view).encode()
    assert store.objects[keys.REPORT] == render(SAMPLE.view, store.get).encode()
    assert b"data:image/png" in store.objects[keys.REPORT], "panels are read from the same store"


def test_a_folder_gets_the_same_bytes(tmp_path: Path) -> None:
    memory, folder = MemoryStore(), FolderStore(tmp_path)
    filled(memory)
    filled(folder)
    publish(SAMPLE.view, memory)
    paths = write_outputs(SAMPLE.view, folder)
    assert [path.name for path in paths] == [keys.CANDIDATES_TABLE, keys.FRONT_TABLE, keys.REPORT]
    for path in paths:
        assert path.read_bytes() == memory.objects[path.name]
    write_outputs(SAMPLE.view, folder)
    assert not list(tmp_path.glob(".tmp-*"))


def test_a_store_that_refuses_is_not_hidden() -> None:
    store = MemoryStore(fault=lambda key: Fault.REFUSED if key == keys.REPORT else Fault.NONE)
    with pytest.raises(StoreError):
        publish(SAMPLE.view, store)
    assert set(store.objects) == {keys.CANDIDATES_TABLE, keys.FRONT_TABLE}


class Stubborn(MemoryStore):
    """Deletes nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    def delete(self, key: str) -> None:
        self.asked.append(key)
        raise StoreError("no")


def test_what_cannot_be_removed_is_left_soon() -> None:
    store = Stubborn()
    remove([f"key{number}" for number in range(10_000)], store)
    assert len(store.asked) == 3
