"""The journal over an S3 store: of two writers one wins, and a lost answer loses nothing (protocol.md §5.2, §5.7)."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from xnas_core.artifacts.s3 import S3Store
from xnas_core.errors import LostOwnershipError, StoreError
from xnas_core.journal import Journal, read_segments
from xnas_core.search.events import Event, Suspended
from xnas_core.testing.fake_s3 import FakeS3, Refusal, Trouble, fake_s3


def events(number: int) -> list[Event]:
    return [Suspended(time=float(number))]


@pytest.fixture
def s3() -> Iterator[FakeS3]:
    with fake_s3() as fake:
        yield fake


@pytest.fixture
def store(s3: FakeS3) -> Iterator[S3Store]:
    made = S3Store(s3.settings("searches/ns/name/uid"))
    yield made
    made.close()


def race(store: S3Store) -> None:
    """Eight journals append at once, turn after turn; whoever loses a turn is out."""
    writers = {number: Journal(store) for number in range(8)}
    for turn in range(1, 4):
        outcomes: dict[int, bool] = {}
        barrier = threading.Barrier(len(writers))

        def append(number: int, journal: Journal) -> None:
            barrier.wait()  # noqa: B023  (the threads end within the turn)
            try:
                journal.append(events(number))
                outcomes[number] = True  # noqa: B023
            except LostOwnershipError:
                outcomes[number] = False  # noqa: B023

        threads = [threading.Thread(target=append, args=item) for item in writers.items()]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        winners = [number for number, won in outcomes.items() if won]
        assert len(winners) == 1
        segments = read_segments(store)
        assert len(segments) == turn
        assert segments[-1].writer == writers[winners[0]].writer
        last = segments[-1]
        # The others are started anew by somebody who believes to be the only one.
        writers = {number: Journal(store, last.number, last.digest) for number in range(8)}


def test_of_racing_writers_one_wins(store: S3Store) -> None:
    race(store)


def test_of_racing_writers_one_wins_on_a_real_server(s3_store: S3Store) -> None:
    race(s3_store)


def test_a_late_writer_loses_and_changes_nothing(store: S3Store) -> None:
    first, second = Journal(store), Journal(store)
    first.append(events(1))
    with pytest.raises(LostOwnershipError):
        second.append(events(2))
    first.append(events(3))
    assert [segment.writer for segment in read_segments(store)] == [first.writer] * 2


def test_a_segment_whose_answer_was_lost_is_recognised_as_ones_own(s3: FakeS3, store: S3Store) -> None:
    journal = Journal(store)
    s3.script = [Trouble.DONE_THEN_RESET]
    journal.append(events(1))
    assert s3.methods() == ["PUT", "PUT", "GET"], "lost, 412, looked at"
    journal.append(events(2))
    assert [segment.number for segment in read_segments(store)] == [1, 2]


def test_a_segment_is_ones_own_also_when_every_later_try_fails(s3: FakeS3, store: S3Store) -> None:
    journal = Journal(store)
    tries = store.settings.patience.tries
    s3.script = [Trouble.DONE_THEN_RESET, *[Refusal(503)] * (tries - 1)]
    journal.append(events(1))
    assert journal.number == 1


def test_a_store_that_is_gone_is_not_mistaken_for_another_writer(s3: FakeS3, store: S3Store) -> None:
    journal = Journal(store)
    # Written, the answer lost, 412 for the repetition, and then nothing can be read any more.
    s3.script = [Trouble.DONE_THEN_RESET, None, *[Refusal(503)] * 100]
    with pytest.raises(StoreError):
        journal.append(events(1))
    assert journal.number == 0
    s3.script = []
    assert [segment.writer for segment in read_segments(store)] == [journal.writer], "recovery finds it"
