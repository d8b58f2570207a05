"""The Kubernetes client when the API server is slow, busy, gone or forgetful."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.operator.api_site import QUICK
from xnas_core.errors import InvalidInputError
from xnas_core.testing.fake_api import FakeApi, Fault
from xnas_core.testing.waiting import until
from xnas_operator.kube import (
    CONFIG_MAPS,
    JOBS,
    PODS,
    SEARCHES,
    Exchange,
    ForbiddenError,
    KubeClient,
    Patience,
    UnavailableError,
    WatchEvent,
)
from xnas_operator.kube import client as client_module


def config_map(name: str, data: object = None, **metadata: object) -> dict[str, Any]:
    return {"metadata": {"name": name} | metadata, "data": data or {}}


def make(api: FakeApi, name: str, **metadata: object) -> None:
    whole = {"name": name, "namespace": "team"} | metadata
    api.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": whole})


@pytest.fixture
async def impatient(api: FakeApi, tmp_path: Path) -> AsyncIterator[KubeClient]:
    path = api.kubeconfig(tmp_path / "impatient")
    patience = Patience(attempt_s=0.2, attempts=3, first_wait_s=0.001, longest_retry_after_s=1)
    async with await KubeClient.connect(kubeconfig=path, patience=patience) as client:
        yield client


# Retries


@pytest.mark.parametrize("code", [429, 500, 502, 503, 504])
async def test_what_may_pass_is_tried_again(api: FakeApi, kube: KubeClient, code: int) -> None:
    fault = api.faults.add(Fault(code=code, verb="list", times=3))
    assert (await kube.list(CONFIG_MAPS, "team")).items == []
    assert fault.hits == 3
    fault = api.faults.add(Fault(code=code, verb="list", times=None))
    with pytest.raises(UnavailableError, match="injected") as caught:
        await kube.list(CONFIG_MAPS, "team")
    assert (caught.value.code, caught.value.retryable, fault.hits) == (code, True, 4)


@pytest.mark.parametrize("code", [400, 401, 403, 404, 405, 409, 410, 422])
async def test_what_will_not_pass_is_not_tried_again(api: FakeApi, kube: KubeClient, code: int) -> None:
    fault = api.faults.add(Fault(code=code, verb="list", times=None))
    with pytest.raises(Exception, match="injected"):
        await kube.list(CONFIG_MAPS, "team")
    assert fault.hits == 1


def test_waits_double_with_jitter_and_obey_the_server() -> None:
    patience = Patience(first_wait_s=1, longest_wait_s=10)
    waits = [[patience.wait_s(attempt, None, random.Random(seed)) for seed in range(200)] for attempt in range(1, 7)]
    for attempt, found in enumerate(waits):
        longest = min(2.0**attempt, 10)
        assert longest / 2 <= min(found) < max(found) <= longest
        assert max(found) - min(found) > longest / 4
    assert patience.wait_s(1, 7.0, random.Random(1)) == 7.0


async def test_retry_after_is_read_and_a_long_one_not_waited_for(api: FakeApi, impatient: KubeClient) -> None:
    fault = api.faults.add(Fault(code=429, verb="list", retry_after_s=1, times=1))
    loop = asyncio.get_running_loop()
    began = loop.time()
    await impatient.list(CONFIG_MAPS, "team")
    assert loop.time() - began >= 1
    assert fault.hits == 1
    fault = api.faults.add(Fault(code=429, verb="list", retry_after_s=60, times=None))
    with pytest.raises(UnavailableError) as caught:
        await impatient.list(CONFIG_MAPS, "team")
    assert (caught.value.retry_after_s, fault.hits) == (60, 1)


async def test_an_answer_that_does_not_come_is_not_waited_for(api: FakeApi, impatient: KubeClient) -> None:
    api.faults.add(Fault(verb="get", delay_s=30, times=2))
    make(api, "one")
    assert (await impatient.get(CONFIG_MAPS, "team", "one"))["metadata"]["name"] == "one"
    api.faults.add(Fault(verb="get", delay_s=30, times=None))
    with pytest.raises(UnavailableError, match="no answer in time"):
        await impatient.get(CONFIG_MAPS, "team", "one")


async def test_nobody_listening_is_unavailable(api: FakeApi, kube: KubeClient) -> None:
    await api.stop()
    with pytest.raises(UnavailableError, match="did not answer GET /api/v1/namespaces/team/configmaps"):
        await kube.list(CONFIG_MAPS, "team")


# Repetition after a lost answer


async def test_a_creation_is_not_repeated_after_a_lost_answer(api: FakeApi, kube: KubeClient) -> None:
    api.faults.add(Fault(verb="create", resource="configmaps", lost="after"))
    with pytest.raises(UnavailableError):
        await kube.create(CONFIG_MAPS, "team", {"metadata": {"generateName": "a-"}})
    assert len(api.items("configmaps", "team")) == 1
    api.faults.add(Fault(verb="create", resource="configmaps", code=500))
    with pytest.raises(UnavailableError):
        await kube.create(CONFIG_MAPS, "team", config_map("two"))
    api.faults.add(Fault(verb="create", resource="configmaps", code=429, times=2))
    await kube.create(CONFIG_MAPS, "team", config_map("three"))


async def test_create_or_get_survives_a_lost_answer(api: FakeApi, kube: KubeClient) -> None:
    api.faults.add(Fault(verb="create", resource="configmaps", lost="after"))
    item, created = await kube.create_or_get(CONFIG_MAPS, "team", config_map("one", {"a": "1"}))
    assert (item["data"], created) == ({"a": "1"}, False)
    assert len(api.items("configmaps", "team")) == 1


async def test_apply_patch_and_delete_survive_a_lost_answer(api: FakeApi, kube: KubeClient) -> None:
    for verb in ("patch", "delete"):
        api.faults.add(Fault(verb=verb, resource="configmaps", lost="after"))
    assert (await kube.apply(CONFIG_MAPS, "team", config_map("one", {"a": "1"})))["data"] == {"a": "1"}
    await kube.delete(CONFIG_MAPS, "team", "one")
    assert api.items("configmaps", "team") == []


async def test_an_old_page_begins_anew_is_for_the_caller(api: FakeApi, kube: KubeClient) -> None:
    for number in range(3):
        make(api, f"n{number}")
    api.faults.add(Fault(verb="list", times=1, code=0))
    fault = api.faults.add(Fault(verb="list", code=410))
    with pytest.raises(Exception, match="injected") as caught:
        await kube.list(CONFIG_MAPS, "team", page=1)
    assert (type(caught.value).__name__, fault.hits) == ("GoneError", 1)


# Watches


async def heard(events: AsyncGenerator[WatchEvent, None], count: int) -> list[tuple[str, str]]:
    async with asyncio.timeout(10):
        found = [await anext(events) for _ in range(count)]
    return [(event.type, event.object.get("metadata", {}).get("name", "")) for event in found]


async def test_a_watch_that_breaks_goes_on_without_a_gap(api: FakeApi, kube: KubeClient) -> None:
    make(api, "one")
    events = kube.watch(CONFIG_MAPS, "team")
    assert await heard(events, 2) == [("ADDED", "one"), ("SYNCED", "")]
    hearing = asyncio.create_task(heard(events, 2))
    await asyncio.sleep(0.05)
    api.watches.drop()
    make(api, "two")
    await asyncio.sleep(0.05)
    api.delete("configmaps", "team", "one")
    assert await hearing == [("ADDED", "two"), ("DELETED", "one")]
    lists = [request for request in api.requests if request.verb == "list"]
    assert len(lists) == 1
    await events.aclose()


async def test_what_was_missed_during_an_outage_is_told(api: FakeApi, kube: KubeClient) -> None:
    for name in ("goes", "stays", "returns"):
        make(api, name, labels={"app": "x"}, ownerReferences=[{"kind": "Job", "name": "j", "uid": "u"}])
    events = kube.watch(CONFIG_MAPS, "team")
    await heard(events, 4)
    hearing = asyncio.create_task(heard(events, 5))
    await asyncio.sleep(0.05)
    await api.stop()
    api.delete("configmaps", "team", "goes")
    api.delete("configmaps", "team", "returns")
    make(api, "returns")
    api.storage.forget()
    await api.start()
    told = await hearing
    assert sorted(told[:2]) == [("DELETED", "goes"), ("DELETED", "returns")]
    assert sorted(told[2:4]) == [("ADDED", "returns"), ("ADDED", "stays")]
    assert told[4] == ("SYNCED", "")
    await events.aclose()


async def test_what_is_left_of_a_missed_object_says_whose_it_was(api: FakeApi, kube: KubeClient) -> None:
    owner = [{"kind": "Job", "name": "j", "uid": "u"}]
    make(api, "one", labels={"app": "x"}, ownerReferences=owner)
    events = kube.watch(CONFIG_MAPS, "team")
    await heard(events, 2)
    api.faults.add(Fault(verb="watch", watch_code=410))
    api.delete("configmaps", "team", "one")
    api.storage.forget()
    event = await asyncio.wait_for(anext(events), 10)
    assert event.type == "DELETED"
    metadata = event.object["metadata"]
    assert (metadata["labels"], metadata["ownerReferences"]) == ({"app": "x"}, owner)
    await events.aclose()


@pytest.mark.parametrize("code", [410, 500])
async def test_an_error_in_the_stream_lists_again(api: FakeApi, kube: KubeClient, code: int) -> None:
    api.faults.add(Fault(verb="watch", watch_code=code, times=2))
    make(api, "one")
    events = kube.watch(CONFIG_MAPS, "team")
    assert await heard(events, 6) == [("ADDED", "one"), ("SYNCED", "")] * 3
    make(api, "two")
    assert await heard(events, 1) == [("ADDED", "two")]
    await events.aclose()


async def test_a_refusal_ends_a_watch(api: FakeApi, kube: KubeClient) -> None:
    api.faults.add(Fault(verb="list", code=403, message="not yours"))
    with pytest.raises(ForbiddenError, match="not yours"):
        await heard(kube.watch(CONFIG_MAPS, "team"), 1)


async def test_a_silent_watch_is_replaced(api: FakeApi, kube: KubeClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server sends nothing and never ends the stream; the client's own deadline does."""
    monkeypatch.setattr(client_module, "_OVERTIME_S", 0.3)
    make(api, "one")
    fault = api.faults.add(Fault(verb="watch", silent=True))
    events = kube.watch(CONFIG_MAPS, "team", timeout_s=0)
    await heard(events, 2)
    hearing = asyncio.create_task(heard(events, 1))
    await asyncio.sleep(0.1)
    make(api, "two")
    assert await hearing == [("ADDED", "two")]
    assert fault.hits == 1
    await events.aclose()


