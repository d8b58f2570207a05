"""The backend on a cluster passes the contract of all backends; and what only a cluster meets."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import threading
import tracemalloc
from collections.abc import AsyncIterator, Callable, Generator, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.operator.api_site import QUICK
from tests.operator.plant import Plant
from xnas_core.artifacts import keys
from xnas_core.errors import InvalidInputError, StoreError
from xnas_core.service.errors import (
    ChangedMeanwhileError,
    ForbiddenError,
    InvalidTokenError,
    NotFoundError,
    UnavailableError,
)
from xnas_core.service.interface import Caller
from xnas_core.service.values import SearchMoment
from xnas_core.tasks import Artifact, Assignment, TaskKind
from xnas_core.testing.backend_contract import ANN, A, B, BackendContract
from xnas_core.testing.fake_api import FakeApi
from xnas_core.testing.fake_api import Fault as ApiFault
from xnas_core.testing.fake_evaluator import FakeEvaluator, seeded_metrics
from xnas_core.testing.memory_store import Fault, MemoryStore
from xnas_core.testing.search_site import manifest
from xnas_core.testing.waiting import until
from xnas_operator import backend as backend_module
from xnas_operator.auth import KubeAuthorizer, TokenAuthenticator
from xnas_operator.backend import ClusterBackend
from xnas_operator.kube import KubeClient
from xnas_operator.kube.client import Page


class _Place:
    """An operator whose evaluators do nothing until they are told to."""

    def __init__(self, plant: Plant) -> None:
        self.plant = plant
        self._stack = contextlib.AsyncExitStack()
        self._evaluations = asyncio.Semaphore(0)
        self._others = asyncio.Event()
        plant.kubelet.held = True
        shape = plant.kubelet.shape

        def shaped(evaluator: FakeEvaluator) -> None:
            shape(evaluator)
            evaluator.gate = self._gate
            evaluator.metrics = _metrics
            evaluator.artifacts = lambda assignment: self._artifacts(evaluator, assignment)

        plant.kubelet.shape = shaped

    async def _gate(self, assignment: Assignment) -> None:
        if assignment.kind is TaskKind.EVALUATE:
            await self._evaluations.acquire()
        else:
            await self._others.wait()

    def _artifacts(self, evaluator: FakeEvaluator, assignment: Assignment) -> list[Artifact]:
        assert evaluator.search is not None
        namespace, _, name = evaluator.search.partition("/")
        store = self.store(name, namespace)
        made = []
        for key in (keys.CHECKPOINT_MANIFEST, keys.CHECKPOINT) if assignment.kind is TaskKind.EVALUATE else ("x.png",):
            content = (assignment.prefix + key).encode()
            store.put(assignment.prefix + key, content)
            made.append(Artifact(name=key, size=len(content), sha256=hashlib.sha256(content).hexdigest()))
        return made

    def store(self, name: str = "one", namespace: str = A) -> MemoryStore:
        """Return a search's store."""
        return self.plant.store(self.plant.controller(name, namespace).identity.root)

    async def start(self, **around: object) -> None:
        """Start an operator."""
        await self._stack.enter_async_context(self.plant.operator(**around))
        kube = self.plant.kube
        authorizer = KubeAuthorizer(kube, TokenAuthenticator(kube))
        self.backend = ClusterBackend(kube, self.plant.searches, self.plant.store, authorizer)

    async def stop(self) -> None:
        """Stop it."""
        await self._stack.aclose()

    async def restart(self) -> None:
        await self.stop()
        await self.start()

    async def begin(self, namespace: str, name: str) -> None:
        self.plant.kubelet.held = False
        await self._see(namespace, name, lambda moment: moment.progress is not None)

    def allow(self, count: int) -> None:
        """Let so many evaluations go on, without waiting for them."""
        for _ in range(count):
            self._evaluations.release()

    async def finish(self, namespace: str, name: str, count: int) -> None:
        wanted = (await self.backend.moment(namespace, name)).finished + count
        self._others.set()
        self.allow(count)
        await self._see(namespace, name, lambda moment: moment.finished == wanted and not _requested(moment))
        self._others.clear()

    async def complete(self, namespace: str, name: str) -> None:
        self._others.set()
        while (moment := await self.backend.moment(namespace, name)).standing.state != "Complete" or _requested(moment):
            self.allow(1)
            await asyncio.sleep(0.01)
        status = self.plant.status
        await until(lambda: "reportUri" in status(name, namespace) and not self.plant.api.items("jobs"), 30)
        self._others.clear()

    async def _see(self, namespace: str, name: str, wanted: Callable[[SearchMoment], bool]) -> None:
        async with asyncio.timeout(30), contextlib.aclosing(self.backend.watch(namespace, name)) as moments:
            async for moment in moments:
                if wanted(moment):
                    return


