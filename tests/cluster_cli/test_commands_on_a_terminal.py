"""Commands for a cluster as processes on a terminal."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from tests.cluster_cli.conftest import Cluster, Xnas, resource
from xnas_core.search.viewing import view
from xnas_core.testing.command_line import Told, xnas_on_terminal
from xnas_core.testing.fake_api import FakeApi


async def _on_terminal(*arguments: str, typed: tuple[tuple[str, str], ...] = ()) -> Told:
    environment = {"KUBECONFIG": os.environ["KUBECONFIG"]}
    return await asyncio.to_thread(xnas_on_terminal, *arguments, environment=environment, typed=typed, timeout=60)


async def test_watch_draws_and_leaves_the_front(cluster: Cluster, run: Xnas) -> None:
    growing = cluster.search()
    growing.complete()
    told = await _on_terminal("watch", "digits", "--service-account", "ann")
    assert told.code == 0
    assert "team-a/digits · Complete" in told.text
    front = view(growing.engine, "digits").front
    last = told.text.splitlines()[-len(front) :]
    assert [line.split()[0] for line in last] == list(front)


async def test_ctrl_c_ends_the_watch_and_not_the_search(cluster: Cluster, run: Xnas) -> None:
    cluster.search().finish(5)
    told = await _on_terminal("watch", "digits", "--service-account", "ann", typed=(("5/60 evaluations", "\x03"),))
    assert told.code == 130
    assert "Traceback" not in told.text
    assert not {request.verb for request in cluster.api.requests} & {"patch", "delete"}


async def test_delete_asks_before_artifacts_go(api: FakeApi, run: Xnas, tmp_path: Path) -> None:
    api.create(resource(artifacts={"retention": "Delete"}))
    question = "Delete team-a/digits and all its artifacts? [y/N]"
    told = await _on_terminal("delete", "digits", typed=((question, "n\n"),))
    assert told.code != 0
    assert api.exists("architecturesearches", "team-a", "digits")
    told = await _on_terminal("delete", "digits", typed=((question, "y\n"),))
    assert told.code == 0
    assert not api.exists("architecturesearches", "team-a", "digits")
