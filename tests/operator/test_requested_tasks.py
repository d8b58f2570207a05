"""Tasks on demand on the cluster: from a call of the service to a result, during a search and after its end."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from tests.operator.plant import Plant, manifest
from xnas_core.artifacts import keys
from xnas_core.errors import InvalidInputError, XnasError
from xnas_core.search.engine import Engine
from xnas_core.search.ledger import TaskRef
from xnas_core.search.recovery import recover
from xnas_core.search.view import CandidateState, TaskState
from xnas_core.service.errors import NotBegunError, NotFoundError, UnavailableError
from xnas_core.service.interface import Caller
from xnas_core.tasks import Artifact, Assignment, EndReason, TaskKind
from xnas_core.testing.fake_api import FakeApi
from xnas_core.testing.fake_evaluator import FakeEvaluator, Outcome, seeded_metrics
from xnas_core.testing.memory_store import Fault
from xnas_core.testing.waiting import until
from xnas_operator.auth import KubeAuthorizer, TokenAuthenticator
from xnas_operator.backend import ClusterBackend
from xnas_operator.kube import KubeClient

ANN = Caller("ann")
REFINE: dict[str, Any] = {"pairs": [{"classes": ["3", 8], "weight": 25}], "epochs": 2, "learningRate": 0.01}


class Bench:
    """A plant whose evaluators store checkpoints, and the backend that the service would call."""

    def __init__(self, plant: Plant) -> None:
        self.plant = plant
        self.seconds: dict[TaskKind, float] = {}
        self.failing: set[str] = set()
        shape = plant.kubelet.shape

        def shaped(evaluator: FakeEvaluator) -> None:
            shape(evaluator)
            evaluator.outcome = self._outcome
            evaluator.metrics = _metrics
            evaluator.artifacts = self._artifacts

        plant.kubelet.shape = shaped

    def _outcome(self, assignment: Assignment) -> Outcome:
        if assignment.candidate_id in self.failing and assignment.kind is TaskKind.EVALUATE:
            return Outcome(fault=EndReason.EXCEPTION, message="a disk was full")
        return Outcome(seconds=self.seconds.get(assignment.kind, 0.0))

    def _artifacts(self, assignment: Assignment) -> list[Artifact]:
        names = (keys.CHECKPOINT_MANIFEST, keys.CHECKPOINT) if assignment.kind is TaskKind.EVALUATE else ("x.png",)
        return [self._put(assignment.prefix, name) for name in names]

    def _put(self, prefix: str, name: str) -> Artifact:
        content = (prefix + name).encode()
        (store,) = self.plant.stores.values()
        store.put(prefix + name, content)
        return Artifact(name=name, size=len(content), sha256=hashlib.sha256(content).hexdigest())

    async def request(self, candidate: str, kind: TaskKind, parameters: Mapping[str, Any] | None = None) -> None:
        """Call the backend as the service would."""
        backend = ClusterBackend(
            self.plant.kube,
            self.plant.searches,
            self.plant.store,
            KubeAuthorizer(self.plant.kube, TokenAuthenticator(self.plant.kube)),
        )
        async with asyncio.timeout(20):
            await backend.request_task("team", "one", candidate, kind, parameters or {}, ANN)

    def journal(self) -> Engine:
        """Return the search as its journal has it."""
        (store,) = self.plant.stores.values()
        engine, _ = recover(store)
        assert engine is not None
        return engine

    def task(self, kind: TaskKind, candidate: str) -> TaskState | None:
        """Return where a task stands, as the journal has it."""
        task = self.journal().ledger.tasks.get(TaskRef(kind, candidate))
        return task.state if task else None

    async def complete(self) -> None:
        """Wait until the search has ended and was published, and no evaluator is left."""
        await self.plant.state("Complete")
        await until(lambda: "reportUri" in self.plant.status() and not self.plant.api.items("jobs"), 30)

    def published(self) -> bytes:
        """Return the front's table."""
        (store,) = self.plant.stores.values()
        return store.get(keys.FRONT_TABLE)


def _metrics(assignment: Assignment) -> Mapping[str, float]:
    own = {TaskKind.REFINE: {"refined_accuracy": 0.5}, TaskKind.EXPLAIN: {"completeness_delta": 0.25}}
    if assignment.kind is TaskKind.CONFIRM:
        return {f"confirmed_accuracy_{k}": 0.5 for k, _ in enumerate(assignment.parameters["seeds"], start=1)}
    return own.get(assignment.kind) or (seeded_metrics(assignment) if assignment.kind is TaskKind.EVALUATE else {})


@pytest.fixture
async def bench(api: FakeApi, kube: KubeClient) -> AsyncIterator[Bench]:
    plant = Plant(api, kube)
    async with plant.kubelet.running():
        yield Bench(plant)


