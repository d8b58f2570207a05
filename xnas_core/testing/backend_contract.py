"""The behavioural contract of SearchBackend. Subclass it and give a `place` fixture; every backend passes it."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import pytest

from xnas_core.api.status import StateWord
from xnas_core.errors import InvalidInputError, UnknownNameError
from xnas_core.search.view import CandidateRecord, CandidateState, TaskState
from xnas_core.service.errors import AlreadyExistsError, ChangedMeanwhileError, NotBegunError, NotFoundError
from xnas_core.service.interface import Caller, SearchBackend
from xnas_core.tasks import TaskKind
from xnas_core.testing.search_site import manifest

ANN = Caller("ann", ("researchers",))
A, B = "team-a", "team-b"


class BackendPlace(Protocol):
    """A backend with no searches, and a way to let them go on."""

    backend: SearchBackend

    async def begin(self, namespace: str, name: str) -> None:
        """Let a search that was created be accepted."""

    async def finish(self, namespace: str, name: str, count: int) -> None:
        """Let so many evaluations succeed, each with at least one artifact."""

    async def complete(self, namespace: str, name: str) -> None:
        """Let the search end."""

    async def restart(self) -> None:
        """Kill the process that serves, and start it again; `backend` may be another one then."""


class BackendContract:
    """Tests that run over each implementation."""

    async def test_what_was_created_is_found(self, place: BackendPlace) -> None:
        """The resource has an identity and the spec that was sent."""
        made = await place.backend.create(_manifest("one"), ANN)
        assert made["metadata"]["uid"]
        found = await place.backend.get(A, "one")
        assert found["metadata"]["uid"] == made["metadata"]["uid"]
        assert found["spec"]["seed"] == 11
        assert found["metadata"]["namespace"] == A

    async def test_a_name_is_taken_once_in_each_namespace(self, place: BackendPlace) -> None:
        """The second of a name is refused, in another namespace it is another search."""
        await place.backend.create(_manifest("one"), ANN)
        with pytest.raises(AlreadyExistsError):
            await place.backend.create(_manifest("one"), ANN)
        await place.backend.create(_manifest("one", B), ANN)

    @pytest.mark.parametrize("call", ["get", "update", "delete", "moment", "view", "watch", "artifact", "task"])
    async def test_what_is_absent_is_not_found(self, place: BackendPlace, call: str) -> None:
        """Every method says so."""
        backend = place.backend

        async def watch() -> object:
            return await anext(backend.watch(A, "absent"))

        calls: dict[str, Callable[[], Awaitable[object]]] = {
            "get": lambda: backend.get(A, "absent"),
            "update": lambda: backend.update(A, "absent", {"suspend": True}, ANN),
            "delete": lambda: backend.delete(A, "absent", "", ANN),
            "moment": lambda: backend.moment(A, "absent"),
            "view": lambda: backend.view(A, "absent"),
            "watch": watch,
            "artifact": lambda: backend.artifact(A, "absent", "report.html"),
            "task": lambda: backend.request_task(A, "absent", "c0", TaskKind.EXPLAIN, {}, ANN),
        }
        with pytest.raises(NotFoundError):
            await calls[call]()

    async def test_lists_are_paged_and_sorted(self, place: BackendPlace) -> None:
        """Pages hold each search once, by namespace and name."""
        for namespace, name in ((B, "z"), (A, "c"), (A, "a"), (A, "b")):
            await place.backend.create(_manifest(name, namespace), ANN)
        assert await _listed(place.backend, A, 2) == [(A, "a"), (A, "b"), (A, "c")]
        assert await _listed(place.backend, "", 3) == [(A, "a"), (A, "b"), (A, "c"), (B, "z")]

    async def test_a_list_token_that_is_none_is_refused(self, place: BackendPlace) -> None:
        """A made-up token is an error with a sentence, not a wrong list."""
        with pytest.raises((InvalidInputError, ChangedMeanwhileError)):
            await place.backend.list(A, 10, "made-up")

    async def test_an_update_is_a_merge_patch(self, place: BackendPlace) -> None:
        """What is named changes, null takes away, the rest stays."""
        await place.backend.create(_manifest("one", limits={"maxEvaluations": 50, "maxGenerations": 9}), ANN)
        patch = {"limits": {"maxGenerations": None, "maxEvaluations": 70}, "suspend": True}
        changed = await place.backend.update(A, "one", patch, ANN)
        assert changed["spec"]["limits"]["maxEvaluations"] == 70
        assert "maxGenerations" not in changed["spec"]["limits"]
        assert changed["spec"]["suspend"] is True
        assert (await place.backend.get(A, "one"))["spec"] == changed["spec"]

    async def test_an_update_that_is_not_valid_is_refused(self, place: BackendPlace) -> None:
        """And changes nothing."""
        await place.backend.create(_manifest("one"), ANN)
        with pytest.raises(InvalidInputError):
            await place.backend.update(A, "one", {"limits": {"maxEvaluations": -1}}, ANN)
        assert (await place.backend.get(A, "one"))["spec"]["limits"]["maxEvaluations"] == 60

    async def test_only_the_search_that_was_meant_is_deleted(self, place: BackendPlace) -> None:
        """A uid guards against a search of the same name that was made since."""
        made = await place.backend.create(_manifest("one"), ANN)
        with pytest.raises(ChangedMeanwhileError):
            await place.backend.delete(A, "one", "another-uid", ANN)
        await place.backend.delete(A, "one", made["metadata"]["uid"], ANN)
        with pytest.raises(NotFoundError):
            await place.backend.get(A, "one")

    async def test_before_it_begins_there_is_a_moment_but_no_view(self, place: BackendPlace) -> None:
        """Pending, with the resource's identity."""
        made = await place.backend.create(_manifest("one"), ANN)
        moment = await place.backend.moment(A, "one")
        assert (moment.uid, moment.standing.state) == (made["metadata"]["uid"], StateWord.PENDING)
        assert (moment.progress, moment.accepted, moment.finished) == (None, None, 0)
        with pytest.raises(NotBegunError):
            await place.backend.view(A, "one")
        with pytest.raises(NotBegunError):
            await place.backend.request_task(A, "one", "c0", TaskKind.EXPLAIN, {}, ANN)

    async def test_moment_and_view_fit_each_other(self, place: BackendPlace) -> None:
        """Numbers, front and finished candidates are the same in both."""
        await self._begun(place, 5)
        moment, view = await place.backend.moment(A, "one"), await place.backend.view(A, "one")
        assert moment.finished == 5
        assert view.search_id == moment.uid
        assert moment.front.members == view.front
        assert moment.front.size == len(view.front) > 0
        assert moment.accepted is not None
        assert moment.accepted.spec == view.spec
        scored = {c.id for c in view.candidates if c.state is CandidateState.SUCCEEDED}
        assert {record.id for record in await moment.arrivals(0, 5)} == scored

    async def test_the_order_in_which_candidates_finished_stays(self, place: BackendPlace) -> None:
        """A position means the same candidates for ever."""
        await self._begun(place, 4)
        before = [record.id for record in await (await place.backend.moment(A, "one")).arrivals(0, 4)]
        await place.finish(A, "one", 3)
        moment = await place.backend.moment(A, "one")
        assert moment.finished == 7
        assert [record.id for record in await moment.arrivals(0, 4)] == before
        assert len(await moment.arrivals(4, 7)) == 3

    async def test_a_restart_is_not_seen(self, place: BackendPlace) -> None:
        """What a moment had before, it has again: nobody is told that a search has not begun that has."""
        await self._begun(place, 4)
        before = await place.backend.moment(A, "one")
        arrived = [record.id for record in await before.arrivals(0, 4)]
        await place.restart()
        view = await place.backend.view(A, "one")
        assert (view.search_id, view.front) == (before.uid, before.front.members)
        await place.restart()
        moment = await anext(place.backend.watch(A, "one"))
        assert (moment.uid, moment.finished, moment.front) == (before.uid, before.finished, before.front)
        assert [record.id for record in await moment.arrivals(0, 4)] == arrived
        await place.restart()
        await place.finish(A, "one", 1)
        assert (await place.backend.moment(A, "one")).finished == 5

    async def test_a_name_that_is_used_again_is_another_search(self, place: BackendPlace) -> None:
        """Nothing of the one before is shown for it."""
        await self._begun(place, 2)
        await place.backend.delete(A, "one", "", ANN)
        with pytest.raises(NotFoundError):
            await place.backend.moment(A, "one")
        made = await place.backend.create(_manifest("one"), ANN)
        moment = await place.backend.moment(A, "one")
        assert (moment.uid, moment.finished) == (made["metadata"]["uid"], 0)

    async def test_a_watch_yields_now_and_then_only_the_newest(self, place: BackendPlace) -> None:
        """Changes that nobody fetched are one moment."""
        await place.backend.create(_manifest("one"), ANN)
        moments = place.backend.watch(A, "one")
        assert (await anext(moments)).standing.state is StateWord.PENDING
        await place.begin(A, "one")
        await place.finish(A, "one", 1)
        await place.finish(A, "one", 2)
        async with asyncio.timeout(20):
            while (moment := await anext(moments)).finished < 3:
                pass
        assert moment.progress is not None
        assert moment.progress.succeeded == 3
        await place.backend.delete(A, "one", "", ANN)

    async def test_a_watch_ends_with_its_search(self, place: BackendPlace) -> None:
        """When the search was deleted."""
        await self._begun(place, 1)
        moments = place.backend.watch(A, "one")
        await anext(moments)
        await place.backend.delete(A, "one", "", ANN)
        async with asyncio.timeout(20):
            async for _ in moments:
                pass

    async def test_artifacts_are_read_whole(self, place: BackendPlace) -> None:
        """Size and digest are those that the journal has."""
        await self._begun(place, 2)
        view = await place.backend.view(A, "one")
        artifact = next(artifact for record in view.candidates for artifact in record.artifacts)
        content = await place.backend.artifact(A, "one", artifact.key)
        data = b"".join([chunk async for chunk in content])
        assert (len(data), hashlib.sha256(data).hexdigest()) == (artifact.size, artifact.sha256)
        with pytest.raises(NotFoundError):
            await place.backend.artifact(A, "one", artifact.key + ".absent")

    async def test_a_task_is_done_while_the_search_goes_on(self, place: BackendPlace) -> None:
        """Asked for twice, it is one task; what can't be done is refused and changes nothing."""
        await self._begun(place, 2)
        member = (await place.backend.moment(A, "one")).front.members[0]
        await self._refused(place, member)
        for _ in range(2):
            await place.backend.request_task(A, "one", member, TaskKind.EXPLAIN, {"samplesPerClass": 1}, ANN)
        moment = await place.backend.moment(A, "one")
        assert moment.progress is not None
        assert moment.progress.requested == 1
        await place.finish(A, "one", 1)
        record = await self._record(place, member)
        assert record.tasks[TaskKind.EXPLAIN] is TaskState.SUCCEEDED
        assert [a.attempt for a in record.history if a.task is TaskKind.EXPLAIN] == [1]

    async def test_a_task_after_the_end_leaves_the_search_complete(self, place: BackendPlace) -> None:
        """Its end is seen by `requested`, its result is the candidate's; asked for again it is another attempt."""
        await self._begun(place, 0)
        await place.complete(A, "one")
        before = await place.backend.moment(A, "one")
        member = before.front.members[0]
        await self._refused(place, member)
        for attempt in (1, 2):
            parameters = {"pairs": [{"classes": ["3", 8]}], "epochs": attempt}
            await place.backend.request_task(A, "one", member, TaskKind.REFINE, parameters, ANN)
            moment = await place.backend.moment(A, "one")
            assert moment.progress is not None
            assert (moment.standing, moment.progress.requested) == (before.standing, 1)
            assert (moment.finished_at, moment.front) == (before.finished_at, before.front)
            await place.complete(A, "one")
            record = await self._record(place, member)
            assert [a.attempt for a in record.history if a.task is TaskKind.REFINE] == list(range(1, attempt + 1))
            assert "refined_accuracy" in record.metrics
        after = await place.backend.moment(A, "one")
        assert after.progress == before.progress
        assert after.standing == before.standing

    async def _refused(self, place: BackendPlace, member: str) -> None:
        """Nothing of what can't be done becomes a task."""
        backend = place.backend
        with pytest.raises((NotFoundError, UnknownNameError)):
            await backend.request_task(A, "one", "c000000000000", TaskKind.EXPLAIN, {}, ANN)
        wrong: list[tuple[TaskKind, dict[str, Any]]] = [
            (TaskKind.EXPLAIN, {"methods": []}),
            (TaskKind.EXPLAIN, {"colour": "red"}),
            (TaskKind.REFINE, {}),
            (TaskKind.REFINE, {"pairs": [{"classes": ["3"]}]}),
            (TaskKind.EVALUATE, {}),
            (TaskKind.CONFIRM, {}),
        ]
        for kind, parameters in wrong:
            with pytest.raises(InvalidInputError):
                await backend.request_task(A, "one", member, kind, parameters, ANN)
        moment = await backend.moment(A, "one")
        assert moment.progress is not None
        assert moment.progress.requested == 0

    async def _record(self, place: BackendPlace, candidate: str) -> CandidateRecord:
        view = await place.backend.view(A, "one")
        return next(record for record in view.candidates if record.id == candidate)

    async def _begun(self, place: BackendPlace, finished: int) -> None:
        await place.backend.create(_manifest("one"), ANN)
        await place.begin(A, "one")
        await place.finish(A, "one", finished)


def _manifest(name: str, namespace: str = A, **fields: Any) -> dict[str, Any]:
    made = manifest(name, **fields)
    made["metadata"]["namespace"] = namespace
    return made


async def _listed(backend: SearchBackend, namespace: str, limit: int) -> list[tuple[str, str]]:
    found, token = [], ""
    while True:
        page = await backend.list(namespace, limit, token)
        assert len(page.manifests) <= limit
        found += [(made["metadata"]["namespace"], made["metadata"]["name"]) for made in page.manifests]
        token = page.next_token
        if not token:
            return found
