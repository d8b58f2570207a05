"""Snapshots only save time (protocol.md §5.5): with them, without them, or with damaged ones the state is the same."""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import orjson
import pytest

from xnas_core import journal as journal_module
from xnas_core.artifacts import keys
from xnas_core.errors import IntegrityError
from xnas_core.journal import Journal
from xnas_core.search.engine import Engine
from xnas_core.search.events import Started
from xnas_core.search.loop import SearchLoop
from xnas_core.search.recovery import recover
from xnas_core.search.sealing import sealed
from xnas_core.testing.memory_store import Fault, MemoryStore

SMALLEST = 10_000


def _search(evaluations: int, store: MemoryStore) -> Engine:
    """Run a search on the graph alone."""
    spec = {
        "searchSpace": {"name": "mobile"},
        "objectives": [{"name": "parameters", "direction": "maximize"}, {"name": "macs", "direction": "minimize"}],
        "algorithm": {"populationSize": 16},
        "limits": {"maxEvaluations": evaluations},
    }
    started = Started(time=0, search_id="s", spec=spec, spec_digest="", data_shape=(3, 16, 16, 4), versions={})
    engine, journal = Engine(started), Journal(store)
    journal.append([started])
    asyncio.run(SearchLoop(engine, journal, None, clock=lambda: 1.0).run())
    return engine


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "_MIN_SNAPSHOT_BYTES", SMALLEST)


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


def _state(engine: Engine | None) -> bytes:
    assert engine is not None
    return orjson.dumps(engine.to_document())


def _snapshots(store: MemoryStore) -> list[str]:
    return list(store.list(keys.SNAPSHOTS))


def test_with_and_without_snapshots_the_state_is_the_same_byte_for_byte(store: MemoryStore) -> None:
    live = _state(_search(800, store))
    assert len(_snapshots(store)) >= 3
    assert _state(recover(store)[0]) == live
    assert _state(recover(store, snapshots=False)[0]) == live


def test_a_snapshot_is_used(store: MemoryStore) -> None:
    _search(800, store)
    newest = _snapshots(store)[-1]
    covered = int(newest.removeprefix(keys.SNAPSHOTS).removesuffix(".json"))
    read: list[str] = []
    plain = store.get

    def get(key: str) -> bytes:
        read.append(key)
        return plain(key)

    store.get = get  # type: ignore[method-assign]  # a spy for this test
    recover(store)
    segments = [key for key in read if key.startswith(keys.JOURNAL)]
    assert min(segments) == keys.segment(covered)


def test_the_bytes_of_all_snapshots_grow_in_line_with_the_search() -> None:
    sizes = []
    for evaluations in (1_000, 4_000):
        store = MemoryStore()
        _search(evaluations, store)
        sizes.append(sum(len(store.get(key)) for key in _snapshots(store)))
    assert sizes[1] < 8 * sizes[0]


def _torn(data: bytes) -> bytes:
    return data[: len(data) // 2]


def _altered(data: bytes) -> bytes:
    return data.replace(b'"state"', b'"stale"')


def _resealed(change: Callable[[dict[str, Any]], None]) -> Callable[[bytes], bytes]:
    def apply(data: bytes) -> bytes:
        document = json.loads(data)["body"]
        change(document)
        body = orjson.dumps(document)
        return b'{"sha256":"%b","body":%b}' % (hashlib.sha256(body).hexdigest().encode(), body)

    return apply


@pytest.mark.parametrize(
    "damage",
    [
        _torn,
        _altered,
        lambda _: b"",
        lambda _: b"[]",
        _resealed(lambda d: d.update(schema=99)),
        _resealed(lambda d: d.update(digest="0" * 64)),
        _resealed(lambda d: d["state"].update(schema=99)),
        _resealed(lambda d: d["state"].pop("candidates")),
        _resealed(lambda d: d["state"].update(front=[10**6])),
    ],
    ids=["torn", "altered", "empty", "list", "schema", "digest", "state schema", "no candidates", "bad front"],
)
@pytest.mark.parametrize("which", [slice(-1, None), slice(None)], ids=["newest", "all"])
def test_a_snapshot_that_is_not_valid_costs_only_time(
    store: MemoryStore, damage: Callable[[bytes], bytes], which: slice
) -> None:
    live = _state(_search(400, store))
    for key in _snapshots(store)[which]:
        store.objects[key] = damage(store.objects[key])
    assert _state(recover(store)[0]) == live


def test_a_store_that_refuses_snapshots_stops_nothing(store: MemoryStore) -> None:
    store.fault = lambda key: Fault.REFUSED if key.startswith(keys.SNAPSHOTS) else Fault.NONE
    engine = _search(400, store)
    assert engine.finished is not None
    assert not _snapshots(store)


def test_the_search_does_not_wait_for_a_snapshot(store: MemoryStore) -> None:
    late: list[int] = []

    def slow(key: str) -> Fault:
        if key.startswith(keys.SNAPSHOTS) and not late:
            written = len(list(store.list(keys.JOURNAL)))
            late.append(0)
            for _ in range(1000):
                late[0] = len(list(store.list(keys.JOURNAL))) - written
                if late[0] >= 3:
                    break
                time.sleep(0.01)
        return Fault.NONE

    store.fault = slow
    live = _state(_search(320, store))
    assert late[0] >= 3, "segments are written while the store takes its time with a snapshot"
    assert _state(recover(store)[0]) == _state(recover(store, snapshots=False)[0]) == live


def test_a_damaged_segment_after_the_snapshot_is_named_all_the_same(store: MemoryStore) -> None:
    _search(400, store)
    last = max(store.list(keys.JOURNAL))
    store.objects[last] = _torn(store.objects[last])
    with pytest.raises(IntegrityError, match=last):
        recover(store)


def test_a_search_goes_on_from_its_snapshot_as_if_never_stopped(store: MemoryStore) -> None:
    whole = _search(640, MemoryStore())
    _search(320, store)
    engine, journal = recover(store)
    assert engine is not None
    loop = SearchLoop(engine, journal, None, clock=lambda: 1.0)
    loop.change_limits({**engine.spec_document, "limits": {"maxEvaluations": 640}})
    asyncio.run(loop.run())
    assert [(c.id, c.parents, c.values) for c in engine.candidates] == [
        (c.id, c.parents, c.values) for c in whole.candidates
    ]
    assert sorted(engine.archive.keys) == sorted(whole.archive.keys)
    assert engine.archive.hypervolume == whole.archive.hypervolume


@pytest.mark.parametrize(
    "change",
    [lambda d: d.update(schema=2), lambda d: d["events"].append({"kind": "unheardOf", "time": 0.0})],
    ids=["schema", "event"],
)
def test_a_segment_of_another_version_is_named(store: MemoryStore, change: Callable[[dict[str, Any]], None]) -> None:
    _search(64, store)
    last = max(store.list(keys.JOURNAL))
    store.objects[last] = _resealed(change)(store.objects[last])
    with pytest.raises(IntegrityError, match=f"{last}.*version"):
        recover(store, snapshots=False)


def test_a_row_that_is_kept_takes_no_more_memory_than_its_bytes() -> None:
    tracemalloc.start()
    try:
        rows = [sealed({"number": number}) for number in range(1000)]
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert orjson.loads(rows[7]) == {"number": 7}
    assert taken < 2 * sum(map(sys.getsizeof, rows))
