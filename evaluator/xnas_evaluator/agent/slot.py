"""One slot: a worker process that lives on between attempts, and the limits that each attempt has."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Protocol

import structlog

from xnas_core.dispatch.messages import bounded
from xnas_core.tasks import Assignment, EndReason, EvaluationConfig, TaskFailure
from xnas_evaluator import pipe
from xnas_evaluator.agent import machine
from xnas_evaluator.agent.evidence import WorkerEnd, classify_end
from xnas_evaluator.agent.settings import AgentSettings
from xnas_evaluator.agent.worker_process import WorkerProcess

_log = structlog.get_logger(__name__)
_START_SECONDS = 300.0
"""Time that a worker may take from its start to its first word."""


class Surroundings(Protocol):
    """What a slot needs of the agent."""

    settings: AgentSettings

    def config(self) -> EvaluationConfig:
        """Return the search that is served now."""

    async def may_start(self, slot: int) -> None:
        """Wait while another slot has the exclusive moment."""

    def heard(self, slot: int, message: pipe.ToAgent) -> None:
        """Take a message that is not about the end of the attempt."""

    def waits_for_us(self, slot: int) -> bool:
        """Return whether the worker waits for the agent (a grant, a pause), so that its silence is no hang."""

    def ended(self, slot: int) -> None:
        """The attempt has ended or its worker died."""


@dataclass(slots=True)
class _Attempt:
    """The attempt that runs.

    Attributes:
        ended: resolved with the end, as the worker tells it.
        deadline_at, heard_at: on the loop's clock.
        stopping: reason and text of the end that was asked for; `kill_at` is when patience with the worker ends.
        killed_for: why the worker was killed.
    """

    assignment: Assignment
    ended: asyncio.Future[pipe.Done | pipe.Ended]
    deadline_at: float
    heard_at: float
    stopping: tuple[EndReason, str] | None = None
    kill_at: float = float("inf")
    killed_for: tuple[EndReason, str] | None = None


class Slot:
    """Runs attempts one after the other.

    Args:
        device: for the worker: "cpu", "cuda:<n>", "auto:<n>".
        threads: CPU threads of the worker.
    """

    def __init__(self, number: int, surroundings: Surroundings, *, device: str, threads: int) -> None:
        self.number = number
        self.device = device
        self._agent = surroundings
        self._threads = threads
        self._worker: WorkerProcess | None = None
        self._configured: EvaluationConfig | None = None
        self._attempt: _Attempt | None = None
        self._warm = False
        self._starting = asyncio.Lock()

    @property
    def task_id(self) -> str | None:
        """The attempt that runs here."""
        return self._attempt.assignment.task_id if self._attempt is not None else None

    async def run(self, assignment: Assignment) -> pipe.Done | TaskFailure:
        """Carry out an attempt; returns its end, whatever happens to the worker."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        attempt = self._attempt = _Attempt(assignment, loop.create_future(), now + assignment.deadline_seconds, now)
        try:
            return await self._supervise(attempt)
        except OSError as error:
            return _failure(assignment, EndReason.WORKER_CRASHED, f"no worker process could be started: {error}")
        finally:
            self._attempt = None
            self._agent.ended(self.number)

    def stop(self, reason: EndReason, message: str) -> None:
        """End the attempt soon: by its worker's leave at the next sign of life, else by force."""
        attempt = self._attempt
        if attempt is None or attempt.stopping is not None:
            return
        attempt.stopping = (reason, message)
        attempt.kill_at = asyncio.get_running_loop().time() + self._agent.settings.stop_seconds
        if self._worker is not None:
            self._worker.send(pipe.Cancel(task_id=attempt.assignment.task_id))

    def send(self, message: pipe.ToWorker) -> None:
        """Send a message to the worker, if there is one."""
        if self._worker is not None:
            self._worker.send(message)

    async def warm_up(self) -> None:
        """Start the worker before it is needed. A failure shows when an attempt needs it."""
        try:
            await self._ready_worker()
        except OSError as error:
            _log.warning("no worker process could be started", slot=self.number, error=str(error))

    async def close(self) -> None:
        """End the worker."""
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.kill()
            await worker.wait()

    # --- supervision ----------------------------------------------------------------------------------------------

    async def _ready_worker(self) -> WorkerProcess:
        async with self._starting:
            if self._worker is not None and not self._worker.alive:
                await self.close()
            if self._worker is None:
                self._configured = None
                self._warm = False
                self._worker = await WorkerProcess.start(
                    self.number,
                    device=self.device,
                    threads=self._threads,
                    cache=self._agent.settings.cache,
                    store_ca_file=self._agent.settings.store_ca_file,
                    tasks=self._agent.settings.tasks,
                    on_message=self._take,
                )
            config = self._agent.config()
            if config != self._configured:
                self._configured = config
                self._worker.send(pipe.Configure(config=config))
            return self._worker

    async def _supervise(self, attempt: _Attempt) -> pipe.Done | TaskFailure:
        if await self._wait_for_start(attempt):
            return _failure(attempt.assignment, *(attempt.stopping or attempt.killed_for or _UNKNOWN))
        worker = await self._ready_worker()
        attempt.heard_at = asyncio.get_running_loop().time()
        worker.send(pipe.Run(assignment=attempt.assignment))
        if attempt.stopping is not None:
            worker.send(pipe.Cancel(task_id=attempt.assignment.task_id))
        death = asyncio.ensure_future(worker.wait())
        try:
            while not attempt.ended.done() and not death.done():
                pause = self._agent.settings.poll_seconds
                await asyncio.wait((attempt.ended, death), timeout=pause, return_when=asyncio.FIRST_COMPLETED)
                self._look(attempt, worker)
        finally:
            if not death.done():
                death.cancel()
        if not attempt.ended.done():
            return self._died(attempt, worker, death.result())
        return await self._said(attempt, attempt.ended.result(), worker)

    async def _wait_for_start(self, attempt: _Attempt) -> bool:
        """Wait while another slot has the exclusive moment; return whether the attempt ended meanwhile."""
        start = asyncio.ensure_future(self._agent.may_start(self.number))
        try:
            while not start.done() and attempt.stopping is None:
                await asyncio.wait((start,), timeout=self._agent.settings.poll_seconds)
                if asyncio.get_running_loop().time() >= attempt.deadline_at:
                    attempt.stopping = _deadline(attempt)
            return not start.done()
        finally:
            start.cancel()

    def _look(self, attempt: _Attempt, worker: WorkerProcess) -> None:
        """Check the attempt's limits; kill the worker that is over one."""
        settings = self._agent.settings
        now = asyncio.get_running_loop().time()
        if attempt.ended.done() or attempt.killed_for is not None:
            return
        if self._agent.waits_for_us(self.number):
            attempt.heard_at = now
        limit = settings.memory_limit_mb
        resident = machine.resident_bytes(worker.pid) / 2**20 if limit is not None else 0.0
        if limit is not None and resident > limit:
            text = f"the worker used {resident:.0f} MB of memory; its limit is {limit} MB"
            self._kill(attempt, worker, (EndReason.OUT_OF_MEMORY, text))
        elif now >= attempt.kill_at:
            self._kill(attempt, worker, attempt.stopping or _UNKNOWN)
        elif attempt.stopping is None and now >= attempt.deadline_at:
            self.stop(*_deadline(attempt))
        elif attempt.stopping is None and now - attempt.heard_at >= self._patience():
            text = f"the worker gave no sign of life for {self._patience():g} s"
            self._kill(attempt, worker, (EndReason.WORKER_HUNG, text))

    def _patience(self) -> float:
        """Seconds of silence that are no hang; starting up (importing torch from a slow disk) may take longer."""
        limit = self._agent.settings.hang_seconds
        return limit if self._warm else max(limit, _START_SECONDS)

    def _kill(self, attempt: _Attempt, worker: WorkerProcess, why: tuple[EndReason, str]) -> None:
        attempt.killed_for = why
        worker.kill()

    def _died(self, attempt: _Attempt, worker: WorkerProcess, exit_code: int) -> TaskFailure:
        self._worker = None
        grown = machine.oom_kills() - worker.oom_kills
        end = WorkerEnd(exit_code, attempt.killed_for or attempt.stopping, grown, worker.tail)
        reason, message = classify_end(end)
        _log.warning("worker ended", slot=self.number, exit_code=exit_code, reason=reason.value)
        return _failure(attempt.assignment, reason, message)

    async def _said(
        self, attempt: _Attempt, end: pipe.Done | pipe.Ended, worker: WorkerProcess
    ) -> pipe.Done | TaskFailure:
        if isinstance(end, pipe.Done):
            # Also when it was to be stopped: what is finished and stored counts.
            return end
        if end.poisoned:
            worker.kill()
            await self.close()
        if end.failure.reason is EndReason.CANCELLED and attempt.stopping is not None:
            return _failure(attempt.assignment, *attempt.stopping)
        return end.failure

    def _take(self, message: pipe.ToAgent) -> None:
        attempt = self._attempt
        if attempt is not None:
            attempt.heard_at = asyncio.get_running_loop().time()
        match message:
            case pipe.Done(task_id=task_id):
                self._resolve(task_id, message)
            case pipe.Ended(failure=failure):
                self._resolve(failure.task_id, message)
            case pipe.Ready():
                self._warm = True
            case _:
                self._agent.heard(self.number, message)

    def _resolve(self, task_id: str, end: pipe.Done | pipe.Ended) -> None:
        attempt = self._attempt
        if attempt is not None and attempt.assignment.task_id == task_id and not attempt.ended.done():
            attempt.ended.set_result(end)


_UNKNOWN = (EndReason.WORKER_CRASHED, "the worker ended")


def _deadline(attempt: _Attempt) -> tuple[EndReason, str]:
    return EndReason.DEADLINE_EXCEEDED, f"not finished within {attempt.assignment.deadline_seconds} s"


def _failure(assignment: Assignment, reason: EndReason, message: str) -> TaskFailure:
    return assignment.failure(reason, bounded(message))
