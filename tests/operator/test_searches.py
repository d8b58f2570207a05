"""Searches from resource to front, over the fakes: the reconciler's behaviour, faults included."""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest

from tests.operator.plant import Plant, manifest
from xnas_core.dispatch import messages as m
from xnas_core.search.engine import Engine
from xnas_core.search.recovery import recover
from xnas_core.testing.fake_api import FakeApi, Fault
from xnas_core.testing.fake_evaluator import FakeEvaluator, Outcome
from xnas_core.testing.memory_store import Fault as StoreFault
from xnas_core.testing.waiting import until
from xnas_operator.artifact_keeping import FINALIZER
from xnas_operator.known import Pace
from xnas_operator.kube import JOBS, PODS, KubeClient
from xnas_operator.metrics import Metrics

SLOW = 0.15
LONG: dict[str, Any] = {"limits": {"maxEvaluations": 40}, "algorithm": {"populationSize": 10}}
"""A search that with two slow evaluators takes some seconds, so that a status is seen in its middle."""


@pytest.fixture
async def plant(api: FakeApi, kube: KubeClient) -> AsyncIterator[Plant]:
    plant = Plant(api, kube)
    async with plant.kubelet.running():
        yield plant


def slow(plant: Plant, seconds: float = SLOW) -> None:
    """Let each evaluation take a while, so that something can happen in the middle of a search."""
    shape = plant.kubelet.shape

    def slower(evaluator: FakeEvaluator) -> None:
        shape(evaluator)
        evaluator.outcome = lambda _: Outcome(seconds=seconds)

    plant.kubelet.shape = slower


def patch(plant: Plant, **spec: Any) -> None:
    plant.api.patch("architecturesearches", "team", "one", {"spec": spec})


def journalled(plant: Plant, name: str = "one") -> Engine:
    """Return the search as its journal has it."""
    (root,) = [root for root in plant.stores if f"/{name}/" in root]
    engine, _ = recover(plant.stores[root])
    assert engine is not None
    return engine


def outcome(engine: Engine) -> list[tuple[object, ...]]:
    """Return what the promise covers: candidates, parents, values and the front."""
    front = {engine.candidates[number].id for number in engine.archive.keys}
    return [(c.id, c.parents, c.values, c.id in front) for c in engine.candidates]


async def finished(plant: Plant, count: int, name: str = "one") -> None:
    await until(lambda: (plant.status(name).get("evaluations") or {}).get("finished", 0) >= count, 30)


async def test_from_apply_to_complete(plant: Plant) -> None:
    metrics = Metrics()
    async with plant.operator(metrics=metrics):
        plant.api.create(manifest())
        status = await plant.state("Complete")
        await until(lambda: "reportUri" in plant.status())
        assert status["evaluations"]["succeeded"] == 8
        assert status["frontSize"] >= 1
        assert plant.condition("Complete")["status"] == "True"
        await until(lambda: not plant.api.items("jobs"))
        assert metrics.registry.get_sample_value("xnas_searches", {"state": "Complete"}) == 1
        assert metrics.registry.get_sample_value("xnas_searches", {"state": "Running"}) == 0
    (root,) = plant.stores
    uid = plant.api.get("architecturesearches", "team", "one")["metadata"]["uid"]
    assert root == f"searches/team/one/{uid}/"
    assert {"report.html", "front.csv", "candidates.parquet", "search.json"} <= set(plant.stores[root].objects)
    reasons = {event["reason"] for event in plant.api.items("events")}
    assert {"Accepted", "EvaluatorsCreated", "Complete"} <= reasons