async def test_bookmarks_keep_a_quiet_watch_young_and_alive(api: FakeApi, kube: KubeClient) -> None:
    beats = 0

    def alive() -> None:
        nonlocal beats
        beats += 1

    api.watches.bookmark_s = 0.02
    events = kube.watch(CONFIG_MAPS, "team", alive=alive)
    await heard(events, 1)
    hearing = asyncio.create_task(heard(events, 1))
    for number in range(5):  # of another kind: nothing that this watch is told of
        api.create({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": f"s{number}", "namespace": "team"}})
    seen = beats
    await until(lambda: beats > seen + 2)
    api.storage.forget()
    api.watches.drop()
    await asyncio.sleep(0.05)
    make(api, "one")
    assert await hearing == [("ADDED", "one")]
    assert len([request for request in api.requests if request.verb == "list"]) == 1
    await events.aclose()


async def test_long_objects_pass_through_a_watch(api: FakeApi, kube: KubeClient) -> None:
    events = kube.watch(CONFIG_MAPS, "team")
    await heard(events, 1)
    whole = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "big", "namespace": "team"}}
    api.create(whole | {"data": {"a": "ä" * 900_000}})
    event = await asyncio.wait_for(anext(events), 10)
    assert len(event.object["data"]["a"]) == 900_000
    await events.aclose()


