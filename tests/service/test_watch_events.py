"""What a watch tells: every finished candidate once, in order, wherever it is cut off and resumed."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xnas_core.api.status import StateWord
from xnas_core.service import values as v
from xnas_core.service.errors import InvalidTokenError
from xnas_core.service.feed import EngineFeed
from xnas_core.service.watching import BATCH, Position, events
from xnas_core.testing.growing_search import GrowingSearch, spec_document


def _moment(search: GrowingSearch) -> v.SearchMoment:
    return EngineFeed("s", "uid", engine=search.engine)._moment()  # the part of `moment` that does not wait


def told(before: Position | None, moment: v.SearchMoment, *, from_beginning: bool = False) -> list[v.WatchEvent]:
    async def gathered() -> list[v.WatchEvent]:
        return [event async for event in events(before, moment, from_beginning=from_beginning)]

    running = gathered()
    try:
        running.send(None)
    except StopIteration as end:
        return list(end.value)
    raise AssertionError("candidates in memory take no waiting")


@settings(deadline=None, max_examples=100)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 9), st.booleans()), max_size=8))
def test_nothing_is_missed_and_nothing_repeated(steps: list[tuple[int, int, bool]]) -> None:
    """Each step: so many evaluations finish, then so many events are heard before the stream breaks (and, sometimes,
    the service's engine is made anew from its events)."""
    search = GrowingSearch("uid")
    token: str | None = None
    heard: list[v.WatchEvent] = []
    for finished, kept, restarted in [*steps, (0, 10**6, False)]:
        search.finish(finished)
        if restarted:
            search.restart()
        before = Position.read(token) if token else None
        for event in told(before, _moment(search), from_beginning=True)[:kept]:
            heard.append(event)
            token = event.token
    told_candidates = [c.id for event in heard if isinstance(event, v.Finished) for c in event.candidates]
    assert told_candidates == [search.engine.candidates[number].id for number in search.engine.arrivals]
    assert sum(isinstance(event, v.Stands) for event in heard) == 1
    now = _moment(search)
    fronts = [event.front for event in heard if isinstance(event, v.NewFront | v.Stands)]
    assert fronts[-1] == now.front
    progress = [event.progress for event in heard if isinstance(event, v.Progressed | v.Stands)]
    assert progress[-1] == now.progress
    assert told(Position.read(token or ""), now) == [], "whoever knows all is told nothing"


def test_a_new_watch_starts_from_now_unless_asked_otherwise() -> None:
    search = GrowingSearch("uid")
    search.finish(5)
    assert [type(e).__name__ for e in told(None, _moment(search))] == ["Stands"]
    from_beginning = told(None, _moment(search), from_beginning=True)
    assert [type(e).__name__ for e in from_beginning] == ["Stands", "Finished"]


def test_the_end_is_told_last() -> None:
    search = GrowingSearch("uid")
    search.finish(1)
    before = Position.read(told(None, _moment(search))[0].token)
    search.complete()
    later = told(before, _moment(search))
    assert [type(e).__name__ for e in later] == ["Finished", "NewFront", "Progressed", "NewState"]
    assert isinstance(later[-1], v.NewState)
    assert later[-1].standing.state is StateWord.COMPLETE
    assert later[-1].standing.reason == "MaxEvaluations"


def test_candidates_come_in_bounded_batches() -> None:
    search = GrowingSearch("uid", spec_document(limits={"maxEvaluations": 3 * BATCH}))
    search.complete()
    batches = [e.candidates for e in told(None, _moment(search), from_beginning=True) if isinstance(e, v.Finished)]
    assert [len(batch) for batch in batches] == [BATCH, BATCH, BATCH]


def test_another_search_of_the_same_name_is_not_mistaken_for_this_one() -> None:
    search = GrowingSearch("uid")
    token = told(None, _moment(search))[0].token
    assert [type(e).__name__ for e in told(Position.read(token), replace(_moment(search), uid="new"))] == ["Deleted"]


def test_a_token_from_the_future_is_refused() -> None:
    search = GrowingSearch("uid")
    search.finish(3)
    ahead = replace(Position.read(told(None, _moment(search))[0].token), finished=99)
    with pytest.raises(InvalidTokenError, match="ahead of the search"):
        told(ahead, _moment(search))


@pytest.mark.parametrize("token", ["", "nonsense", "WyJ3YXRjaCIsMSwyLDMsNCw1XQ"])
def test_a_made_up_token_is_refused(token: str) -> None:
    with pytest.raises(InvalidTokenError):
        Position.read(token)


async def test_what_is_not_durable_is_not_shown() -> None:
    busy = False
    search = GrowingSearch("uid")
    feed = EngineFeed("s", "uid", engine=search.engine, busy=lambda: busy)
    search.finish(2)
    feed.changed()
    assert (await feed.moment()).finished == 2
    busy = True
    search.finish(1)
    waiting = asyncio.ensure_future(feed.view())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not waiting.done()
    busy = False
    feed.changed()
    assert sum(c.finished_at is not None for c in (await waiting).candidates) == 3