async def test_an_operator_killed_in_mid_search_is_followed_by_one_that_ends_with_the_same_front(plant: Plant) -> None:
    async with plant.operator():
        plant.api.create(manifest("undisturbed", **LONG))
        await plant.state("Complete", "undisturbed")
    slow(plant)
    plant.api.create(manifest(**LONG))
    for count in (1, 10, 25):
        async with plant.operator():
            await finished(plant, count)
    async with plant.operator():
        await plant.state("Complete")
    assert outcome(journalled(plant)) == outcome(journalled(plant, "undisturbed"))
    # Evaluators went on meanwhile, so nothing was done twice; an assignment that was never sent is another's attempt.
    attempts = [attempt for task in journalled(plant).ledger.tasks.values() for attempt in task.attempts]
    assert {attempt.outcome for attempt in attempts} <= {"succeeded", "Cancelled"}


async def test_suspended_it_has_no_evaluators_and_resumed_it_goes_on(plant: Plant) -> None:
    slow(plant)
    async with plant.operator():
        plant.api.create(manifest(**LONG))
        await finished(plant, 2)
        patch(plant, suspend=True)
        await plant.state("Suspended")
        await until(lambda: not plant.api.items("jobs") and not plant.api.items("pods"))
        done = plant.status()["evaluations"]["finished"]
        await asyncio.sleep(1.0)
        assert plant.status()["evaluations"]["finished"] == done
        patch(plant, suspend=False)
        await plant.state("Complete")
    ends = [a.outcome for task in journalled(plant).ledger.tasks.values() for a in task.attempts]
    assert set(ends) <= {"succeeded", "Drained", "ScaledDown", "Cancelled"}


async def test_raised_limits_reopen_a_finished_search(plant: Plant) -> None:
    async with plant.operator():
        plant.api.create(manifest())
        await plant.state("Complete")
        await until(lambda: "reportUri" in plant.status())
        patch(plant, limits={"maxEvaluations": 12})
        await until(lambda: plant.status()["evaluations"]["finished"] == 12, 30)
        await plant.state("Complete")
        await until(lambda: plant.status().get("reportUri") and not plant.api.items("jobs"))
    assert len(journalled(plant).candidates) == 12


async def test_the_pool_is_scaled_up_and_down(plant: Plant) -> None:
    slow(plant)
    async with plant.operator():
        plant.api.create(manifest(limits={"maxEvaluations": 2000}, algorithm={"populationSize": 50}))
        await until(lambda: plant.status().get("evaluators") == {"desired": 2, "ready": 2})
        patch(plant, evaluators={"replicas": 5})
        await until(lambda: plant.status()["evaluators"] == {"desired": 5, "ready": 5})
        patch(plant, evaluators={"replicas": 1})
        await until(lambda: plant.status()["evaluators"] == {"desired": 1, "ready": 1})
        (job,) = plant.api.items("jobs")
        assert (job["spec"]["parallelism"], job["spec"]["completions"]) == (1, 1)
        ends = {a.outcome for task in plant.controller().session.engine.ledger.tasks.values() for a in task.attempts}  # type: ignore[union-attr]
        assert ends <= {"succeeded", "running", "Drained", "ScaledDown", "Cancelled"}


async def test_what_ended_an_attempt_is_read_from_the_pod(plant: Plant) -> None:
    slow(plant, 0.5)
    async with plant.operator():
        plant.api.create(manifest(**LONG))
        await until(lambda: len([e for e in plant.kubelet.evaluators.values() if e.assigned]) == 2)
        first, second = list(plant.kubelet.evaluators)
        await plant.kubelet.kill(first, reason="OOMKilled")
        await plant.kubelet.evict(second)
        await plant.state("Complete")
    ends = [a.outcome for task in journalled(plant).ledger.tasks.values() for a in task.attempts]
    assert ends.count("OutOfMemory") == 1
    assert ends.count("Evicted") + ends.count("Drained") == 1
    assert ends.count("succeeded") >= 40


