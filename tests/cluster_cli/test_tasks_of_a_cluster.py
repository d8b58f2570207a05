"""`xnas explain` and `xnas refine` of a search on a cluster: asked for, waited for, told."""

from __future__ import annotations

import asyncio
import json

import pytest

from tests.cluster_cli.conftest import Cluster, Xnas
from xnas_core.testing.command_line import Told
from xnas_core.testing.growing_search import GrowingSearch

ANN = ("--service-account", "ann")
REFINE = ("--separate", "3,8", "--epochs", "2")


async def _asked(run: Xnas, growing: GrowingSearch, *arguments: str, fail: bool = False) -> Told:
    """Run a command; do the task when it was asked for."""
    telling = asyncio.ensure_future(run(*arguments, *ANN))
    for _ in range(1000):
        if growing.engine.progress().requested or telling.done():
            break
        await asyncio.sleep(0.01)
    if not telling.done():
        await asyncio.sleep(0.1)
        growing.finish(1, fail=fail)
    return await asyncio.wait_for(telling, 60)


@pytest.mark.parametrize("ended", [False, True])
async def test_explain_waits_until_the_task_has_ended(cluster: Cluster, run: Xnas, ended: bool) -> None:
    growing = cluster.search()
    growing.finish(8)
    if ended:
        growing.complete()
    member = growing.engine.candidates[growing.engine.archive.keys[0]].id
    told = await _asked(run, growing, "explain", "digits", member, "--samples-per-class", "1", "--json")
    assert (told.code, told.err) == (0, "")
    answer = json.loads(told.out)
    assert answer["explained"] == [f"candidates/{member}/explain-1/explanations/gradCam.png"]
    assert answer["id"] == member


async def test_a_task_that_fails_is_said(cluster: Cluster, run: Xnas) -> None:
    growing = cluster.search()
    (candidate, *_) = growing.finish(3)
    told = await _asked(run, growing, "refine", "digits", candidate, *REFINE, fail=True)
    assert told.code == 1
    assert f"refine of {candidate} failed: NonFinite: the loss is nan" in told.err


async def test_what_the_service_refuses_is_said_in_its_words(cluster: Cluster, run: Xnas) -> None:
    growing = cluster.search()
    failed = growing.finish(1, fail=True)[0]
    told = await _asked(run, growing, "explain", "digits", failed)
    assert told.code == 2
    assert "retry it first" in told.err
