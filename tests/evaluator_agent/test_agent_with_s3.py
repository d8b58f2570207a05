"""A real agent and its workers over an S3 store: they hold no key of it, only grants (protocol.md §6.9)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from xnas_core.artifacts import keys
from xnas_core.artifacts.s3 import S3Store
from xnas_core.artifacts.s3_settings import S3Settings
from xnas_core.dispatch.grants import S3Grants
from xnas_core.tasks import EndReason, TaskResult
from xnas_core.testing.agent_site import Site, site
from xnas_core.testing.evaluator_contract import assignment
from xnas_core.testing.fake_s3 import FakeS3, Refusal, fake_s3

PREFIX = "searches/ns/name/uid"


@pytest.fixture
def s3() -> Iterator[FakeS3]:
    with fake_s3() as fake:
        yield fake


@asynccontextmanager
async def over(settings: S3Settings, folder: Path) -> AsyncIterator[tuple[Site, S3Store]]:
    store = S3Store(settings)
    async with site(folder, store=store, grants=S3Grants(settings)) as here:
        yield here, store
    store.close()


async def test_results_go_to_the_store_and_are_found_there(s3: FakeS3, folder: Path) -> None:
    task = assignment(1, "epochs 3 0")
    async with over(s3.settings(PREFIX), folder) as (here, store):
        result = await here.succeed(task)
        stored = await asyncio.to_thread(store.get, task.prefix + keys.RESULT)
        assert TaskResult.model_validate_json(stored) == result
        assert s3.objects[f"{PREFIX}/{task.prefix}{keys.STATE}"] == b"3"
        assert list(store.list("")) == sorted(task.prefix + name for name in (keys.RESULT, keys.STATE))
    assert not (folder / "out").exists() or not any((folder / "out").iterdir())


async def test_a_later_attempt_goes_on_from_the_state_of_an_earlier_one(s3: FakeS3, folder: Path) -> None:
    first = assignment(1, "epochs 2 0;exit 3")
    second = assignment(1, "epochs 4 0", attempt=2).model_copy(update={"previous_attempts": (1,)})
    async with over(s3.settings(PREFIX), folder) as (here, _):
        assert (await here.fail(first)).reason is EndReason.WORKER_CRASHED
        await here.succeed(second)
    states = [seen for seen in s3.seen if seen.method == "PUT" and f"{second.prefix}{keys.STATE}" in seen.path]
    assert len(states) == 2, "epochs 3 and 4"


async def test_a_store_that_refuses_preempts_the_attempt(s3: FakeS3, folder: Path) -> None:
    async with over(s3.settings(PREFIX), folder) as (here, _):
        s3.script = [Refusal(404, "NoSuchBucket")]
        failure = await here.fail(assignment(1))
        assert failure.reason is EndReason.STORE_UNAVAILABLE
        assert "create the bucket" in failure.message
        assert "X-Amz" not in failure.message
        await here.succeed(assignment(2))


async def test_on_a_real_server(s3_settings: S3Settings, folder: Path) -> None:
    task = assignment(1, "epochs 2 0")
    async with over(s3_settings.below(PREFIX), folder) as (here, store):
        result = await here.succeed(task)
        assert TaskResult.model_validate_json(await asyncio.to_thread(store.get, task.prefix + keys.RESULT)) == result
