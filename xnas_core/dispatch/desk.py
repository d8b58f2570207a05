"""The desk of one search: its evaluators' calls on one side, its search loop on the other (protocol.md §6, §8).

It decides nothing: each message goes to the pure `Pool`, each instruction of the pool is carried out.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Container, Coroutine, Iterable, Sequence
from typing import Any

import grpc
import structlog

from xnas_core import wire
from xnas_core.artifacts import keys
from xnas_core.artifacts.store import ObjectStore
from xnas_core.dispatch import messages as m
from xnas_core.dispatch.grants import DataGrantSource, GrantSource, NoDataGrants
from xnas_core.dispatch.interface import DispatchEvent, FreeSlot, HeldAttempt
from xnas_core.dispatch.leases import Close, EvaluatorView, Instruction, LookUp, Report, Send
from xnas_core.dispatch.pool import Pool
from xnas_core.dispatch.service import EvaluatorService
from xnas_core.errors import InvalidInputError, StoreError
from xnas_core.tasks import Assignment, EndReason, EvaluationConfig, TaskResult

_log = structlog.get_logger(__name__)

TURN_SIZE = 256
"""Events and free slots that one turn of the loop gets at most.

A bound keeps server and evaluators busy at the same time: in larger turns, each waits for the other's batch.
"""


class SearchDesk:
    """Serves one search's evaluators, and is its search loop's `Dispatcher`.

    Evaluators are answered only after the search loop called `hold` or `take` for the first time, so that none of
    the attempts that a restarted server still has to learn of is cancelled.

    Args:
        store: where result.json of attempts is looked for.
        grants: makes access to single objects.
        data_grants: makes access to the data set, where it lies in a store.
        heartbeat_seconds: how often evaluators report.
        grace_seconds: how long a lost evaluator may come back.
        local_evaluators: ids of evaluators that ended with an earlier run that owned them.
    """

    def __init__(
        self,
        store: ObjectStore,
        config: EvaluationConfig,
        *,
        grants: GrantSource,
        data_grants: DataGrantSource | None = None,
        heartbeat_seconds: float = 5.0,
        grace_seconds: float = 60.0,
        local_evaluators: Container[str] = frozenset(),
    ) -> None:
        self._store = store
        self._pool = Pool(
            config, heartbeat_seconds=heartbeat_seconds, grace_seconds=grace_seconds, local=local_evaluators
        )
        self._service = EvaluatorService(self._pool, self._act, grants, self._described, data_grants or NoDataGrants())
        self._answers: dict[str, asyncio.Future[m.Described]] = {}
        self._tick_seconds = min(max(min(heartbeat_seconds, grace_seconds) / 4, 0.01), 1.0)
        self._events: deque[DispatchEvent] = deque()
        self._news = asyncio.Event()
        self._slots_freed_seen = 0
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def service(self) -> EvaluatorService:
        """What a door lets evaluators in to."""
        return self._service

    def open(self) -> None:
        """Let time pass; call once, in the event loop."""
        self._spawn(self._keep_time())

    async def close(self, grace: float, *, drain: bool = True, deleted: bool = False) -> None:
        """End all streams.

        Args:
            grace: seconds that evaluators get to end their streams.
            drain: the search is over, so evaluators end too; otherwise they look for the server again.
            deleted: nobody wants anything of the search any more: evaluators drop what they do, and end.
        """
        end = (grpc.StatusCode.UNAVAILABLE, "the server is stopping; connect again later")
        if deleted:
            end = (grpc.StatusCode.PERMISSION_DENIED, "the search was deleted")
        self._service.end(*end)
        for stream in self._service.streams():
            if drain and not deleted:
                stream.send(m.Drain(0.0))
            else:
                stream.close(*end)
        if drain and not deleted and self._service.streams():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(grace):
                    self._service.empty.clear()
                    await self._service.empty.wait()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # --- Dispatcher -----------------------------------------------------------------------------------------------

    async def wait(self, timeout_seconds: float) -> None:
        """See Dispatcher.wait."""
        self._service.open.set()
        if not self._events and not self._news.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout_seconds):
                    await self._news.wait()
        self._news.clear()

    def take(self) -> Sequence[DispatchEvent]:
        """See Dispatcher.take; at most TURN_SIZE of them, the rest with the next call."""
        self._service.open.set()
        return [self._events.popleft() for _ in range(min(len(self._events), TURN_SIZE))]

    def free_slots(self) -> Sequence[FreeSlot]:
        """See Dispatcher.free_slots; at most TURN_SIZE of them. Slots are alike, so these are as good as all."""
        return self._pool.free_slots(TURN_SIZE)

    def hold(self, attempts: Sequence[HeldAttempt]) -> None:
        """See Dispatcher.hold."""
        self._act(self._pool.hold(attempts, self._now()))
        self._service.open.set()

    def assign(self, slot: FreeSlot, assignment: Assignment) -> None:
        """See Dispatcher.assign."""
        self._act(self._pool.assign(slot, assignment, self._now()))

    def acknowledge(self, task_id: str) -> None:
        """See Dispatcher.acknowledge."""
        self._act(self._pool.acknowledge(task_id))

    def cancel(self, task_id: str) -> None:
        """See Dispatcher.cancel."""
        self._act(self._pool.cancel(task_id))

    # --- for whoever runs the evaluators --------------------------------------------------------------------------

    def evaluators(self) -> Sequence[EvaluatorView]:
        """Return what is known of each evaluator."""
        return self._pool.evaluators()

    def drain(self, evaluator: str, seconds: float) -> None:
        """Ask an evaluator to take nothing new and to end within so many seconds."""
        self._act(self._pool.drain(evaluator, seconds))

    def report_end(self, evaluator: str, reason: EndReason, message: str, *, gone: bool = True) -> None:
        """See Pool.report_end: evidence from outside about an evaluator (protocol.md §7)."""
        self._act(self._pool.report_end(evaluator, reason, message, gone=gone))

    async def describe(self) -> m.Described:
        """Ask evaluators for the description of the data, one after the other until one answers (protocol.md §6.11).

        There is no time limit: none may be connected for a long time, and reading data can take as long. Cancel it.
        """
        self._service.open.set()
        while True:
            for evaluator in [view.id for view in self._pool.evaluators() if view.connected]:
                answer = await self._ask(evaluator)
                if answer is not None:
                    return answer
            await self.wait(1.0)

    async def _ask(self, evaluator: str) -> m.Described | None:
        """Return the evaluator's answer to Describe; None when it is gone."""
        answer: asyncio.Future[m.Described] = asyncio.get_running_loop().create_future()
        self._answers[evaluator] = answer
        asked = None
        try:
            while (stream := self._service.stream_number(evaluator)) is not None:
                if stream != asked:
                    self._service.send(evaluator, m.Describe())
                    asked = stream
                await asyncio.wait({answer}, timeout=self._tick_seconds)
                if answer.done():
                    return answer.result()
            return None
        finally:
            del self._answers[evaluator]

    def _described(self, evaluator: str, answer: m.Described) -> None:
        waiting = self._answers.get(evaluator)
        if waiting is not None and not waiting.done():
            waiting.set_result(answer)

    # --- carrying out ---------------------------------------------------------------------------------------------

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()

    def _act(self, instructions: Iterable[Instruction]) -> None:
        for instruction in instructions:
            match instruction:
                case Send(evaluator, message):
                    self._service.send(evaluator, message)
                case Report(event):
                    self._events.append(event)
                    self._news.set()
                case LookUp(asked_for, attempts):
                    self._spawn(self._look_up(asked_for, attempts))
                case Close(number, reason):
                    self._service.close(number, reason)
        if self._pool.slots_freed != self._slots_freed_seen:
            self._slots_freed_seen = self._pool.slots_freed
            self._news.set()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            _log.error("a part of the dispatch server failed", exc_info=task.exception())

    async def _keep_time(self) -> None:
        while True:
            await asyncio.sleep(self._tick_seconds)
            self._act(self._pool.tick(self._now()))

    async def _look_up(self, asked_for: str, attempts: Sequence[tuple[str | None, str]]) -> None:
        result = None
        for task_id, prefix in attempts:
            result = await asyncio.to_thread(stored_result, self._store, task_id, prefix)
            if result is not None:
                break
        self._act(self._pool.looked_up(asked_for, result))


def stored_result(store: ObjectStore, task_id: str | None, prefix: str) -> TaskResult | None:
    """Return the whole result.json below the prefix; None if there is none, or it is torn or another attempt's."""
    try:
        result = wire.read_result(store.get(prefix + keys.RESULT))
    except KeyError:
        return None
    except (InvalidInputError, StoreError) as error:
        _log.warning("stored result not usable", prefix=prefix, error=str(error))
        return None
    return result if task_id in (None, result.task_id) else None