async def test_a_pod_deleted_while_no_operator_watched_costs_no_attempt(plant: Plant) -> None:
    slow(plant, 0.5)
    async with plant.operator():
        plant.api.create(manifest(**LONG))
        await until(lambda: any(e.assigned for e in plant.kubelet.evaluators.values()))
        await until(lambda: plant.status().get("evaluations", {}).get("running"))
    for name in list(plant.kubelet.evaluators):
        await plant.kubelet._stop(name)
        plant.api.delete("pods", "team", name, gracePeriodSeconds=0)
    async with plant.operator():
        await plant.state("Complete")
    attempts = [attempt for task in journalled(plant).ledger.tasks.values() for attempt in task.attempts]
    ends = [(attempt.outcome, attempt.message) for attempt in attempts if attempt.outcome != "succeeded"]
    assert ends
    assert {outcome for outcome, _ in ends} <= {"Evicted", "Cancelled"}, ends


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"searchSpace": {"name": "nowhere"}}, "nowhere"),
        ({"searchSpace": {"name": "nas-bench-201", "parameters": {"channels": -1}}}, "channels"),
        ({"objectives": [{"name": "beauty", "direction": "maximize"}]}, "lacks objective beauty"),
        ({"dataset": {"name": "faces"}}, "lacks data set faces"),
        ({"dataset": {"source": {"npz": "s3://secret/x.npz"}}}, "may not read s3://secret/x.npz"),
        ({"evaluators": {"template": {"spec": {"restartPolicy": "Always"}}}}, "restartPolicy"),
    ],
)
async def test_what_cannot_run_is_refused_with_a_sentence(plant: Plant, spec: Any, said: str) -> None:
    async with plant.operator():
        plant.api.create(manifest(**spec))
        await plant.state("Failed")
        accepted = plant.condition("Accepted")
        assert accepted["status"] == "False"
        assert said in accepted["message"]
        await until(lambda: not plant.api.items("jobs"))
        await until(lambda: any(said in event["message"] for event in plant.api.items("events")))


async def test_data_that_an_evaluator_cannot_read_are_named(plant: Plant) -> None:
    shape = plant.kubelet.shape

    def blind(evaluator: FakeEvaluator) -> None:
        shape(evaluator)
        evaluator.description = m.Described(None, "/data/faces has no folder train; it must have one")

    plant.kubelet.shape = blind
    async with plant.operator():
        plant.api.create(manifest(dataset={"source": {"imageFolder": "faces"}}))
        await plant.state("Failed")
        assert "no folder train" in plant.condition("Accepted")["message"]


async def test_a_changed_immutable_part_is_said_and_not_followed(plant: Plant) -> None:
    slow(plant)
    async with plant.operator():
        plant.api.create(manifest(**LONG))
        await finished(plant, 1)
        patch(plant, seed=99)
        await until(lambda: plant.condition("SpecChanged").get("status") == "True")
        assert "seed" in plant.condition("SpecChanged")["message"]
        await plant.state("Complete")
    assert journalled(plant).spec.seed == 1


async def test_a_store_that_is_away_for_a_while_loses_nothing(plant: Plant) -> None:
    async with plant.operator():
        plant.api.create(manifest("undisturbed", **LONG))
        await plant.state("Complete", "undisturbed")
        slow(plant)
        plant.api.create(manifest(**LONG))
        await finished(plant, 2)
        store = next(store for root, store in plant.stores.items() if "/one/" in root)
        store.fault = lambda _key: StoreFault.REFUSED
        await until(lambda: plant.condition("Progressing").get("reason") == "StoreUnavailable")
        store.fault = None
        await plant.state("Complete")
    assert outcome(journalled(plant)) == outcome(journalled(plant, "undisturbed"))


async def test_a_store_that_does_not_answer_is_named_before_it_is_given_up(plant: Plant) -> None:
    slow(plant)
    answered = threading.Event()

    def silent(_key: str) -> StoreFault:
        answered.wait(20)
        return StoreFault.NONE

    async with plant.operator():
        plant.api.create(manifest(**LONG))
        await finished(plant, 2)
        store = plant.stores[next(iter(plant.stores))]
        store.fault = silent
        await until(lambda: plant.condition("Progressing").get("reason") == "StoreUnavailable")
        assert plant.status()["evaluations"]["finished"] >= 2
        store.fault = None
        answered.set()
        await plant.state("Complete")
    assert plant.condition("Progressing").get("reason") != "StoreUnavailable"


