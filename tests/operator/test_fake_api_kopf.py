"""kopf's operator runs against the fake API server as against a real one."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import kopf
import pytest

from xnas_core.testing.fake_api import FakeApi, Fault
from xnas_core.testing.waiting import until

SEARCH = {
    "apiVersion": "xnas.dev/v1alpha1",
    "kind": "ArchitectureSearch",
    "metadata": {"name": "digits", "namespace": "team"},
    "spec": {"seed": 1},
}


def settings_for_tests() -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    settings.watching.server_timeout = 2
    settings.watching.client_timeout = 3
    settings.watching.reconnect_backoff = 0.05
    settings.networking.error_backoffs = [0.05, 0.1, 0.1]
    settings.posting.enabled = False
    return settings


@asynccontextmanager
async def running(api: FakeApi, registry: kopf.OperatorRegistry, **where: Any) -> AsyncIterator[None]:
    @kopf.on.login(registry=registry)
    def login(**_: Any) -> kopf.ConnectionInfo:
        return kopf.ConnectionInfo(server=api.url)

    ready, stop = threading.Event(), threading.Event()
    flags: Any = {"ready_flag": ready, "stop_flag": stop}
    settings = settings_for_tests()
    # A thread and loop of its own: at its end kopf waits 5 s for every task in its loop that it did not find at its
    # start, and then cancels it; here these would be the connections of the fake.
    thread = asyncio.to_thread(
        lambda: asyncio.run(kopf.operator(registry=registry, settings=settings, standalone=True, **flags, **where))
    )
    operator = asyncio.create_task(thread)
    await until(ready.is_set)
    try:
        yield
    finally:
        stop.set()
        await asyncio.wait_for(operator, 10)


@pytest.mark.parametrize("where", [{"clusterwide": True}, {"namespaces": ["team"]}])
async def test_kopf_handles_creation_change_and_deletion(where: Any) -> None:
    registry = kopf.OperatorRegistry()
    seen: list[tuple[str, int]] = []

    @kopf.on.create("xnas.dev", "v1alpha1", "architecturesearches", registry=registry)
    def create(spec: Any, patch: kopf.Patch, **_: Any) -> None:
        seen.append(("create", spec["seed"]))
        patch.status["state"] = "Seen"

    @kopf.on.update("xnas.dev", "v1alpha1", "architecturesearches", registry=registry)
    def update(spec: Any, **_: Any) -> None:
        seen.append(("update", spec["seed"]))

    @kopf.on.delete("xnas.dev", "v1alpha1", "architecturesearches", registry=registry)
    def delete(spec: Any, **_: Any) -> None:
        seen.append(("delete", spec["seed"]))

    async with FakeApi(namespaces=["team", "other"]) as api:
        api.create(SEARCH | {"metadata": {"name": "before", "namespace": "team"}, "spec": {"seed": 0}})
        async with running(api, registry, **where):
            await until(lambda: ("create", 0) in seen)
            api.create(SEARCH)
            await until(lambda: ("create", 1) in seen)
            await until(lambda: api.get("architecturesearches", "team", "digits").get("status", {}).get("state"))
            assert api.get("architecturesearches", "team", "digits")["metadata"]["finalizers"]
            api.patch("architecturesearches", "team", "digits", {"spec": {"seed": 2}})
            await until(lambda: ("update", 2) in seen)
            api.watches.drop()
            api.patch("architecturesearches", "team", "digits", {"spec": {"seed": 3}})
            await until(lambda: ("update", 3) in seen)
            api.delete("architecturesearches", "team", "digits")
            await until(lambda: not api.exists("architecturesearches", "team", "digits"))
    assert seen == [("create", 0), ("create", 1), ("update", 2), ("update", 3), ("delete", 3)]


async def test_kopf_survives_injected_faults() -> None:
    registry = kopf.OperatorRegistry()
    seen: list[int] = []

    @kopf.on.event("xnas.dev", "v1alpha1", "architecturesearches", registry=registry)
    def event(spec: Any, **_: Any) -> None:
        seen.append(spec["seed"])

    async with FakeApi(namespaces=["team"]) as api:
        async with running(api, registry, clusterwide=True):
            gone = api.faults.add(Fault(verb="watch", resource="architecturesearches", watch_code=410))
            busy = api.faults.add(Fault(code=429, verb="list", resource="architecturesearches", retry_after_s=0))
            api.watches.drop()
            await until(lambda: gone.hits and busy.hits)
            api.create(SEARCH)
            await until(lambda: 1 in seen)
            await api.stop()
            await asyncio.sleep(0.1)
            api.patch("architecturesearches", "team", "digits", {"spec": {"seed": 5}})
            await api.start()
            await until(lambda: 5 in seen)
        assert api.requests
        assert {"list", "watch"} <= {verb for verb, _, resource in api.rules() if resource == "architecturesearches"}
