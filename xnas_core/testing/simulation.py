"""Evaluators, streams and time, simulated: the real pool of leases under a virtual clock (protocol.md §6).

A `World` outlives the server: its evaluators go on training while no server is there, keep what was not acknowledged,
and connect again. A `SimulatedServer` is one life of the server's process; it is a Dispatcher over the real `Pool`.
Everything follows from the world's generator, so a seed names a schedule.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from xnas_core.artifacts import keys
from xnas_core.dispatch import messages as m
from xnas_core.dispatch.interface import DispatchEvent, FreeSlot, HeldAttempt
from xnas_core.dispatch.leases import Close, Instruction, LookUp, Report, Send
from xnas_core.dispatch.pool import Pool
from xnas_core.tasks import Artifact, Assignment, EndReason, EvaluationConfig, TaskKind, TaskResult

HEARTBEAT_SECONDS = 2.0
GRACE_SECONDS = 15.0
_CHECKPOINT = (Artifact(name=keys.CHECKPOINT_MANIFEST, size=1, sha256="0" * 64),)


@dataclass(frozen=True, slots=True)
class Faults:
    """How often things go wrong; each is a probability.

    Attributes:
        stream: for each heartbeat: the stream breaks, and is back after up to twice the grace period.
        death: for each heartbeat: the evaluator dies without a word; another one comes in its place.
        slow: for each attempt: it takes ten times as long.
        crash: for each attempt: it fails, and its retry may not.
        repeat: for each end of an attempt: it is said twice.
        silent_end: for each result: it was stored, but its evaluator dies before it can say so.
    """

    stream: float = 0.0
    death: float = 0.0
    slow: float = 0.0
    crash: float = 0.0
    repeat: float = 0.0
    silent_end: float = 0.0


@dataclass(slots=True)
class SimulatedEvaluator:
    """An agent: what it runs, and the ends that nobody has acknowledged."""

    id: str
    slots: int
    running: dict[str, tuple[int, Assignment]] = field(default_factory=dict)
    ended: dict[str, m.Completed | m.Failed] = field(default_factory=dict)
    stream: int | None = None
    draining: bool = False


class World:
    """Time, evaluators, and results that are stored; see the module.

    Args:
        seed: of everything that happens by chance.
        metrics: value of each metric for an assignment; a reason: the attempt ends so, without a crash before.
        evaluators, slots: how many, with how many slots each.
    """

    def __init__(
        self,
        seed: int,
        metrics: Callable[[Assignment], Mapping[str, float] | EndReason],
        *,
        evaluators: int = 3,
        slots: int = 2,
        faults: Faults | None = None,
    ) -> None:
        self.random = random.Random(seed)
        self.now = 0.0
        self.results: dict[str, TaskResult] = {}
        """Stored results by key prefix."""
        self.begun: list[tuple[float, Assignment]] = []
        """Every attempt that an evaluator began."""
        self.retrained: list[str] = []
        """Attempts that began although a result of their task was stored: none, if the rules hold."""
        self.server: SimulatedServer | None = None
        self._faults = faults or Faults()
        self._metrics = metrics
        self._slots = slots
        self._actions: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        self.evaluators: dict[str, SimulatedEvaluator] = {}
        for _ in range(evaluators):
            self.add_evaluator()

    # --- time -------------------------------------------------------------------------------------------------------

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        """Do something later."""
        self._count += 1
        heapq.heappush(self._actions, (self.now + seconds, self._count, action))

    def advance(self, seconds: float, *, until: Callable[[], bool] = lambda: False) -> None:
        """Let time pass, at most so many seconds, until something is true."""
        end = self.now + seconds
        while not until():
            if not self._actions or self._actions[0][0] > end:
                self.now = end
                return
            self.now, _, action = heapq.heappop(self._actions)
            action()

    def _chance(self, probability: float) -> bool:
        return self.random.random() < probability

    # --- evaluators -------------------------------------------------------------------------------------------------

    def add_evaluator(self) -> None:
        """Let a new agent process begin; it connects when there is a server."""
        self._count += 1
        evaluator = SimulatedEvaluator(f"e{self._count}", self._slots)
        self.evaluators[evaluator.id] = evaluator
        self.after(self.random.random(), lambda: self._connect(evaluator))
        self.after(HEARTBEAT_SECONDS, lambda: self._beat(evaluator))

    def kill(self, evaluator: SimulatedEvaluator) -> None:
        """End an agent process without a word."""
        self.disconnect(evaluator)
        self.evaluators.pop(evaluator.id, None)
        self.after(self.random.uniform(0, GRACE_SECONDS), self.add_evaluator)

    def disconnect(self, evaluator: SimulatedEvaluator) -> None:
        """Break the stream."""
        stream, evaluator.stream = evaluator.stream, None
        if stream is not None and self.server is not None:
            self.server.act(self.server.pool.disconnected(evaluator.id, stream, self.now))

    def drain(self) -> None:
        """Let every evaluator hand back what it runs and take nothing new, as at Ctrl-C."""
        for evaluator in list(self.evaluators.values()):
            evaluator.draining = True
            for slot_and_assignment in list(evaluator.running.values()):
                self._fail(evaluator, slot_and_assignment[1], EndReason.DRAINED)

    def reconnect(self, evaluator: SimulatedEvaluator, seconds: float) -> None:
        """Let an evaluator whose stream is gone look for the server after some time."""
        self.after(seconds, lambda: self._connect(evaluator))

    def _alive(self, evaluator: SimulatedEvaluator) -> bool:
        return self.evaluators.get(evaluator.id) is evaluator

    def _connect(self, evaluator: SimulatedEvaluator) -> None:
        if not self._alive(evaluator) or evaluator.stream is not None:
            return
        if self.server is None:
            self.after(1.0, lambda: self._connect(evaluator))
            return
        self._count += 1
        evaluator.stream = self._count
        evaluator.draining = False
        running = tuple((task, slot) for task, (slot, _) in evaluator.running.items())
        register = m.Register(evaluator.id, evaluator.slots, running=running, unacknowledged=tuple(evaluator.ended))
        self.server.act(self.server.pool.register(register, evaluator.stream, self.now))
        for end in list(evaluator.ended.values()):
            self._say(evaluator, end)

    def _beat(self, evaluator: SimulatedEvaluator) -> None:
        if not self._alive(evaluator):
            return
        if self._chance(self._faults.death):
            self.kill(evaluator)
            return
        self.after(HEARTBEAT_SECONDS, lambda: self._beat(evaluator))
        if evaluator.stream is None or self.server is None:
            return
        if self._chance(self._faults.stream):
            self.disconnect(evaluator)
            self.after(self.random.uniform(0, 2 * GRACE_SECONDS), lambda: self._connect(evaluator))
            return
        self.server.act(self.server.pool.heartbeat(evaluator.id, tuple(evaluator.running), self.now))

    def hear(self, evaluator_id: str, message: m.ServerMessage) -> None:
        """Let an evaluator act on a message of the server."""
        evaluator = self.evaluators.get(evaluator_id)
        if evaluator is None or evaluator.stream is None:
            return
        match message:
            case m.Assign(slot, _, document):
                self._begin(evaluator, slot, Assignment.model_validate_json(document))
            case m.Ack(task):
                evaluator.ended.pop(task, None)
            case m.Cancel(task):
                if task in evaluator.running:
                    self._fail(evaluator, evaluator.running[task][1], EndReason.CANCELLED)
            case m.Welcome() | m.Drain():
                pass

    def _begin(self, evaluator: SimulatedEvaluator, slot: int, assignment: Assignment) -> None:
        if assignment.task_id in evaluator.running or assignment.task_id in evaluator.ended:
            return
        if evaluator.draining:
            evaluator.running[assignment.task_id] = (slot, assignment)
            self._fail(evaluator, assignment, EndReason.DRAINED)
            return
        evaluator.running[assignment.task_id] = (slot, assignment)
        self.begun.append((self.now, assignment))
        base = assignment.prefix.rpartition("-")[0]
        if any(f"{base}-{attempt}/" in self.results for attempt in assignment.previous_attempts):
            self.retrained.append(assignment.prefix)
        seconds = self.random.lognormvariate(1.5, 1.0) * (10 if self._chance(self._faults.slow) else 1)
        self.after(seconds, lambda: self._finish(evaluator, assignment))

    def _finish(self, evaluator: SimulatedEvaluator, assignment: Assignment) -> None:
        if not self._alive(evaluator) or assignment.task_id not in evaluator.running:
            return
        metrics = self._metrics(assignment)
        if isinstance(metrics, EndReason):
            self._fail(evaluator, assignment, metrics)
            return
        if self._chance(self._faults.crash):
            self._fail(evaluator, assignment, EndReason.WORKER_CRASHED)
            return
        result = assignment.result(
            metrics,
            artifacts=_CHECKPOINT if assignment.kind is TaskKind.EVALUATE else (),
        )
        self.results[assignment.prefix] = result
        if self._chance(self._faults.silent_end):
            self.kill(evaluator)
            return
        self._end(evaluator, assignment.task_id, m.Completed(result))

    def _fail(self, evaluator: SimulatedEvaluator, assignment: Assignment, reason: EndReason) -> None:
        failure = assignment.failure(reason, "simulated")
        self._end(evaluator, assignment.task_id, m.Failed(failure))

    def _end(self, evaluator: SimulatedEvaluator, task: str, end: m.Completed | m.Failed) -> None:
        evaluator.running.pop(task)
        evaluator.ended[task] = end
        self._say(evaluator, end)
        if self._chance(self._faults.repeat):
            self.after(self.random.random(), lambda: self._say(evaluator, end))

    def _say(self, evaluator: SimulatedEvaluator, end: m.Completed | m.Failed) -> None:
        server = self.server
        if server is None or evaluator.stream is None or not self._alive(evaluator):
            return
        if isinstance(end, m.Completed):
            server.act(server.pool.completed(evaluator.id, end.result, self.now))
        else:
            server.act(server.pool.failed(evaluator.id, end.failure, self.now))


class SimulatedServer:
    """One life of the server: a Dispatcher over the real pool, in the world's time.

    Args:
        local: evaluators that ended with an earlier run (protocol.md §7, RunStopped).
        before: called with the name of a method and a task id before anything is done about it; may raise, to play a
            process that is killed there.
    """

    def __init__(
        self,
        world: World,
        search_id: str,
        *,
        local: frozenset[str] = frozenset(),
        before: Callable[[str, str], None] = lambda _action, _task: None,
    ) -> None:
        config = EvaluationConfig(search_id=search_id, spec={}, spec_digest="")
        self.pool = Pool(config, heartbeat_seconds=HEARTBEAT_SECONDS, grace_seconds=GRACE_SECONDS, local=local)
        self.world = world
        self.before = before
        self._events: list[DispatchEvent] = []
        self._freed_seen = 0
        world.server = self
        for evaluator in list(world.evaluators.values()):
            world.reconnect(evaluator, world.random.random())

    def end(self) -> None:
        """End the process: every stream breaks, all that was in memory is gone."""
        self.world.server = None
        for evaluator in self.world.evaluators.values():
            if evaluator.stream is not None:
                evaluator.stream = None
                self.world.reconnect(evaluator, self.world.random.random())

    def act(self, instructions: Sequence[Instruction]) -> None:
        """Carry out what the pool says."""
        for instruction in instructions:
            match instruction:
                case Send(evaluator, message):
                    self.world.hear(evaluator, message)
                case Report(event):
                    self._events.append(event)
                case LookUp(asked_for, attempts):
                    found = next((r for _, prefix in attempts if (r := self.world.results.get(prefix))), None)
                    self.world.after(0.0, partial(self._looked_up, asked_for, found))
                case Close(stream, _):
                    closed = next((e for e in self.world.evaluators.values() if e.stream == stream), None)
                    if closed is not None:
                        closed.stream = None
                        self.world.reconnect(closed, 1.0)

    def _looked_up(self, asked_for: str, result: TaskResult | None) -> None:
        if self.world.server is self:
            self.act(self.pool.looked_up(asked_for, result))

    # --- Dispatcher -------------------------------------------------------------------------------------------------

    async def wait(self, timeout_seconds: float) -> None:
        """See Dispatcher.wait; virtual time passes."""
        self.before("wait", "")
        self._freed_seen = self.pool.slots_freed
        self.world.advance(timeout_seconds, until=self._has_news)
        self.act(self.pool.tick(self.world.now))

    def _has_news(self) -> bool:
        return bool(self._events) or self.pool.slots_freed != self._freed_seen

    def take(self) -> Sequence[DispatchEvent]:
        """See Dispatcher.take."""
        events, self._events = self._events, []
        return events

    def free_slots(self) -> Sequence[FreeSlot]:
        """See Dispatcher.free_slots."""
        return self.pool.free_slots()

    def hold(self, attempts: Sequence[HeldAttempt]) -> None:
        """See Dispatcher.hold."""
        self.act(self.pool.hold(attempts, self.world.now))

    def assign(self, slot: FreeSlot, assignment: Assignment) -> None:
        """See Dispatcher.assign."""
        self.before("assign", assignment.task_id)
        self.act(self.pool.assign(slot, assignment, self.world.now))

    def acknowledge(self, task_id: str) -> None:
        """See Dispatcher.acknowledge."""
        self.before("acknowledge", task_id)
        self.act(self.pool.acknowledge(task_id))

    def cancel(self, task_id: str) -> None:
        """See Dispatcher.cancel."""
        self.before("cancel", task_id)
        self.act(self.pool.cancel(task_id))