class _Unreadable(MemoryStore):
    def list(self, prefix: str) -> Iterator[str]:
        raise StoreError(f"the store is away: {prefix}")


def _requested(moment: SearchMoment) -> int:
    return moment.progress.requested if moment.progress is not None else 0


def _metrics(assignment: Assignment) -> Mapping[str, float]:
    if assignment.kind is TaskKind.EVALUATE:
        return seeded_metrics(assignment)
    return {"refined_accuracy": 0.5} if assignment.kind is TaskKind.REFINE else {}


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[_Place]:
    async with FakeApi(namespaces=[A, B]) as api:
        api.identities.allow(
            "researchers", verbs=("create",), groups=("batch",), resources=("jobs",), namespaces=(A, B)
        )
        client = await KubeClient.connect(kubeconfig=api.kubeconfig(tmp_path / "kubeconfig"), patience=QUICK)
        async with client as kube:
            place = _Place(Plant(api, kube))
            async with place.plant.kubelet.running():
                await place.start()
                yield place
                await place.stop()


class TestClusterBackend(BackendContract):
    """Over fakes of the API server, kubelet and store."""


def _manifest(namespace: str = A) -> dict[str, Any]:
    made = manifest("one")
    made["metadata"]["namespace"] = namespace
    return made


async def test_who_may_not_make_jobs_may_not_make_a_search(place: _Place) -> None:
    with pytest.raises(ForbiddenError, match="bob may not create Jobs"):
        await place.backend.create(_manifest(), Caller("bob"))


async def test_where_nobody_watches_no_search_is_made(place: _Place) -> None:
    place.plant.watches = lambda namespace: namespace != B
    await place.restart()
    with pytest.raises(InvalidInputError, match="does not watch namespace team-b"):
        await place.backend.create(_manifest(B), ANN)
    place.plant.api.create(_manifest(B))
    with pytest.raises(InvalidInputError, match="does not watch namespace team-b"):
        await place.backend.moment(B, "one")


async def test_a_namespace_that_is_absent_is_named(place: _Place) -> None:
    place.plant.api.identities.allow("researchers")
    with pytest.raises(NotFoundError, match="there is no namespace elsewhere"):
        await place.backend.create(_manifest("elsewhere"), ANN)


async def test_an_outage_of_the_store_takes_nothing_back(place: _Place) -> None:
    backend = place.backend
    await backend.create(_manifest(), ANN)
    await place.begin(A, "one")
    await place.finish(A, "one", 3)
    store, moments = place.store(), backend.watch(A, "one")
    assert (await anext(moments)).finished == 3
    store.fault = lambda key: Fault.REFUSED if key.startswith(keys.JOURNAL) else Fault.NONE
    place.allow(1)
    async with asyncio.timeout(30):
        while (moment := await anext(moments)).standing.reason != "StoreUnavailable":
            assert moment.finished == 3
        assert (moment.finished, moment.progress is not None, len(await moment.arrivals(0, 3))) == (3, True, 3)
        store.fault = None
        while (moment := await anext(moments)).finished < 4:
            assert moment.finished == 3


async def _names(place: _Place, namespace: str, limit: int) -> list[str]:
    names: list[str] = []
    token = ""
    while True:
        page = await place.backend.list(namespace, limit, token)
        assert len(page.manifests) <= limit
        names += [f"{found['metadata']['namespace']}/{found['metadata']['name']}" for found in page.manifests]
        if not (token := page.next_token):
            return names


def _put(place: _Place, count: int) -> list[str]:
    for number in range(count):
        made = _manifest()
        made["metadata"] = {"name": f"s{number:03d}", "namespace": A}
        place.plant.api.create(made)
    return [f"{A}/s{number:03d}" for number in range(count)]


