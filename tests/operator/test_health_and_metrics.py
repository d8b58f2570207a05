"""Liveness, readiness and metrics, over HTTP as Kubernetes and Prometheus ask."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from xnas_core.errors import InvalidInputError, StoreError
from xnas_core.testing.fake_api import FakeApi, Fault
from xnas_operator.http import Heartbeats, HttpServer, Readiness
from xnas_operator.kube import CONFIG_MAPS, Exchange, KubeClient, UnavailableError
from xnas_operator.kube.transport import Patience
from xnas_operator.manifests.names import Owner
from xnas_operator.metrics import Metrics


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Port:
    server: HttpServer
    heartbeats: Heartbeats
    readiness: Readiness
    metrics: Metrics
    clock: Clock

    async def get(self, path: str, method: str = "GET") -> tuple[int, Any, str]:
        async with aiohttp.ClientSession() as session:
            response = await session.request(method, f"http://127.0.0.1:{self.server.port}{path}")
            return response.status, await response.text(), response.headers.get("Server", "")

    async def report(self, path: str) -> tuple[int, dict[str, str]]:
        async with aiohttp.ClientSession() as session:
            response = await session.get(f"http://127.0.0.1:{self.server.port}{path}")
            document = await response.json()
            assert (response.status == 200) is (document["status"] == "ok")
            return response.status, document["checks"]


@pytest.fixture
async def port() -> AsyncIterator[Port]:
    clock = Clock()
    heartbeats, readiness, metrics = Heartbeats(clock), Readiness(), Metrics()
    server = HttpServer(0, heartbeats, readiness, metrics, host="127.0.0.1")
    await server.start()
    yield Port(server, heartbeats, readiness, metrics, clock)
    await server.stop()


async def test_liveness_fails_when_a_heartbeat_is_too_old(port: Port) -> None:
    assert await port.report("/healthz") == (200, {})
    watch = port.heartbeats.register("watch of searches", 60)
    port.clock.now = 60
    assert await port.report("/healthz") == (200, {"watch of searches": "ok"})
    port.clock.now = 75
    sentence = "no sign of life for 75 s; 60 s are allowed"
    assert await port.report("/healthz") == (503, {"watch of searches": sentence})
    watch.beat()
    assert (await port.report("/healthz"))[0] == 200
    port.heartbeats.remove("watch of searches")
    assert await port.report("/healthz") == (200, {})


async def test_a_silent_watch_is_noticed(api: FakeApi, kube: KubeClient, port: Port) -> None:
    beat = port.heartbeats.register("watch", 60)
    beats: list[float] = []

    def alive() -> None:
        beats.append(port.clock.now)
        beat.beat()

    events = kube.watch(CONFIG_MAPS, "team", alive=alive)
    assert (await anext(events)).type == "SYNCED"
    assert beats == [0.0]
    port.clock.now = 50
    waiting = asyncio.ensure_future(anext(events))
    api.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "one", "namespace": "team"}})
    await waiting
    assert beats == [0.0, 50.0]
    port.clock.now = 111
    assert (await port.report("/healthz"))[0] == 503
    await events.aclose()


async def test_readiness_names_what_fails(port: Port) -> None:
    async def fine() -> None: ...

    async def broken() -> None:
        raise StoreError("the bucket xnas is not there")

    async def hanging() -> None:
        await asyncio.sleep(100)

    async def buggy() -> None:
        raise ZeroDivisionError

    port.readiness.add("api", fine)
    assert await port.report("/readyz") == (200, {"api": "ok"})
    port.readiness._memory.forget()
    port.readiness.add("store", broken)
    port.readiness.add("slow", hanging, 0.05)
    port.readiness.add("buggy", buggy)
    assert await port.report("/readyz") == (
        503,
        {
            "api": "ok",
            "store": "the bucket xnas is not there",
            "slow": "no answer within 0.05 s",
            "buggy": "error: ZeroDivisionError",
        },
    )


async def test_many_who_ask_cause_one_check(port: Port) -> None:
    asked = 0

    async def probe() -> None:
        nonlocal asked
        asked += 1
        await asyncio.sleep(0.05)

    port.readiness.add("store", probe)
    await asyncio.gather(*(port.report("/readyz") for _ in range(10)))
    assert asked == 1


async def test_the_api_server_is_a_check(api: FakeApi, port: Port, tmp_path: Any) -> None:
    path = api.kubeconfig(tmp_path / "config")
    async with await KubeClient.connect(kubeconfig=path, patience=Patience(attempts=1)) as kube:
        port.readiness.add("api", kube.ready)
        assert (await port.report("/readyz"))[0] == 200
        await api.stop()
        port.readiness._memory.forget()
        status, checks = await port.report("/readyz")
        assert (status, "did not answer" in checks["api"]) == (503, True)


async def test_nothing_else_is_served_and_no_version_is_told(port: Port) -> None:
    assert (await port.get("/"))[0] == 404
    assert (await port.get("/healthz", "POST"))[0] == 405
    assert (await port.get("/healthz"))[2] == "xnas"


async def test_a_port_that_is_taken_is_named(port: Port) -> None:
    other = HttpServer(port.server.port, port.heartbeats, port.readiness, port.metrics, host="127.0.0.1")
    with pytest.raises(InvalidInputError, match=r"cannot listen on port .*; change http\.port"):
        await other.start()


# Metrics


DIGITS = Owner("team", "digits", "uid")


def values(metrics: Metrics) -> dict[tuple[str, ...], float]:
    """(name, label values in the order of their names) -> value, of our own series."""
    text = metrics.exposition()[0].decode()
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name.startswith("xnas_")
    }


async def test_metrics_are_read_by_prometheus(port: Port) -> None:
    port.metrics.begin(DIGITS)
    port.metrics.evaluation_ended(DIGITS, "succeeded", 3.0)
    async with aiohttp.ClientSession() as session:
        response = await session.get(f"http://127.0.0.1:{port.server.port}/metrics")
        assert response.headers["Content-Type"].startswith("text/plain; version=")
        names = {family.name for family in text_string_to_metric_families(await response.text())}
    assert {"xnas_evaluations", "xnas_evaluation_seconds", "process_resident_memory_bytes"} <= names


def test_every_metric_has_its_name_and_labels() -> None:
    metrics = Metrics()
    metrics.begin(DIGITS)
    metrics.evaluation_ended(DIGITS, "succeeded", 3.0)
    metrics.evaluation_ended(DIGITS, "failed")
    metrics.slots(DIGITS, {"busy": 2, "free": 1})
    metrics.front(DIGITS, 7, 0.25)
    metrics.waited(2.0)
    metrics.journal(0.02)
    metrics.store("get", 0.1)
    metrics.standing(DIGITS, "Running")
    metrics.api(Exchange("patch", "xnas.dev", "architecturesearches/status", "team", 200, 0.01))
    metrics.api(Exchange("get", "", "pods", "team", 0, 0.01))
    found = values(metrics)
    expected: dict[tuple[str, ...], float] = {
        ("xnas_evaluations_total", "team", "succeeded", "digits"): 1,
        ("xnas_evaluations_total", "team", "failed", "digits"): 1,
        ("xnas_slots", "team", "digits", "busy"): 2,
        ("xnas_slots", "team", "digits", "disconnected"): 0,
        ("xnas_front_size", "team", "digits"): 7,
        ("xnas_hypervolume", "team", "digits"): 0.25,
        ("xnas_evaluation_seconds_sum",): 3,
        ("xnas_queue_wait_seconds_sum",): 2,
        ("xnas_journal_seconds_count",): 1,
        ("xnas_store_seconds_count", "get"): 1,
        ("xnas_searches", "Running"): 1,
        ("xnas_searches", "Failed"): 0,
        ("xnas_api_requests_total", "200", "architecturesearches/status", "patch"): 1,
        ("xnas_api_requests_total", "none", "pods", "get"): 1,
        ("xnas_api_errors_total",): 1,
    }
    assert {key: found.get(key) for key in expected} == expected


def test_a_deleted_search_leaves_no_series() -> None:
    metrics = Metrics()
    before = values(metrics)
    first, second = (Owner("team", name, f"uid-{name}") for name in ("one", "two"))
    for one in (first, second):
        metrics.begin(one)
        metrics.evaluation_ended(one, "failed")
        metrics.slots(one, {"busy": 1})
        metrics.front(one, 3, None)
        metrics.standing(one, "Pending")
        metrics.standing(one, "Running")
    assert values(metrics)["xnas_searches", "Running"] == 2
    metrics.forget(first)
    assert values(metrics)["xnas_searches", "Running"] == 1
    assert not [key for key in values(metrics) if "one" in key]
    assert [key for key in values(metrics) if "two" in key]
    metrics.forget(second)
    metrics.forget(Owner("team", "never-there", "uid"))
    assert set(values(metrics)) == set(before)
    assert values(metrics)["xnas_searches", "Running"] == 0


def test_a_name_that_is_used_again_is_another_search() -> None:
    metrics = Metrics()
    old, new, elsewhere = Owner("team", "one", "old"), Owner("team", "one", "new"), Owner("other", "one", "old")
    for owner in (old, elsewhere):
        metrics.begin(owner)
        metrics.evaluation_ended(owner, "succeeded", 1.0)
        metrics.slots(owner, {"busy": 4})
        metrics.standing(owner, "Complete")
    metrics.begin(new)
    assert not [key for key in values(metrics) if "team" in key], "what the former one counted is not the new one's"
    metrics.evaluation_ended(new, "failed")
    metrics.front(new, 3, 0.5)
    metrics.standing(new, "Running")
    # The former one is on its way out, and speaks on.
    metrics.evaluation_ended(old, "failed")
    metrics.front(old, 9, 0.9)
    metrics.slots(old, {"busy": 4})
    metrics.forget(old)
    found = values(metrics)
    assert found["xnas_evaluations_total", "team", "failed", "one"] == 1
    assert found["xnas_front_size", "team", "one"] == 3
    assert ("xnas_slots", "team", "one", "busy") not in found
    assert found["xnas_evaluations_total", "other", "succeeded", "one"] == 1
    assert (found["xnas_searches", "Running"], found["xnas_searches", "Complete"]) == (1, 1)
    metrics.begin(new)
    assert values(metrics) == found, "a controller that is begun again goes on"


def test_labels_are_bounded() -> None:
    metrics = Metrics()
    metrics.begin(DIGITS)
    for number in range(50):
        metrics.evaluation_ended(DIGITS, f"outcome-{number}")
        metrics.store(f"operation-{number}", 0.1)
        metrics.slots(DIGITS, {f"state-{number}": 1})
        metrics.standing(Owner("team", f"search-{number}", ""), f"state-{number}")
        metrics.api(Exchange(f"verb-{number}", "", "pods", "team", 1000 + number, 0.1))
    found = values(metrics)
    assert found["xnas_evaluations_total", "team", "other", "digits"] == 50
    assert found["xnas_api_requests_total", "none", "pods", "other"] == 50
    assert not [key for key in found if any(part.endswith("-7") for part in key)]


async def test_each_attempt_at_the_api_is_counted(api: FakeApi, tmp_path: Any) -> None:
    metrics = Metrics()
    path = api.kubeconfig(tmp_path / "config")
    patience = Patience(attempts=3, first_wait_s=0.001)
    async with await KubeClient.connect(kubeconfig=path, patience=patience, hook=metrics.api) as kube:
        api.faults.add(Fault(code=500, verb="list", times=2))
        await kube.list(CONFIG_MAPS, "team")
        api.faults.add(Fault(lost="before", verb="list", times=None))
        with pytest.raises(UnavailableError):
            await kube.list(CONFIG_MAPS, "team")
    found = values(metrics)
    counts = {key[1]: value for key, value in found.items() if key[0] == "xnas_api_requests_total"}
    assert counts == {"500": 2, "200": 1, "none": 3}
    assert found[("xnas_api_errors_total",)] == 5


async def test_a_check_that_hangs_is_made_only_once() -> None:
    begun: list[None] = []
    answer = asyncio.Event()

    async def probe() -> None:
        begun.append(None)
        await answer.wait()

    readiness = Readiness()
    readiness.add("store", probe, deadline_s=0.01)
    for _ in range(3):
        assert await readiness._make() == {"store": "no answer within 0.01 s"}
    assert len(begun) == 1
    answer.set()
    readiness.add("store", probe, deadline_s=5)
    assert await readiness._make() == {"store": "ok"}