async def test_two_operators_on_one_search_do_not_spoil_it(plant: Plant) -> None:
    slow(plant)
    async with plant.operator():
        plant.api.create(manifest(**LONG))
        await finished(plant, 2)
        root = next(iter(plant.stores))
        # Another operator takes the next segment.
        engine, journal = recover(plant.store(root))
        assert engine is not None
        from xnas_core.search.events import Ticked

        while True:
            try:
                journal.append([Ticked(time=0.0)])
                break
            except Exception:  # noqa: BLE001 - the running operator was faster; try the next number
                engine, journal = recover(plant.store(root))
        await plant.state("Complete")
    assert journalled(plant).progress().succeeded == 40


async def test_many_searches_in_many_namespaces_side_by_side(plant: Plant) -> None:
    async with plant.operator():
        names = [("team", "one"), ("team", "two"), ("other", "one")]
        for namespace, name in names:
            plant.api.create(manifest(name, namespace))
        for namespace, name in names:
            await plant.state("Complete", name, namespace)
    assert len(plant.stores) == 3


async def test_searches_on_graphs_alone_need_no_evaluators(plant: Plant) -> None:
    objectives = [{"name": "parameters", "direction": "minimize"}, {"name": "macs", "direction": "minimize"}]
    spec = {k: v for k, v in manifest()["spec"].items() if k not in ("dataset", "training")}
    spec |= {"objectives": objectives, "searchSpace": {"name": "mobile"}, "limits": {"maxEvaluations": 600}}
    async with plant.operator():
        plant.api.create({**manifest(), "spec": spec})
        status = await plant.state("Complete")
        assert status["evaluations"]["succeeded"] == 600
        assert len(orjson.dumps(status)) < 32 * 1024
        assert not plant.api.items("jobs")


async def test_deleted_while_running_nothing_is_left(plant: Plant) -> None:
    slow(plant)
    async with plant.operator() as searches:
        plant.api.create(manifest(**LONG))
        await finished(plant, 1)
        evaluators = plant.kubelet.processes()
        plant.api.delete("architecturesearches", "team", "one")
        await until(lambda: not plant.api.items("jobs") and not plant.api.items("pods"))
        # They need not wait for an acknowledgement that nobody will give.
        ends = await asyncio.gather(*evaluators, return_exceptions=True)
        assert any("the search was deleted" in str(end) for end in ends), ends
        await until(lambda: not list(searches))
    assert plant.stores, "artifacts stay: retention is Retain"
    assert next(iter(plant.stores.values())).objects


async def test_artifacts_go_with_the_resource_where_it_wants_so(plant: Plant) -> None:
    slow(plant)
    async with plant.operator() as searches:
        plant.api.create(manifest(**LONG, artifacts={"retention": "Delete"}))
        await finished(plant, 1)
        assert FINALIZER in plant.api.get("architecturesearches", "team", "one")["metadata"]["finalizers"]
        plant.api.delete("architecturesearches", "team", "one")
        await until(lambda: not plant.api.exists("architecturesearches", "team", "one"))
        await until(lambda: not list(searches))
    assert not next(iter(plant.stores.values())).objects


async def test_a_finished_search_goes_when_its_time_is_over(plant: Plant) -> None:
    async with plant.operator() as searches:
        plant.api.create(manifest(ttlSecondsAfterFinished=0))
        await until(lambda: not plant.api.exists("architecturesearches", "team", "one"), 30)
        await until(lambda: not list(searches))
    assert journalled(plant).finished is not None


