"""Seeded schedules of faults against the pool: no result is lost, none is counted twice, and no slot is forgotten.

The world around the pool is simulated: evaluators that work, lose streams, go silent, die and repeat themselves; a
store in which results are found; a loop that acknowledges what is durable. Time is virtual.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import pytest

from xnas_core.dispatch import messages as m
from xnas_core.dispatch.interface import AttemptCompleted, AttemptFailed, HeldAttempt
from xnas_core.dispatch.leases import Close, Instruction, LookUp, Report, Send
from xnas_core.dispatch.pool import Pool
from xnas_core.tasks import (
    Assignment,
    EndReason,
    EvaluationConfig,
    TaskFailure,
    TaskResult,
    candidate_id,
)
from xnas_core.testing.assignments import assignment

CONFIG = EvaluationConfig(search_id="s", spec={}, spec_digest="0" * 64)
HEARTBEAT, GRACE, DEADLINE = 1.0, 6.0, 40
TASKS = 25


def make(number: int, attempt: int) -> Assignment:
    return assignment(number, attempt, deadline_seconds=DEADLINE)


@dataclass
class Worker:
    """One simulated evaluator; `inbox` is what the server said on its present stream and it has not read yet."""

    name: str
    slots: int
    stream: int | None = None
    alive: bool = True
    silent: bool = False
    welcomed: bool = False
    running: dict[str, tuple[int, Assignment]] = field(default_factory=dict)
    ends: dict[str, m.Completed | m.Failed] = field(default_factory=dict)
    inbox: list[m.ServerMessage] = field(default_factory=list)


class World:
    """Everything around the pool."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.now = 0.0
        self.streams = 0
        self.names = 0
        self.store: dict[str, TaskResult] = {}
        self.lookups: list[LookUp] = []
        self.workers: list[Worker] = []
        self.assignments: dict[str, Assignment] = {}
        # The journal: the truth about tasks.
        self.attempts = [0] * TASKS
        self.open: dict[str, tuple[int, str]] = {}
        self.results: dict[int, TaskResult] = {}
        self.unacknowledged: list[str] = []
        self.pool = self.new_pool()

    def new_pool(self) -> Pool:
        return Pool(CONFIG, heartbeat_seconds=HEARTBEAT, grace_seconds=GRACE)

    # --- carrying out -------------------------------------------------------------------------------------------------

    def act(self, instructions: list[Instruction]) -> None:
        for instruction in instructions:
            match instruction:
                case Send(evaluator, message):
                    worker = next((w for w in self.workers if w.name == evaluator and w.stream is not None), None)
                    if worker is not None:
                        worker.inbox.append(message)
                case Close(stream):
                    for worker in self.workers:
                        if worker.stream == stream:
                            self.lose_stream(worker, told=True)
                case LookUp():
                    self.lookups.append(instruction)
                case Report(AttemptCompleted(result)):
                    self.journal_result(result)
                case Report(AttemptFailed(failure)):
                    self.open.pop(failure.task_id, None)
                    self.unacknowledged.append(failure.task_id)

    def journal_result(self, result: TaskResult) -> None:
        number = next(n for n in range(TASKS) if candidate_id(str(n)) == result.candidate_id)
        self.open.pop(result.task_id, None)
        # The first result wins; the loop cancels what still runs for the same task.
        self.results.setdefault(number, result)
        self.unacknowledged.append(result.task_id)

    # --- what may happen ---------------------------------------------------------------------------------------------

    def step(self) -> None:
        """One thing happens."""
        happenings = [
            (6, self.loop_turn),
            (8, self.a_worker_reads),
            (6, self.a_worker_works),
            (4, self.time_passes),
            (4, self.a_look_up_is_answered),
            (3, self.a_worker_connects),
            (1, self.a_stream_breaks),
            (0.4, self.a_worker_goes_silent),
            (0.3, self.a_worker_dies),
            (0.3, self.the_server_is_killed),
            (1, self.a_worker_repeats_itself),
        ]
        weights = [weight for weight, _ in happenings]
        self.rng.choices([happening for _, happening in happenings], weights)[0]()

    def loop_turn(self) -> None:
        for task in self.unacknowledged:
            self.act(self.pool.acknowledge(task))
        self.unacknowledged.clear()
        for task, (number, _) in list(self.open.items()):
            if number in self.results:
                self.act(self.pool.cancel(task))
        waiting = [n for n in range(TASKS) if n not in self.results and n not in {x for x, _ in self.open.values()}]
        for slot, number in zip(self.pool.free_slots(), waiting, strict=False):
            self.attempts[number] += 1
            assignment = make(number, self.attempts[number])
            self.assignments[assignment.task_id] = assignment
            self.open[assignment.task_id] = (number, slot.evaluator)
            self.act(self.pool.assign(slot, assignment, self.now))

    def time_passes(self) -> None:
        self.now += self.rng.uniform(0.0, 2.0)
        for worker in self.workers:
            if worker.stream is not None and worker.welcomed and not worker.silent:
                self.act(self.pool.heartbeat(worker.name, tuple(worker.running), self.now))
        self.act(self.pool.tick(self.now))

    def a_look_up_is_answered(self) -> None:
        if self.lookups:
            look = self.lookups.pop(self.rng.randrange(len(self.lookups)))
            found = next((self.store[task or ""] for task, _ in look.attempts if (task or "") in self.store), None)
            self.act(self.pool.looked_up(look.asked_for, found))

    def a_worker_connects(self) -> None:
        absent = [w for w in self.workers if w.stream is None and w.alive]
        if absent and (len(self.workers) >= 4 or self.rng.random() < 0.7):
            worker = self.rng.choice(absent)
        elif len([w for w in self.workers if w.alive]) < 4:
            self.names += 1
            worker = Worker(f"w{self.names}", self.rng.randint(1, 3))
            self.workers.append(worker)
        else:
            return
        self.streams += 1
        worker.stream, worker.welcomed, worker.silent = self.streams, False, False
        running = tuple((task, slot) for task, (slot, _) in worker.running.items())
        register = m.Register(worker.name, worker.slots, running=running, unacknowledged=tuple(worker.ends))
        self.act(self.pool.register(register, self.streams, self.now))

    def lose_stream(self, worker: Worker, *, told: bool = False) -> None:
        stream, worker.stream, worker.welcomed = worker.stream, None, False
        worker.inbox.clear()
        if stream is not None and not told:
            self.act(self.pool.disconnected(worker.name, stream, self.now))

    def a_stream_breaks(self) -> None:
        connected = [w for w in self.workers if w.stream is not None]
        if connected:
            self.lose_stream(self.rng.choice(connected))

    def a_worker_goes_silent(self) -> None:
        connected = [w for w in self.workers if w.stream is not None]
        if connected:
            self.rng.choice(connected).silent = True

    def a_worker_dies(self) -> None:
        if self.workers:
            worker = self.rng.choice(self.workers)
            worker.alive = False
            worker.running.clear()
            worker.ends.clear()
            self.lose_stream(worker)

    def the_server_is_killed(self) -> None:
        for worker in self.workers:
            worker.stream, worker.welcomed = None, False
            worker.inbox.clear()
        self.lookups.clear()
        self.unacknowledged.clear()
        self.pool = self.new_pool()
        held = [
            HeldAttempt(task, evaluator, self.assignments[task].prefix, DEADLINE)
            for task, (_, evaluator) in self.open.items()
        ]
        self.act(self.pool.hold(held, self.now))

    def a_worker_reads(self) -> None:
        ready = [w for w in self.workers if w.inbox and not w.silent]
        if ready:
            worker = self.rng.choice(ready)
            self.understand(worker, worker.inbox.pop(0))

    def understand(self, worker: Worker, message: m.ServerMessage) -> None:
        match message:
            case m.Welcome():
                worker.welcomed = True
                for end in list(worker.ends.values()):
                    self.say(worker, end)
            case m.Assign(slot, task):
                if task in worker.running or task in worker.ends:
                    return
                assert slot not in {taken for taken, _ in worker.running.values()}, "two attempts in one slot"
                worker.running[task] = (slot, self.assignments[task])
            case m.Cancel(task):
                if task in worker.running:
                    self.finish(worker, task, EndReason.CANCELLED)
            case m.Ack(task):
                worker.ends.pop(task, None)

    def a_worker_works(self) -> None:
        busy = [(w, task) for w in self.workers for task in w.running if w.alive]
        if busy:
            worker, task = self.rng.choice(busy)
            self.finish(worker, task, EndReason.EXCEPTION if self.rng.random() < 0.15 else None)

    def finish(self, worker: Worker, task: str, reason: EndReason | None) -> None:
        _, assignment = worker.running.pop(task)
        names = {
            "task_id": task,
            "kind": assignment.kind,
            "candidate_id": assignment.candidate_id,
            "attempt": assignment.attempt,
        }
        if reason is None:
            result = TaskResult.model_validate(names)
            self.store[task] = result
            if self.rng.random() < 0.05:
                # It dies between storing its result and saying so.
                worker.alive = False
                worker.running.clear()
                worker.ends.clear()
                self.lose_stream(worker)
                return
            worker.ends[task] = m.Completed(result)
        else:
            worker.ends[task] = m.Failed(TaskFailure.model_validate({**names, "reason": reason, "message": ""}))
        self.say(worker, worker.ends[task])

    def a_worker_repeats_itself(self) -> None:
        talking = [(w, end) for w in self.workers for end in w.ends.values()]
        if talking:
            self.say(*self.rng.choice(talking))

    def say(self, worker: Worker, end: m.Completed | m.Failed) -> None:
        if worker.stream is None or not worker.welcomed or worker.silent:
            return
        if isinstance(end, m.Completed):
            self.act(self.pool.completed(worker.name, end.result, self.now))
        else:
            self.act(self.pool.failed(worker.name, end.failure, self.now))

    # --- what must hold ----------------------------------------------------------------------------------------------

    def check(self) -> None:
        for slot in self.pool.free_slots():
            worker = next(w for w in self.workers if w.name == slot.evaluator)
            assert worker.stream is not None, "a slot without stream is offered"

    def settle(self) -> None:
        """No more faults: everything must come to an end."""
        for worker in self.workers:
            if worker.silent:
                # What it said meanwhile was delayed, not lost.
                worker.silent = False
                for end in list(worker.ends.values()):
                    self.say(worker, end)
        for _ in range(400):
            if len(self.results) == TASKS and not self.open and not any(w.ends for w in self.workers if w.alive):
                return
            self.a_worker_connects()
            for worker in self.workers:
                while worker.inbox:
                    self.understand(worker, worker.inbox.pop(0))
            while self.lookups:
                self.a_look_up_is_answered()
            self.loop_turn()
            for worker in self.workers:
                for task in list(worker.running):
                    if worker.alive and worker.stream is not None:
                        self.finish(worker, task, None)
            self.time_passes()
        raise AssertionError(f"stuck: {TASKS - len(self.results)} tasks open, {self.open}")


@pytest.mark.parametrize("block", range(8))
def test_schedules_of_faults(block: int) -> None:
    for seed in range(25 * block, 25 * (block + 1)):
        world = World(seed)
        for _ in range(world.rng.randint(50, 400)):
            world.step()
            world.check()
        world.settle()
        assert set(world.results) == set(range(TASKS))
        for number, result in world.results.items():
            # What counts is a result that somebody made, and the store holds it.
            assert world.store[result.task_id] == result
            assert result.candidate_id == candidate_id(str(number))
        finished = {n for n in range(TASKS) for a in range(world.attempts[n]) if make(n, a + 1).task_id in world.store}
        assert finished <= set(world.results), "a finished result was lost"
