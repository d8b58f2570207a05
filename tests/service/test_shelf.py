"""Searches that have ended, put away: read back as they were, a bounded number kept."""

from __future__ import annotations

import asyncio
import gc
import weakref

import pytest

from xnas_core.artifacts.retention import without_spent
from xnas_core.errors import StoreError
from xnas_core.search.viewing import view
from xnas_core.service.feed import EngineFeed
from xnas_core.service.shelf import Book, Shelf
from xnas_core.testing.growing_search import GrowingSearch, spec_document
from xnas_core.testing.waiting import until


class Library:
    """Reads one search anew, and counts how often."""

    def __init__(self, evaluations: int = 30) -> None:
        self.search = GrowingSearch("uid", spec_document(limits={"maxEvaluations": evaluations}))
        self.search.complete()
        self.reads = 0
        self.failing = False

    async def read(self) -> Book:
        self.reads += 1
        await asyncio.sleep(0)
        if self.failing:
            raise StoreError("the store is away")
        return Book("s", self.search.replayed())


def shelved(library: Library, shelf: Shelf) -> EngineFeed:
    feed = EngineFeed("s", "uid", engine=library.search.replayed())
    feed.shelve(lambda: shelf.book("uid", library.read))
    return feed


async def test_a_search_that_was_put_away_is_the_same_to_readers_and_not_in_memory() -> None:
    library, shelf = Library(), Shelf()
    engine = library.search.replayed()
    gone = weakref.ref(engine)
    feed = EngineFeed("s", "uid", engine=engine)
    before, whole = await feed.moment(), await feed.view()
    arrivals = await before.arrivals(0, before.finished)
    feed.shelve(lambda: shelf.book("uid", library.read))
    del engine
    gc.collect()
    assert gone() is None, "a moment that someone holds keeps the engine"
    now = await feed.moment()
    assert library.reads == 0
    for name in ("uid", "standing", "progress", "accepted", "finished", "front", "started_at", "finished_at"):
        assert getattr(now, name) == getattr(before, name), name
    assert feed.accepted_document == library.search.engine.spec_document
    assert await feed.view() == whole == without_spent(view(library.search.engine, "s"))
    for moment in (before, now):
        assert await moment.arrivals(0, moment.finished) == arrivals
        assert await moment.arrivals(3, 5) == arrivals[3:5]
    assert library.reads == 1, "the last ones are kept for the next reader"


async def test_what_goes_on_is_not_put_away() -> None:
    search = GrowingSearch("uid")
    search.finish(3)
    feed = EngineFeed("s", "uid", engine=search.engine)
    with pytest.raises(ValueError, match="has ended"):
        feed.shelve(Library().read)
    assert feed.engine is search.engine


async def test_an_engine_that_comes_back_is_shown_again() -> None:
    library = Library()
    feed = shelved(library, Shelf())
    library.search.change(library.search.engine.spec.to_document() | {"limits": {"maxEvaluations": 40}})
    library.search.finish(4)
    feed.engine = library.search.engine
    feed.changed()
    assert (await feed.moment()).finished == 34
    assert len((await feed.view()).candidates) == len(library.search.engine.candidates)


async def test_many_who_ask_at_once_are_one_reading_and_who_leaves_does_not_end_it() -> None:
    library, shelf = Library(), Shelf()
    feed = shelved(library, shelf)
    asking = [asyncio.create_task(feed.view()) for _ in range(5)]
    await asyncio.sleep(0)
    asking.pop(0).cancel()
    views = await asyncio.gather(*asking)
    assert library.reads == 1
    assert all(one is views[0] for one in views)


async def test_a_reading_that_failed_is_said_and_tried_again() -> None:
    library, shelf = Library(), Shelf()
    feed, library.failing = shelved(library, shelf), True
    moment = await feed.moment()
    with pytest.raises(StoreError):
        await feed.view()
    with pytest.raises(StoreError):
        await moment.arrivals(0, 1)
    library.failing = False
    assert len((await feed.view()).candidates) == 30


async def test_only_so_many_candidates_are_kept_and_the_one_asked_for_longest_ago_goes() -> None:
    library, shelf = Library(30), Shelf(candidates=70)
    for uid in ("a", "b"):
        await shelf.book(uid, library.read)
    await shelf.book("a", library.read)
    assert library.reads == 2
    await shelf.book("c", library.read)
    assert [uid in shelf for uid in "abc"] == [True, False, True]
    small = Shelf(candidates=10)
    await small.book("a", library.read)
    await small.book("b", library.read)
    assert [uid in small for uid in "ab"] == [False, True], "one is kept however large it is"


async def test_nobody_asks_and_it_is_kept_no_longer() -> None:
    library, shelf = Library(), Shelf(seconds=0.0)
    await shelf.book("a", library.read)
    await until(lambda: "a" not in shelf)


async def test_what_was_read_before_a_search_went_on_is_not_kept() -> None:
    library, shelf = Library(), Shelf()
    asking = asyncio.create_task(shelf.book("a", library.read))
    await asyncio.sleep(0)
    shelf.forget("a")
    await asking
    assert "a" not in shelf
