"""Each rule of the journal, broken on purpose (protocol.md §5)."""

from __future__ import annotations

import json

import pytest

from xnas_core.artifacts import keys
from xnas_core.errors import IntegrityError, LostOwnershipError, StoreError
from xnas_core.journal import Journal, read_segments
from xnas_core.search.events import Suspended, Ticked
from xnas_core.testing.memory_store import Fault, MemoryStore


def _journal(count: int) -> tuple[MemoryStore, Journal]:
    store = MemoryStore()
    journal = Journal(store)
    for number in range(count):
        journal.append([Ticked(time=float(number)), Suspended(time=float(number))])
    return store, journal


def test_what_was_written_is_read_back_in_order() -> None:
    store, _ = _journal(3)
    segments = read_segments(store)
    assert [segment.number for segment in segments] == [1, 2, 3]
    assert [event.time for segment in segments for event in segment.events] == [0.0, 0.0, 1.0, 1.0, 2.0, 2.0]


def test_a_segment_is_json_with_schema_writer_and_digest() -> None:
    store, journal = _journal(1)
    document = json.loads(store.get(keys.segment(1)))
    assert document["body"]["schema"] == 1
    assert document["body"]["writer"] == journal.writer
    assert len(document["sha256"]) == 64


def test_of_two_writers_the_second_loses_and_writes_nothing() -> None:
    store, journal = _journal(1)
    segments = read_segments(store)
    other = Journal(store, 1, segments[0].digest)
    other.append([Ticked(time=5.0)])
    before = dict(store.objects)
    with pytest.raises(LostOwnershipError, match=r"00000002\.json"):
        journal.append([Ticked(time=6.0)])
    assert store.objects == before


def test_a_lost_answer_to_our_own_write_stands() -> None:
    store, journal = _journal(1)
    store.fault = lambda _key: Fault.WRITTEN_THEN_LOST
    journal.append([Ticked(time=7.0)])
    assert journal.number == 2
    assert read_segments(store)[1].events[0].time == 7.0


def test_a_refused_write_is_an_error_and_may_be_repeated() -> None:
    store, journal = _journal(1)
    store.fault = lambda _key: Fault.REFUSED
    with pytest.raises(StoreError):
        journal.append([Ticked(time=7.0)])
    assert journal.number == 1
    store.fault = None
    journal.append([Ticked(time=8.0)])
    assert journal.number == 2


@pytest.mark.parametrize("cut", [0, 1, 50, -1])
def test_a_torn_segment_is_named(cut: int) -> None:
    store, _ = _journal(2)
    store.objects[keys.segment(2)] = store.objects[keys.segment(2)][:cut]
    with pytest.raises(IntegrityError, match=r"00000002\.json"):
        read_segments(store)


def test_every_altered_byte_is_noticed() -> None:
    store, _ = _journal(1)
    whole = store.objects[keys.segment(1)]
    for place in range(0, len(whole), 7):
        altered = bytearray(whole)
        altered[place] ^= 1
        store.objects[keys.segment(1)] = bytes(altered)
        with pytest.raises(IntegrityError, match=r"00000001\.json"):
            read_segments(store)


def test_a_segment_of_another_journal_is_named() -> None:
    store, _ = _journal(2)
    alien, _ = _journal(2)
    store.objects[keys.segment(2)] = alien.objects[keys.segment(2)]
    with pytest.raises(IntegrityError, match="another journal"):
        read_segments(store)


def test_a_gap_is_named() -> None:
    store, _ = _journal(3)
    store.delete(keys.segment(2))
    with pytest.raises(IntegrityError, match=r"00000002\.json is missing"):
        read_segments(store)
