"""The agent: what runs in which slot, which ends are not acknowledged, and when to leave (protocol.md §6)."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any

import structlog

from xnas.v1alpha1 import evaluator_pb2 as pb
from xnas_core import __version__, wire
from xnas_core.dispatch import messages as m
from xnas_core.tasks import Assignment, EndReason, EvaluationConfig, TaskFailure
from xnas_evaluator import pipe
from xnas_evaluator.agent import machine
from xnas_evaluator.agent.description import describe
from xnas_evaluator.agent.exclusive import ExclusiveGate, Order
from xnas_evaluator.agent.link import Denied, Link
from xnas_evaluator.agent.settings import AgentSettings
from xnas_evaluator.agent.slot import Slot

_log = structlog.get_logger(__name__)


class Agent:
    """One evaluator. `serve` returns when it was drained.

    Attributes:
        unfit: why it left by itself: it can do nothing for this search. None otherwise.
    """

    def __init__(self, settings: AgentSettings, capabilities: Iterable[str] = ()) -> None:
        self.settings = settings
        self.unfit: str | None = None
        self._capabilities = tuple(capabilities)
        self._config: EvaluationConfig | None = None
        self._slots: list[Slot] = []
        # Task id -> what to send until it is acknowledged; insertion order is the order of the ends.
        self._ends: dict[str, pb.ConnectRequest] = {}
        self._runs: set[asyncio.Task[None]] = set()
        self._asking: dict[int, int] = {}
        self._gate = ExclusiveGate(settings.exclusive_seconds)
        self._starts: dict[int, asyncio.Event] = {}
        self._description: asyncio.Future[m.Described] | None = None
        self._draining = False
        self._drained = asyncio.Event()
        self._link = Link(settings, self)
        gpus = machine.accelerators() if settings.device != "cpu" else []
        self._gpus = len(gpus)
        self._device = gpus[0] if gpus else "cpu"

    # --- life -----------------------------------------------------------------------------------------------------

    async def serve(self) -> None:
        """Serve until drained.

        Raises:
            ServerGoneError: no answer for too long.
            RefusedError: the server does not want this agent.
        """
        clock = asyncio.ensure_future(self._keep_time())
        try:
            await self._link.serve()
        finally:
            clock.cancel()
            await self._end_everything(clock)

    def drain(self, seconds: float, message: str) -> None:
        """Take nothing new; hand back what still runs after so many seconds; then leave."""
        first, self._draining = not self._draining, True
        if first:
            self._link.send(wire.draining())
            self._spawn(self._leave_when_empty())
        self._spawn(self._hand_back(seconds, message))

    async def _hand_back(self, seconds: float, message: str) -> None:
        await asyncio.sleep(seconds)
        for slot in self._slots:
            slot.stop(EndReason.DRAINED, message)

    async def _leave_when_empty(self) -> None:
        while self.running() or self._ends:
            self._drained.clear()
            await self._drained.wait()
        self._link.leave()

    async def _end_everything(self, *others: asyncio.Future[Any]) -> None:
        for slot in self._slots:
            slot.stop(EndReason.DRAINED, "the evaluator ends")
        others = (*others, *((self._description,) if self._description is not None else ()))
        for task in (*self._runs, *others):
            task.cancel()
        await asyncio.gather(*self._runs, *others, return_exceptions=True)
        await asyncio.gather(*(slot.close() for slot in self._slots))
        await self._link.close()

    async def _keep_time(self) -> None:
        while True:
            await asyncio.sleep(self.settings.poll_seconds)
            self._carry_out(self._gate.tick(self._now()))

    # --- Client of the link ---------------------------------------------------------------------------------------

    def registration(self) -> m.Register:
        """See Client.registration."""
        return m.Register(
            evaluator=self.settings.id,
            slots=self.settings.slots,
            device=self._device,
            version=__version__,
            capabilities=self._capabilities,
            running=tuple((slot.task_id, slot.number) for slot in self._slots if slot.task_id is not None),
            unacknowledged=tuple(self._ends),
        )

    def unacknowledged(self) -> list[pb.ConnectRequest]:
        """See Client.unacknowledged."""
        return [*self._ends.values(), *((wire.draining(),) if self._draining else ())]

    def running(self) -> list[str]:
        """See Client.running."""
        return [slot.task_id for slot in self._slots if slot.task_id is not None]

    def handle(self, message: m.HeardMessage) -> None:
        """See Client.handle."""
        match message:
            case m.Welcome(config=config):
                self._welcome(config)
            case m.Assigned(slot, assignment):
                self._assign(slot, assignment)
            case m.Cancel(task_id):
                for candidate in self._slots:
                    if candidate.task_id == task_id:
                        candidate.stop(EndReason.CANCELLED, "cancelled")
            case m.Drain(seconds):
                self.drain(seconds, "the server asked this evaluator to end")
            case m.Ack(task_id):
                self._ends.pop(task_id, None)
                self._drained.set()
            case m.Describe():
                self._describe()

    def _welcome(self, config: EvaluationConfig) -> None:
        self._config = config
        if not self._slots:
            threads = self._threads(config)
            for number in range(self.settings.slots):
                self._slots.append(Slot(number, self, device=self._device_of(number), threads=threads))
                self._spawn(self._slots[-1].warm_up())
        _log.info("connected", search=config.search_id, slots=self.settings.slots, device=self._device)

    def _describe(self) -> None:
        """Say what the data are; asked again on a new stream, say it again."""
        if self._description is None or (self._description.done() and self._description.result().transient):
            self._description = asyncio.ensure_future(describe(self.config(), self.settings, self._link.ask_data))
            self._description.add_done_callback(self._tell_description)
        elif self._description.done():
            self._tell_description(self._description)

    def _tell_description(self, description: asyncio.Future[m.Described]) -> None:
        if not description.cancelled():
            self._link.send(wire.described(description.result()))

    def _threads(self, config: EvaluationConfig) -> int:
        training = config.spec.get("training")
        asked = training.get("threads", 0) if isinstance(training, dict) else 0
        if isinstance(asked, int) and asked > 0:
            return asked
        return max(1, machine.cores() // self.settings.slots)

    def _device_of(self, number: int) -> str:
        if self.settings.device == "cpu":
            return "cpu"
        if self.settings.device == "auto":
            return f"auto:{number}"
        return f"cuda:{number % self._gpus}" if self._gpus else "cuda"

    def _assign(self, number: int, assignment: Assignment) -> None:
        task_id = assignment.task_id
        if task_id in self._ends or task_id in self.running():
            # Sent again after a stream broke: we have it, or have ended it.
            return
        free = [slot for slot in self._slots if slot.task_id is None]
        if self._draining or not free:
            text = "this evaluator is ending" if self._draining else "this evaluator has no free slot"
            self._end(assignment.failure(EndReason.DRAINED, text))
            return
        slot = next((slot for slot in free if slot.number == number), free[0])
        run = asyncio.ensure_future(self._run(slot, assignment))
        self._runs.add(run)
        run.add_done_callback(self._runs.discard)

    async def _run(self, slot: Slot, assignment: Assignment) -> None:
        self._end(await slot.run(assignment))
        if not self._draining:
            # If its worker died, another is made ready for the next attempt.
            await slot.warm_up()

    def _end(self, end: pipe.Done | TaskFailure) -> None:
        if isinstance(end, pipe.Done):
            self._ends[end.task_id] = wire.completed(end.task_id, end.result_json.encode())
            self._link.send(self._ends[end.task_id])
        else:
            _log.info("attempt ended", task=end.task_id, reason=end.reason.value, message=end.message)
            self._ends[end.task_id] = wire.failed(end)
            self._link.send(self._ends[end.task_id])
            if end.reason is EndReason.UNFIT and self.unfit is None:
                # Whatever else we took would end the same way, and keep others from doing it.
                self.unfit = end.message
                self.drain(0.0, "the evaluator is unfit for the search")
        self._drained.set()

    # --- Surroundings of the slots --------------------------------------------------------------------------------

    def config(self) -> EvaluationConfig:
        """See Surroundings.config."""
        if self._config is None:
            raise RuntimeError("no Welcome yet")
        return self._config

    async def may_start(self, slot: int) -> None:
        """See Surroundings.may_start."""
        event = self._starts[slot] = asyncio.Event()
        self._carry_out(self._gate.start(slot))
        await event.wait()

    def heard(self, slot: int, message: pipe.ToAgent) -> None:
        """See Surroundings.heard."""
        match message:
            case pipe.Reported(progress=progress):
                self._link.send(wire.progress(progress))
            case pipe.AskGrant():
                self._asking[slot] = self._asking.get(slot, 0) + 1
                self._spawn(self._grant(slot, message))
            case pipe.AskData():
                self._asking[slot] = self._asking.get(slot, 0) + 1
                self._spawn(self._grant_data(slot, message))
            case pipe.WantExclusive():
                self._carry_out(self._gate.want(slot, self._now()))
            case pipe.LeaveExclusive():
                self._carry_out(self._gate.leave(slot, self._now()))
            case pipe.Paused(number=number):
                self._carry_out(self._gate.paused(slot, number, self._now()))

    def waits_for_us(self, slot: int) -> bool:
        """See Surroundings.waits_for_us."""
        return self._asking.get(slot, 0) > 0 or self._gate.waits(slot)

    def ended(self, slot: int) -> None:
        """See Surroundings.ended."""
        self._starts.pop(slot, None)
        self._carry_out(self._gate.ended(slot, self._now()))
        self._drained.set()

    async def _grant(self, slot: int, ask: pipe.AskGrant) -> None:
        try:
            answer = await self._link.ask_grant(ask.number, ask.task_id, ask.key, write=ask.write)
            self._answer(slot, ask.task_id, answer)
        finally:
            self._asking[slot] -= 1

    async def _grant_data(self, slot: int, ask: pipe.AskData) -> None:
        try:
            found = await self._link.ask_data(ask.uri)
            if isinstance(found, Denied):
                answer = pipe.Granted(number=ask.number, error=found.sentence)
            else:
                answer = pipe.Granted(number=ask.number, url=found)
            self._answer(slot, ask.task_id, answer)
        finally:
            self._asking[slot] -= 1

    def _answer(self, slot: int, task_id: str, answer: pipe.Granted) -> None:
        if self._slots[slot].task_id == task_id:
            self._slots[slot].send(answer)

    def _carry_out(self, orders: Iterable[Order]) -> None:
        for order in orders:
            slot = self._slots[order.slot]
            match order.what:
                case "pause":
                    slot.send(pipe.Pause(number=order.number))
                case "resume":
                    slot.send(pipe.Resume())
                case "enter":
                    slot.send(pipe.Enter())
                case "start":
                    self._starts[order.slot].set()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._runs.add(task)
        task.add_done_callback(self._runs.discard)

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()
