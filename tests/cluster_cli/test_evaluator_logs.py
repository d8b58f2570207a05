"""`xnas logs`: pods of the search and of no other, once and as they grow."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.cluster_cli.conftest import Xnas, resource
from xnas_core.cli.cluster import pod_logs
from xnas_core.testing.fake_api import FakeApi, Fault


def _pod(api: FakeApi, name: str, uid: str, text: str, phase: str = "Running") -> None:
    metadata = {"name": name, "namespace": "team-a", "labels": {pod_logs.UID_LABEL: uid}}
    api.create(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": metadata,
            "spec": {"containers": []},
            "status": {"phase": phase},
        }
    )
    api.logs["team-a", name] = text


@pytest.fixture
def uid(api: FakeApi) -> str:
    made: str = api.create(resource())["metadata"]["uid"]
    _pod(api, "digits-evaluators-0-aaaaa", made, "one\ntwo\nthree\n")
    _pod(api, "other-evaluators-0-bbbbb", "another", "not this\n")
    return made


async def test_one_evaluator_needs_no_prefix(run: Xnas, uid: str) -> None:
    assert (await run("logs", "digits")).out == "one\ntwo\nthree\n"
    assert (await run("logs", "digits", "--tail", "1")).out == "three\n"


async def test_lines_of_several_are_told_apart(api: FakeApi, run: Xnas, uid: str) -> None:
    _pod(api, "digits-evaluators-1-ccccc", uid, "four\n")
    _pod(api, "digits-evaluators-2-ddddd", uid, "", phase="Pending")
    assert (await run("logs", "digits", "--tail", "1")).out.splitlines() == [
        "[digits-evaluators-0-aaaaa] three", "[digits-evaluators-1-ccccc] four",
    ]  # fmt: skip
    assert (await run("logs", "digits", "--evaluator", "digits-evaluators-1")).out == "four\n"
    told = await run("logs", "digits", "--evaluator", "digits-evaluators-7")
    assert (told.code, "there are digits-evaluators-0-aaaaa" in told.err) == (2, True)
    answer = json.loads((await run("logs", "digits", "--json")).out)
    assert answer["logs"] == [
        {"evaluator": "digits-evaluators-0-aaaaa", "lines": ["one", "two", "three"]},
        {"evaluator": "digits-evaluators-1-ccccc", "lines": ["four"]},
    ]


async def test_logs_are_followed_until_the_search_is_over(
    api: FakeApi, run: Xnas, uid: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pod_logs, "LOOK_SECONDS", 0.05)
    looks: list[int] = []

    def second_pod_comes(request: Any) -> bool:
        looks.append(1)
        if len(looks) == 3:
            _pod(api, "digits-evaluators-1-ccccc", uid, "four\n")
        if len(looks) == 6:
            api.set_status("architecturesearches", "team-a", "digits", {"state": "Complete"})
        return False

    api.faults.add(Fault(verb="list", resource="pods", when=second_pod_comes, times=None))
    told = await run("logs", "digits", "--follow", "--tail", "2")
    assert (told.code, told.err) == (0, "")
    assert told.out.splitlines() == [
        "[digits-evaluators-0-aaaaa] two", "[digits-evaluators-0-aaaaa] three", "[digits-evaluators-1-ccccc] four",
    ]  # fmt: skip
    lines = [json.loads(line) for line in (await run("logs", "digits", "-f", "--json")).out.splitlines()]
    assert {"evaluator": "digits-evaluators-1-ccccc", "line": "four"} in lines


async def test_a_pod_without_a_log_is_left_out_and_a_refusal_is_said(api: FakeApi, run: Xnas, uid: str) -> None:
    waiting = 'container "evaluator" in pod "digits-evaluators-0-aaaaa" is waiting to start: ContainerCreating'
    api.faults.add(Fault(code=400, subresource="log", message=waiting))
    told = await run("logs", "digits")
    assert (told.code, told.out, told.err) == (0, "", "")
    api.faults.add(Fault(code=403, subresource="log", message='cannot get resource "pods/log"'))
    told = await run("logs", "digits")
    assert (told.code, "pods/log" in told.err) == (1, True)


async def test_a_search_without_evaluators(api: FakeApi, run: Xnas) -> None:
    api.create(resource("idle"))
    told = await run("logs", "idle")
    assert (told.code, told.out) == (0, "")
    assert "no evaluators now" in told.err
    assert "did you mean 'idle'?" in (await run("logs", "idl")).err