# The rest


async def test_the_hook_hears_verbs_as_roles_write_them(api: FakeApi, tmp_path: Path) -> None:
    seen: list[Exchange] = []
    path = api.kubeconfig(tmp_path / "c")
    async with await KubeClient.connect(kubeconfig=path, patience=QUICK, hook=seen.append, user_agent="mine") as kube:
        await kube.apply(CONFIG_MAPS, "team", config_map("one"))
        await kube.list(CONFIG_MAPS)
        await kube.merge_patch(CONFIG_MAPS, "team", "one", {"data": {"a": "1"}})
        item = await kube.get(CONFIG_MAPS, "team", "one")
        await kube.replace(CONFIG_MAPS, "team", item | {"data": {}})
        await kube.delete(CONFIG_MAPS, "team", "one")
        made = await kube.create(SEARCHES, "team", {"metadata": {"name": "s"}})
        await kube.replace_status(SEARCHES, "team", "s", {"state": "Running"}, uid=made["metadata"]["uid"])
        api.create({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "team"}, "spec": {}})
        api.logs["team", "p"] = "one\ntwo\nthree\n"
        assert await kube.pod_logs("team", "p", tail=2) == "two\nthree\n"
        await kube.subject_access_review(user="a", groups=[], verb="get", group="", resource="pods")
        await kube.token_review("t", ["xnas"])
        events = kube.watch(JOBS, "team")
        await anext(events)
        waiting = asyncio.ensure_future(anext(events))
        await asyncio.sleep(0.05)
        waiting.cancel()
        await asyncio.wait((waiting,))
    told = {(exchange.verb, exchange.group, exchange.resource) for exchange in seen}
    assert told | {("create", "", "configmaps")} == api.rules(user_agent="mine")
    assert ("get", "", "pods/log") in told
    assert ("patch", "xnas.dev", "architecturesearches/status") in told
    assert ("watch", "batch", "jobs") in told
    assert {exchange.code for exchange in seen} <= {200, 201}


async def test_without_a_way_to_the_api_a_sentence_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(InvalidInputError, match="set KUBECONFIG"):
        await KubeClient.connect(kubeconfig=tmp_path / "none")


async def test_pods_that_run_end_with_their_kubelet(api: FakeApi, kube: KubeClient) -> None:
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "team"}, "spec": {"nodeName": "n"}}
    api.create(pod | {"status": {"phase": "Running"}})
    await kube.delete(PODS, "team", "p")
    assert api.get("pods", "team", "p")["metadata"]["deletionGracePeriodSeconds"] == 30
    api.set_status("pods", "team", "p", {"phase": "Running", "conditions": []})
    assert api.exists("pods", "team", "p")
    api.delete("pods", "team", "p", gracePeriodSeconds=0)
    assert not api.exists("pods", "team", "p")
