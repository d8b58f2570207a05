"""`watch`: across restarts of the service, from the beginning, from a token, and to its end."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from xnas_core.api.status import StateWord
from xnas_core.client import Deleted, Finished, NewState, RetryPolicy, Stands
from xnas_core.service.errors import DeadlineError, NotFoundError, UnavailableError
from xnas_core.testing.growing_search import GrowingSearch
from xnas_core.testing.search_site import NAME, NAMESPACE, TOKEN, SearchSite
from xnas_core.testing.waiting import until

if TYPE_CHECKING:
    from tests.client.conftest import Connect, Sdk

WHERE = (NAMESPACE, NAME)


def told(events: list[Any]) -> list[str]:
    return [c.id for event in events if isinstance(event, Finished) for c in event.candidates]


def arrived(growing: GrowingSearch) -> list[str]:
    return [growing.engine.candidates[number].id for number in growing.engine.arrivals]


async def test_nothing_is_missed_or_repeated_across_restarts(site: SearchSite, sdk: Sdk) -> None:
    growing = site.add()
    growing.finish(3)
    events: list[Any] = []

    async def listen() -> None:
        async for event in sdk.iterate("watch", *WHERE, from_beginning=True):
            events.append(event)

    listener = asyncio.ensure_future(listen())
    for _ in range(3):
        await until(lambda: len(told(events)) == len(arrived(growing)))
        await site.stop()
        growing.finish(5)
        site.memory.restart()
        await site.start()
        growing.finish(4)
    growing.complete()
    async with asyncio.timeout(30):
        await listener
    assert told(events) == arrived(growing)
    assert sum(isinstance(event, Stands) for event in events) == 1
    assert isinstance(events[-1], NewState)
    assert events[-1].standing.state is StateWord.COMPLETE


async def test_a_watch_goes_on_in_another_process(site: SearchSite, connect: Connect) -> None:
    growing = site.add()
    growing.finish(4)
    token = ""
    async for event in connect().iterate("watch", *WHERE, from_beginning=True):
        token = event.token
        if isinstance(event, Finished):
            break
    growing.complete()
    later = await connect().collect("watch", *WHERE, resume_token=token)
    assert told(later) == arrived(growing)[4:]
    assert not any(isinstance(event, Stands) for event in later)
    # Of a search that is over, nothing is left to tell, and the watch ends nevertheless.
    again = await connect().collect("watch", *WHERE, resume_token=later[-1].token)
    assert told(again) == []


async def test_a_finished_search_ends_a_watch_at_once(site: SearchSite, sdk: Sdk) -> None:
    site.add().complete()
    events = await sdk.collect("watch", *WHERE)
    assert [type(event) for event in events] == [Stands]
    assert events[0].standing.state is StateWord.COMPLETE


async def test_it_can_go_on_until_the_search_is_deleted(site: SearchSite, sdk: Sdk) -> None:
    growing = site.add()
    growing.complete()
    events: list[Any] = []

    async def listen() -> None:
        async for event in sdk.iterate("watch", *WHERE, until_finished=False):
            events.append(event)

    listener = asyncio.ensure_future(listen())
    await until(lambda: events)
    site.memory.searches.pop(WHERE).feed.end()
    async with asyncio.timeout(20):
        await listener
    assert isinstance(events[-1], Deleted)


async def test_an_unknown_search_is_no_reason_to_wait(sdk: Sdk) -> None:
    with pytest.raises(NotFoundError):
        await sdk.collect("watch", *WHERE)


async def test_a_token_that_ran_out_is_fetched_anew(site: SearchSite, connect: Connect) -> None:
    await site.stop()
    site.settings["sign_of_life_seconds"] = 0.05
    growing = site.add()
    await site.start()
    fetched: list[str] = []

    def token() -> str:
        fetched.append(TOKEN if not fetched else "second")
        return fetched[-1]

    events: list[Any] = []

    async def listen() -> None:
        async for event in connect(token=token).iterate("watch", *WHERE):
            events.append(event)

    listener = asyncio.ensure_future(listen())
    await until(lambda: events)
    site.authorizer.tokens = {"second": "ann"}  # type: ignore[attr-defined]  # a FakeAuthorizer
    await until(lambda: len(fetched) > 1)
    growing.complete()
    async with asyncio.timeout(20):
        await listener
    assert told(events) == arrived(growing)


async def test_a_service_that_is_gone_is_given_up(site: SearchSite, connect: Connect) -> None:
    site.add()
    retry = RetryPolicy(first_pause_seconds=0.01, longest_pause_seconds=0.02, reconnects=3)
    events = connect(retry=retry).iterate("watch", *WHERE)
    await anext(events)
    await site.stop()
    with pytest.raises(UnavailableError):
        async with asyncio.timeout(30):
            await anext(events)


async def test_a_silent_service_is_given_up(site: SearchSite, connect: Connect) -> None:
    site.add()
    retry = RetryPolicy(first_pause_seconds=0.01, longest_pause_seconds=0.02, reconnects=2, idle_seconds=0.2)
    with pytest.raises(DeadlineError, match=r"said nothing for 0\.2 s"):
        await connect(retry=retry).collect("watch", *WHERE)
