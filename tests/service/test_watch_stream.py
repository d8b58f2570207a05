"""The stream of a watch: at the reader's pace, with signs of life, and an end that can be seen."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from xnas.v1alpha1 import search_pb2 as pb
from xnas_core.service.errors import NotFoundError
from xnas_core.service.streaming import watch
from xnas_core.testing.memory_backend import MemoryBackend
from xnas_core.testing.search_site import NAME, NAMESPACE, manifest


async def nothing() -> None:
    """Rights are looked at elsewhere."""


@pytest.fixture
def backend() -> MemoryBackend:
    made = MemoryBackend()
    made.put(NAMESPACE, manifest())
    return made


def watched(
    backend: MemoryBackend, token: str = "", *, sign_of_life_seconds: float = 60.0
) -> AsyncIterator[pb.WatchSearchResponse]:
    request = pb.WatchSearchRequest(namespace=NAMESPACE, name=NAME, resume_token=token)
    return watch(backend, request, nothing, sign_of_life_seconds=sign_of_life_seconds, pause_seconds=0.0)


async def until(events: AsyncIterator[pb.WatchSearchResponse], kind: str) -> list[pb.WatchSearchResponse]:
    heard: list[pb.WatchSearchResponse] = []
    async with asyncio.timeout(20):
        while not heard or heard[-1].WhichOneof("event") != kind:
            heard.append(await anext(events))
    return heard


async def test_what_a_slow_reader_did_not_fetch_is_put_together(backend: MemoryBackend) -> None:
    growing = backend.begin(NAMESPACE, NAME)
    events = watched(backend)
    await anext(events)
    spec = growing.engine.spec.to_document()
    for number in range(40):
        growing.finish(1)
        growing.change(spec | {"suspend": number % 2 == 0})
        await asyncio.sleep(0)
    heard = await until(events, "progress")
    assert sum(len(event.candidates_finished.candidates) for event in heard) == 20
    assert heard[0].WhichOneof("event") == "candidates_finished"
    assert len(heard) <= 3, "one event for candidates, one for the front, one for numbers"


async def test_a_watch_begins_before_the_search_and_sees_it_begin(backend: MemoryBackend) -> None:
    events = watched(backend)
    first = await anext(events)
    assert first.standing.state.state == pb.SEARCH_STATE_PENDING
    assert not first.standing.HasField("progress")
    backend.begin(NAMESPACE, NAME).finish(2)
    heard = await until(events, "state_changed")
    assert heard[-1].state_changed.state == pb.SEARCH_STATE_RUNNING


async def test_there_are_signs_of_life(backend: MemoryBackend) -> None:
    backend.begin(NAMESPACE, NAME).finish(2)
    events = watched(backend, sign_of_life_seconds=0.01)
    first = await anext(events)
    for _ in range(3):
        async with asyncio.timeout(20):
            sign = await anext(events)
        assert sign.WhichOneof("event") == "progress"
        assert sign.resume_token == first.resume_token
        assert sign.progress.succeeded == 2
        assert not sign.search_finished


async def test_the_end_can_be_seen_also_by_who_comes_back_late(backend: MemoryBackend) -> None:
    growing = backend.begin(NAMESPACE, NAME)
    events = watched(backend)
    assert not (await anext(events)).search_finished
    growing.complete()
    heard = await until(events, "state_changed")
    assert [event.search_finished for event in heard] == [False] * (len(heard) - 1) + [True]
    again = watched(backend, heard[-1].resume_token)
    async with asyncio.timeout(20):
        sign = await anext(again)
    assert (sign.WhichOneof("event"), sign.search_finished) == ("progress", True)
    assert sign.resume_token == heard[-1].resume_token


async def test_deletion_ends_the_stream_now_and_for_who_comes_back(backend: MemoryBackend) -> None:
    backend.begin(NAMESPACE, NAME).finish(1)
    events = watched(backend)
    token = (await anext(events)).resume_token
    held = backend.searches.pop((NAMESPACE, NAME))
    held.feed.end()
    assert [event.WhichOneof("event") async for event in events] == ["deleted"]
    assert [event.WhichOneof("event") async for event in watched(backend, token)] == ["deleted"]
    backend.put(NAMESPACE, manifest())
    assert [event.WhichOneof("event") async for event in watched(backend, token)] == ["deleted"]


async def test_who_never_saw_it_is_told_that_there_is_none() -> None:
    with pytest.raises(NotFoundError):
        await anext(watched(MemoryBackend()))