async def test_after_the_end_evaluators_come_back_and_everything_is_published_again(bench: Bench) -> None:
    bench.seconds = {TaskKind.REFINE: 1.0}
    async with bench.plant.operator():
        bench.plant.api.create(manifest())
        await bench.complete()
        status = bench.plant.status()
        before = bench.published()
        assert b"refined_accuracy" not in before
        member = status["front"][0]["id"]

        await bench.request(member, TaskKind.REFINE, REFINE)
        assert bench.task(TaskKind.REFINE, member) is TaskState.OPEN, "the answer came before it was durable"
        await bench.request(member, TaskKind.REFINE, REFINE)
        await until(lambda: len(bench.plant.api.items("jobs")) == 1, 20)
        (job,) = bench.plant.api.items("jobs")
        assert job["spec"]["parallelism"] == 1, "one task takes one evaluator"
        assert bench.plant.status()["state"] == "Complete"

        await until(lambda: bench.task(TaskKind.REFINE, member) is TaskState.SUCCEEDED, 20)
        await until(lambda: b"refined_accuracy" in bench.published() and not bench.plant.api.items("jobs"), 20)
        after = bench.plant.status()
        for name in ("state", "completionTime", "reportUri", "front", "hypervolume", "evaluations"):
            assert after[name] == status[name], name
    engine = bench.journal()
    record = engine.by_id[member]
    assert record.metrics["refined_accuracy"] == 0.5
    attempts = engine.ledger.tasks[TaskRef(TaskKind.REFINE, member)].attempts
    assert [attempt.outcome for attempt in attempts] == ["succeeded"]


async def test_during_a_search_a_task_is_done_before_evaluations(bench: Bench) -> None:
    bench.seconds = {TaskKind.EVALUATE: 0.3}
    async with bench.plant.operator():
        bench.plant.api.create(manifest(limits={"maxEvaluations": 40}, algorithm={"populationSize": 10}))
        await until(lambda: (bench.plant.status().get("evaluations") or {}).get("finished", 0) >= 2, 30)
        member = bench.plant.status()["front"][0]["id"]
        await bench.request(member, TaskKind.EXPLAIN, {"methods": ["gradCam"]})
        await until(lambda: bench.task(TaskKind.EXPLAIN, member) is TaskState.SUCCEEDED, 20)
        assert bench.plant.status()["state"] == "Running"


async def test_an_operator_that_is_killed_meanwhile_loses_no_task(bench: Bench) -> None:
    bench.seconds = {TaskKind.EXPLAIN: 1.0}
    async with bench.plant.operator():
        bench.plant.api.create(manifest())
        await bench.complete()
        member = bench.plant.status()["front"][0]["id"]
        await bench.request(member, TaskKind.EXPLAIN)
    async with bench.plant.operator():
        await until(lambda: bench.task(TaskKind.EXPLAIN, member) is TaskState.SUCCEEDED, 30)
        await until(lambda: b"completeness_delta" in bench.published() and not bench.plant.api.items("jobs"), 20)


async def test_a_change_meanwhile_that_reopens_nothing_keeps_no_evaluator_away(bench: Bench) -> None:
    bench.seconds = {TaskKind.EXPLAIN: 30.0}
    async with bench.plant.operator():
        bench.plant.api.create(manifest())
        await bench.complete()
        member = bench.plant.status()["front"][0]["id"]
        await bench.request(member, TaskKind.EXPLAIN)
        await until(lambda: bool(bench.plant.api.items("jobs")), 20)
    (job,) = bench.plant.api.items("jobs")
    bench.plant.api.delete("jobs", "team", job["metadata"]["name"])
    await until(lambda: not bench.plant.api.items("jobs") and not bench.plant.api.items("pods"), 20)
    bench.plant.api.patch("architecturesearches", "team", "one", {"spec": {"ttlSecondsAfterFinished": 3600}})
    bench.seconds = {}
    async with bench.plant.operator():
        await until(lambda: bench.task(TaskKind.EXPLAIN, member) is TaskState.SUCCEEDED, 30)
        await until(lambda: b"completeness_delta" in bench.published() and not bench.plant.api.items("jobs"), 20)
        assert bench.plant.status()["state"] == "Complete"


