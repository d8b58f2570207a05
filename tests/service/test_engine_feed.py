"""The view that a feed gives is the engine's, though most of it was made before."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xnas_core.artifacts.retention import without_spent
from xnas_core.search.viewing import view
from xnas_core.service import feed as feeds
from xnas_core.service.errors import NotBegunError
from xnas_core.service.feed import EngineFeed
from xnas_core.tasks import TaskKind
from xnas_core.testing.growing_search import GrowingSearch, spec_document

STEPS = st.lists(
    st.sampled_from(["finish", "fail", "start", "explain", "suspend", "resume", "more", "complete", "restart"]),
    min_size=1,
    max_size=8,
)


def _step(search: GrowingSearch, step: str) -> None:
    spec = search.engine.spec.to_document()
    match step:
        case "finish":
            search.finish(4)
        case "fail":
            search.finish(1, fail=True)
        case "start":
            search.start(2)
        case "explain" if search.engine.archive.keys:
            search.request(TaskKind.EXPLAIN, search.engine.candidates[search.engine.archive.keys[0]].id, {})
        case "suspend" | "resume":
            search.change(spec | {"suspend": step == "suspend"})
        case "more":
            search.change(spec | {"limits": {"maxEvaluations": len(search.engine.candidates) + 9}})
        case "complete":
            search.complete()
        case "restart":
            search.restart()


@settings(deadline=None, max_examples=40)
@given(STEPS)
def test_a_view_is_as_if_made_from_nothing(steps: list[str]) -> None:
    search = GrowingSearch("uid", spec_document(limits={"maxEvaluations": 14}, artifacts={"checkpoints": "front"}))

    async def play() -> None:
        feed = EngineFeed("s", "uid", engine=search.engine)
        for step in steps:
            _step(search, step)
            feed.engine = search.engine
            feed.changed()
            assert await feed.view() == without_spent(view(search.engine, "s"))
            assert await feed.view() is await feed.view()

    asyncio.run(play())


async def test_a_view_that_nobody_asks_for_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "KEPT_SECONDS", 0.01)
    search = GrowingSearch("uid")
    search.finish(3)
    feed = EngineFeed("s", "uid", engine=search.engine)
    first = await feed.view()
    await asyncio.sleep(0.05)
    again = await feed.view()
    assert again is not first
    assert again == first


async def test_before_it_begins_there_is_no_view() -> None:
    with pytest.raises(NotBegunError):
        await EngineFeed("s", "uid").view()