async def test_the_scheduler_s_own_words_say_why_nothing_runs(plant: Plant) -> None:
    plant.kubelet.held = True
    async with plant.operator():
        plant.api.create(manifest())
        await until(lambda: len(plant.api.items("pods")) == 2)
        words = "0/2 nodes are available: 2 Insufficient nvidia.com/gpu."
        for pod in plant.api.items("pods"):
            condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": words}
            status = {"phase": "Pending", "conditions": [condition]}
            plant.api.set_status("pods", "team", pod["metadata"]["name"], status)
        await until(lambda: words in plant.condition("EvaluatorsReady").get("message", ""))
        assert plant.status()["state"] == "Pending"


@pytest.mark.parametrize(
    "fault", [{"code": 500}, {"code": 429}, {"code": 409, "verb": "patch"}, {"lost": "before"}, {"lost": "after"}]
)
async def test_an_api_server_that_errs_now_and_then_is_waited_out(plant: Plant, fault: Any) -> None:
    plant.api.faults.add(Fault(**fault, times=6))
    async with plant.operator():
        plant.api.create(manifest())
        await plant.state("Complete", within=60)


async def test_requests_for_each_candidate_stay_few(plant: Plant) -> None:
    slow(plant, 0.05)
    async with plant.operator():
        plant.api.create(manifest(limits={"maxEvaluations": 60}, algorithm={"populationSize": 20}))
        await plant.state("Complete", within=60)
        patches = [r for r in plant.api.requests if r.verb == "patch" and r.resource.startswith("architecturesearches")]
        assert len(patches) < 30


async def test_the_longer_a_search_goes_on_alike_the_fewer_are_the_writes_of_its_counts(plant: Plant) -> None:
    slow(plant, 0.05)
    # Without the growing wait, the counts would be written at every look: ten times a second.
    pace = Pace(status=0.1, counts=0.1, longest_counts=30.0, pending_look=0.5, starting=0.0)
    async with plant.operator(pace=pace):
        plant.api.create(manifest(limits={"maxEvaluations": 160}, algorithm={"populationSize": 20}))
        await until(lambda: plant.status().get("evaluators") == {"desired": 2, "ready": 2})
        before, began = len(_status_writes(plant)), asyncio.get_running_loop().time()
        await plant.state("Complete", within=60)
        # Waits of .1, .2, .4 and so on; the last writes say that the search has ended.
        expected = math.log2((asyncio.get_running_loop().time() - began) / 0.1) + 5
        assert len(_status_writes(plant)) - before <= expected


def _status_writes(plant: Plant) -> list[Any]:
    return [r for r in plant.api.requests if r.resource == "architecturesearches" and r.subresource == "status"]


async def test_evaluators_that_just_start_are_not_asked_about(plant: Plant) -> None:
    plant.kubelet.held = True
    async with plant.operator(pace=Pace(status=0.05, pending_look=0.2, starting=1.0)):
        plant.api.create(manifest())
        await until(lambda: len(plant.api.items("pods")) == 2)
        began = asyncio.get_running_loop().time()
        await until(lambda: any(r.resource == "events" and r.verb == "list" for r in plant.api.requests))
        assert asyncio.get_running_loop().time() - began > 0.5


async def test_what_the_watches_saw_of_pods_and_jobs_is_found_by_name_until_it_is_gone(plant: Plant) -> None:
    async with plant.operator() as searches:
        plant.api.create(manifest(**LONG))
        await until(lambda: len(plant.api.items("pods")) == 2)
        name = plant.api.items("pods")[0]["metadata"]["name"]
        await until(lambda: searches.seen(PODS, "team", name) is not None)
        job = searches.seen(JOBS, "team", "one-evaluators")
        assert job is not None
        assert job["metadata"]["uid"] == plant.api.get("jobs", "team", "one-evaluators")["metadata"]["uid"]
        assert searches.seen(PODS, "other", name) is None
        plant.api.patch("architecturesearches", "team", "one", {"spec": {"suspend": True}})
        await until(lambda: searches.seen(JOBS, "team", "one-evaluators") is None)
        await until(lambda: searches.seen(PODS, "team", name) is None)