async def test_what_cannot_be_done_is_refused_and_wakes_nobody(bench: Bench) -> None:
    async with bench.plant.operator():
        with pytest.raises(NotFoundError):
            await bench.request("c0", TaskKind.EXPLAIN)
        bench.plant.kubelet.held = True
        bench.plant.api.create(manifest())
        await until(lambda: bench.plant.searches.find("team", "one") is not None)
        await until(lambda: bench.plant.controller().session is not None)
        with pytest.raises((NotBegunError, UnavailableError)):
            await bench.request("c0", TaskKind.EXPLAIN)
        bench.plant.kubelet.held = False
        await bench.complete()
        engine = bench.journal()
        front = {engine.candidates[number].id for number in engine.archive.keys}
        member, other = min(front), next(c.id for c in engine.candidates if c.id not in front)
        (store,) = bench.plant.stores.values()
        wrong: list[tuple[str, TaskKind, dict[str, Any], type[Exception], str]] = [
            ("c000000000000", TaskKind.EXPLAIN, {}, NotFoundError, "no candidate"),
            (other, TaskKind.REFINE, REFINE, InvalidInputError, "was not kept"),
            (member, TaskKind.REFINE, {}, InvalidInputError, "pairs"),
            (member, TaskKind.EXPLAIN, {"methods": []}, InvalidInputError, "methods"),
            (member, TaskKind.EVALUATE, {}, InvalidInputError, "was scored"),
            (member, TaskKind.FINALISE, {}, InvalidInputError, "has succeeded"),
        ]
        segments = len(list(store.list(keys.JOURNAL)))
        for candidate, kind, parameters, error, said in wrong:
            with pytest.raises(error, match=said):
                await bench.request(candidate, kind, parameters)
        store.delete(f"candidates/{member}/evaluate-1/{keys.CHECKPOINT_MANIFEST}")
        with pytest.raises(InvalidInputError, match="was not kept"):
            await bench.request(member, TaskKind.EXPLAIN)
        assert len(list(store.list(keys.JOURNAL))) == segments
        assert not bench.plant.api.items("jobs")


async def test_a_store_that_refuses_is_said_and_the_task_can_be_asked_for_again(bench: Bench) -> None:
    async with bench.plant.operator():
        bench.plant.api.create(manifest())
        await bench.complete()
        member = bench.plant.status()["front"][0]["id"]
        (store,) = bench.plant.stores.values()
        store.fault = lambda key: Fault.REFUSED if key.startswith(keys.JOURNAL) else Fault.NONE
        with pytest.raises(XnasError) as said:
            await bench.request(member, TaskKind.EXPLAIN)
        assert said.value.retryable
        store.fault = None
        await until(lambda: bench.plant.controller().session is not None)
        # The journal is read anew meanwhile, so the first answers may be that it can't be done yet.
        for _ in range(100):
            with contextlib.suppress(UnavailableError, NotBegunError):
                await bench.request(member, TaskKind.EXPLAIN)
                break
            await asyncio.sleep(0.1)
        await until(lambda: bench.task(TaskKind.EXPLAIN, member) is TaskState.SUCCEEDED, 20)


async def test_a_candidate_that_failed_is_retried_and_takes_its_place_on_the_front(bench: Bench) -> None:
    async with bench.plant.operator():
        bench.plant.api.create(manifest("undisturbed"))
        await bench.plant.state("Complete", "undisturbed")
        best = bench.plant.status("undisturbed")["front"][0]["id"]
    bench.plant.api.delete("architecturesearches", "team", "undisturbed")
    bench.plant.stores.clear()
    bench.failing = {best}
    async with bench.plant.operator():
        bench.plant.api.create(manifest(backoffLimit=0))
        await bench.complete()
        engine = bench.journal()
        assert engine.by_id[best].state is CandidateState.FAILED
        assert best not in {member["id"] for member in bench.plant.status()["front"]}
        bench.failing = set()
        await bench.request(best, TaskKind.EVALUATE)
        await until(lambda: bench.task(TaskKind.FINALISE, best) is TaskState.SUCCEEDED, 20)
        await until(lambda: bench.plant.status()["front"][0]["id"] == best and not bench.plant.api.items("jobs"), 20)
        assert bench.plant.status()["state"] == "Complete"
        assert bench.plant.status()["evaluations"]["failed"] == 0
        assert best.encode() in bench.published()


async def test_the_final_front_is_confirmed_before_the_search_is_complete(bench: Bench) -> None:
    async with bench.plant.operator():
        bench.plant.api.create(manifest(confirmation={"seeds": 3}))
        await bench.complete()
        front = [member["id"] for member in bench.plant.status()["front"]]
    engine = bench.journal()
    assert front
    for identity in front:
        assert engine.by_id[identity].metrics["confirmed_accuracy_3"] == 0.5
        assert len(engine.ledger.tasks[TaskRef(TaskKind.CONFIRM, identity)].parameters["seeds"]) == 3
    assert engine.progress().confirmed == len(front)
    assert b"confirmed_accuracy_1" in bench.published()
