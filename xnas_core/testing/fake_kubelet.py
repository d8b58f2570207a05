"""What a Job controller and kubelets do, over the fake API server: pods for Jobs, and in each a simulated evaluator."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import grpc

from xnas_core.testing.fake_api import FakeApi, JsonObject
from xnas_core.testing.fake_evaluator import OPTIONS, FakeEvaluator

_LOOK_SECONDS = 0.02
_INDEX = "batch.kubernetes.io/job-completion-index"


@dataclass
class FakeKubelet:
    """Keeps as many evaluators as each Job asks for.

    Attributes:
        api: the API server.
        address: of the dispatch server, without TLS.
        shape: changes each new evaluator before it starts.
        evaluators: by pod name, those that run.
        held: pods are created but nothing starts in them, as on a full cluster.
    """

    api: FakeApi
    address: Callable[[], str]
    shape: Callable[[FakeEvaluator], None] = lambda _: None
    evaluators: dict[str, FakeEvaluator] = field(default_factory=dict)
    held: bool = False

    def __post_init__(self) -> None:
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._channels: dict[str, grpc.aio.Channel] = {}
        self._numbers = itertools.count(1)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[FakeKubelet]:
        """Work in the background."""
        looking = asyncio.create_task(self._look_again_and_again())
        try:
            yield self
            if looking.done():
                looking.result()
        finally:
            looking.cancel()
            await asyncio.gather(looking, return_exceptions=True)
            for name in list(self.evaluators):
                await self._stop(name)

    async def kill(self, pod: str, *, exit_code: int = 137, reason: str = "Error", message: str = "") -> None:
        """End a pod's container by itself, without a word to the server."""
        await self._stop(pod)
        namespace = next(item["metadata"]["namespace"] for item in self.api.items("pods") if _name(item) == pod)
        state = {"terminated": {"exitCode": exit_code, "reason": reason, "message": message}}
        status = {"phase": "Failed", "containerStatuses": [{"name": "evaluator", "state": state}]}
        self.api.set_status("pods", namespace, pod, status)

    def processes(self) -> list[asyncio.Task[None]]:
        """Return the tasks of all evaluators: each ends as its evaluator does, with its error."""
        return list(self._tasks.values())

    async def evict(self, pod: str) -> None:
        """Evict a pod: the condition, the drain, the deletion."""
        item = next(item for item in self.api.items("pods") if _name(item) == pod)
        condition = {
            "type": "DisruptionTarget",
            "status": "True",
            "reason": "EvictionByEvictionAPI",
            "message": "drain",
        }
        self.api.set_status("pods", item["metadata"]["namespace"], pod, {**item["status"], "conditions": [condition]})
        self.evaluators[pod].drain()
        await asyncio.wait({self._tasks[pod]}, timeout=5)
        await self._stop(pod)
        self.api.delete("pods", item["metadata"]["namespace"], pod)

    async def _look_again_and_again(self) -> None:
        while True:
            await self._look()
            await asyncio.sleep(_LOOK_SECONDS)

    async def _look(self) -> None:
        wanted: set[str] = set()
        for job in self.api.items("jobs"):
            if job["metadata"].get("deletionTimestamp"):
                continue
            alive = [pod for pod in self.api.items("pods") if _owner(pod) == job["metadata"]["uid"] and _runs(pod)]
            taken = {int(pod["metadata"]["annotations"][_INDEX]): _name(pod) for pod in alive}
            for index in range(int(job["spec"]["completions"])):
                wanted.add(taken[index] if index in taken else self._make(job, index))
        for pod in self.api.items("pods"):
            name = _name(pod)
            if name not in wanted and _runs(pod):
                await self._drain(pod)
            elif name in wanted and name not in self.evaluators and not self.held:
                self._start(pod)

    def _make(self, job: JsonObject, index: int) -> str:
        meta, template = job["metadata"], job["spec"]["template"]
        name = f"{meta['name']}-{index}-{next(self._numbers):05d}"
        owner = {"apiVersion": "batch/v1", "kind": "Job", "name": meta["name"], "uid": meta["uid"], "controller": True}
        self.api.create(
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {
                    "name": name,
                    "namespace": meta["namespace"],
                    "labels": template["metadata"]["labels"],
                    "annotations": {_INDEX: str(index)},
                    "ownerReferences": [owner],
                },
                "spec": template["spec"],
            }
        )
        return name

    def _start(self, pod: JsonObject) -> None:
        meta, name = pod["metadata"], _name(pod)
        account = pod["spec"]["serviceAccountName"]
        token = self.api.issue_token(meta["namespace"], account, audiences=("xnas",), pod=name)
        arguments = pod["spec"]["containers"][0]["args"]
        channel = self._channels[name] = grpc.aio.insecure_channel(self.address(), options=OPTIONS)
        search = arguments[arguments.index("--search") + 1]
        evaluator = FakeEvaluator(channel, name, token=token, search=search)
        self.shape(evaluator)
        self.evaluators[name] = evaluator
        self._tasks[name] = asyncio.create_task(evaluator.run())
        self.api.set_status("pods", meta["namespace"], name, {"phase": "Running"})

    async def _drain(self, pod: JsonObject) -> None:
        name = _name(pod)
        if name in self.evaluators:
            self.evaluators[name].drain()
            await asyncio.wait({self._tasks[name]}, timeout=1)
            await self._stop(name)
        with contextlib.suppress(Exception):
            self.api.delete("pods", pod["metadata"]["namespace"], name)

    async def _stop(self, name: str) -> None:
        self.evaluators.pop(name, None)
        task = self._tasks.pop(name, None)
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        channel = self._channels.pop(name, None)
        if channel is not None:
            await channel.close()


def _name(item: JsonObject) -> str:
    return str(item["metadata"]["name"])


def _owner(item: JsonObject) -> Any:
    return next((ref["uid"] for ref in item["metadata"].get("ownerReferences") or () if ref.get("controller")), None)


def _runs(pod: JsonObject) -> bool:
    phase = (pod.get("status") or {}).get("phase")
    return phase not in ("Failed", "Succeeded") and not pod["metadata"].get("deletionTimestamp")