async def test_a_page_of_a_list_costs_what_is_in_it(place: _Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.plant.kubelet.held = True
    names = _put(place, 23)
    sizes: list[int] = []
    page = place.plant.kube.page

    async def counted(*arguments: Any) -> Page:
        found = await page(*arguments)
        sizes.append(len(found.items))
        return found

    monkeypatch.setattr(place.plant.kube, "page", counted)
    assert await _names(place, A, 10) == names
    assert sizes == [10, 10, 3]


async def test_pages_of_a_list_show_one_moment(place: _Place) -> None:
    place.plant.kubelet.held = True
    _put(place, 4)
    first = await place.backend.list("", 2, "")
    place.plant.api.delete("architecturesearches", A, "s000")
    made = _manifest()
    made["metadata"] = {"name": "s001a", "namespace": A}
    place.plant.api.create(made)
    rest = await place.backend.list("", 2, first.next_token)
    names = [found["metadata"]["name"] for found in (*first.manifests, *rest.manifests)]
    assert names == ["s000", "s001", "s002", "s003"]
    assert rest.next_token == ""


async def test_a_page_token_is_good_for_its_own_list_and_not_for_ever(place: _Place) -> None:
    place.plant.kubelet.held = True
    _put(place, 3)
    token = (await place.backend.list(A, 2, "")).next_token
    with pytest.raises(InvalidTokenError, match="another namespace"):
        await place.backend.list("", 2, token)
    place.plant.api.faults.add(ApiFault(code=410, verb="list", resource="architecturesearches"))
    with pytest.raises(ChangedMeanwhileError, match="too old"):
        await place.backend.list(A, 2, token)


class _Large(MemoryStore):
    """Holds an object of 64 MiB that was never anywhere as a whole."""

    read = 0
    closed = False
    loop_thread = 0

    def open(self, key: str) -> Generator[bytes]:
        if not key.endswith(keys.CHECKPOINT):
            return super().open(key)
        return self._blocks()

    def _blocks(self) -> Generator[bytes]:
        try:
            for _ in range(256):
                assert threading.get_ident() != self.loop_thread, "a store blocks"
                self.read += 1
                yield bytes(256 * 1024)
        finally:
            self.closed = True


async def test_an_object_is_read_in_blocks_as_they_are_asked_for(place: _Place) -> None:
    store = _Large()
    store.loop_thread = threading.get_ident()
    await place.stop()
    await place.start(store=lambda _root: store)
    place.backend = ClusterBackend(
        place.plant.kube, place.plant.searches, lambda _root: store, place.backend._authorizer
    )
    await place.backend.create(_manifest(), ANN)
    await until(lambda: place.plant.searches.find(A, "one") is not None)
    content = await place.backend.artifact(A, "one", "candidates/c0/evaluate-1/" + keys.CHECKPOINT)
    tracemalloc.start()
    try:
        for _ in range(200):
            await anext(content)
        assert tracemalloc.get_traced_memory()[1] < 8 * 1024 * 1024
    finally:
        tracemalloc.stop()
    assert store.read == 200
    await content.aclose()
    assert store.closed
    with pytest.raises(NotFoundError):
        await place.backend.artifact(A, "one", "candidates/c0/evaluate-1/absent")


async def test_while_the_journal_cannot_be_read_it_is_not_said_that_a_search_has_not_begun(
    place: _Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backend_module, "PATIENCE_SECONDS", 0.3)
    await place.backend.create(_manifest(), ANN)
    await place.begin(A, "one")
    await place.finish(A, "one", 3)
    await until(lambda: "startTime" in place.plant.status("one", A), 10)
    await place.stop()
    await place.start(store=lambda _root: _Unreadable())
    await until(lambda: place.plant.searches.find(A, "one") is not None)
    await until(lambda: place.plant.controller("one", A).known.trouble is not None)
    for call in (place.backend.moment, place.backend.view, lambda *where: anext(place.backend.watch(*where))):
        with pytest.raises(UnavailableError, match="can't be read at the moment: the store is away"):
            await call(A, "one")
    with pytest.raises(UnavailableError):
        await place.backend.request_task(A, "one", "c0", TaskKind.EXPLAIN, {}, ANN)
