"""The turn of the loop (protocol.md §8): take, decide, write, act. The only place where the engine meets the world."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from xnas_core.dispatch.interface import (
    AttemptCompleted,
    AttemptFailed,
    Dispatcher,
    FreeSlot,
    HeldAttempt,
    ProgressMade,
)
from xnas_core.errors import StoreError, XnasError
from xnas_core.journal import Journal
from xnas_core.search import events as ev
from xnas_core.search.engine import Engine
from xnas_core.search.inbox import Asked, RequestInbox
from xnas_core.search.requests import accept
from xnas_core.search.work import deadline_seconds
from xnas_core.tasks import Assignment, Progress, TaskFailure, TaskResult, attempt_prefix

LoopOutcome = Literal["finished", "stopped"]

IDLE_SECONDS = 1.0
"""How long a turn waits at most; deadlines are noticed that late."""


class SearchLoop:
    """Runs one engine to its end.

    Args:
        engine: state so far.
        journal: where its events go.
        dispatcher: serves the evaluators; None for searches that need none.
        on_turn: called with the events of each turn that changed something, when they are durable.
        on_attempt: called with each sign of life of an attempt.
        clock: seconds since the epoch.
        inbox: tasks that are asked for while it runs.
        only_requested: do what was asked for and nothing else: a search that has not finished stays where it is.
        turnstile: shared by all searches of a process, of which those without evaluators decide one after the other.
            None: there is only this one.
    """

    def __init__(
        self,
        engine: Engine,
        journal: Journal,
        dispatcher: Dispatcher | None,
        *,
        on_turn: Callable[[Sequence[ev.Event]], None] = lambda _: None,
        on_attempt: Callable[[Progress], None] = lambda _: None,
        clock: Callable[[], float] = time.time,
        inbox: RequestInbox | None = None,
        only_requested: bool = False,
        turnstile: asyncio.Lock | None = None,
    ) -> None:
        self._engine = engine
        self._journal = journal
        self._dispatcher = dispatcher
        self._on_turn = on_turn
        self._on_attempt = on_attempt
        self._clock = clock
        self._inbox = inbox if inbox is not None else RequestInbox()
        self._only_requested = only_requested
        self._turnstile = turnstile if dispatcher is None else None
        self._stopping = False
        self._requests: list[ev.Event] = []
        self._snapshot: asyncio.Future[None] | None = None
        self.busy = False
        """Whether the engine holds events that are not durable yet: nobody may be shown them (protocol.md §5.3)."""

    def request_stop(self) -> None:
        """Start nothing new, and return once no attempt runs any more: whoever owns the evaluators ends them."""
        self._stopping = True

    def change_limits(self, spec_document: Mapping[str, Any]) -> None:
        """Let changed limits take effect with the next turn."""
        self._requests.append(ev.LimitsChanged(time=self._clock(), spec=dict(spec_document)))

    async def run(self) -> LoopOutcome:
        """Run until the search has finished and nothing more was asked for, or until it was stopped.

        Raises:
            LostOwnershipError: another process goes on with the search.
            StoreError: the journal cannot be written; nothing was acted on since the last segment.
        """
        held = self._held()
        # Not only where attempts are held: the time without a process must not count as active.
        if self._engine.candidates and self._engine.finished is None:
            begin = ev.Suspended if self._only_requested else ev.Resumed
            self._requests.insert(0, begin(time=self._clock()))
        if self._dispatcher is not None:
            self._dispatcher.hold(held)
        while True:
            changed = await self._turn()
            if changed:
                # What this turn gave away goes out before anything else is done.
                await asyncio.sleep(0)
                self._keep_snapshot()
            outcome = self._outcome()
            if outcome is None and not changed and self._dispatcher is None:
                outcome = "finished" if self._engine.finished else "stopped"
            if outcome is not None:
                if self._snapshot is None:
                    return outcome
                # Who asks for something meanwhile is heard: there is one turn more.
                snapshot, self._snapshot = self._snapshot, None
                await snapshot
            elif not changed and self._dispatcher is not None:
                await self._dispatcher.wait(IDLE_SECONDS)

    def _keep_snapshot(self) -> None:
        """Have a snapshot written where there is need of one, beside the next turns: nobody waits for it."""
        if self._snapshot is not None:
            if not self._snapshot.done():
                return
            self._snapshot.result()
            self._snapshot = None
        if self._journal.wants_snapshot():
            keep = self._journal.snapshot(self._engine.capture())
            self._snapshot = asyncio.get_running_loop().run_in_executor(None, keep)

    def _outcome(self) -> LoopOutcome | None:
        """Return how the loop ends if it ends now."""
        engine = self._engine
        if self._requests or len(self._inbox):
            return None
        if engine.done:
            return "finished"
        idle = not any(True for _ in engine.ledger.running())
        if self._only_requested:
            return "stopped" if not engine.asked_for or (idle and self._stopping) else None
        return "stopped" if idle and (self._stopping or engine.suspended) else None

    async def _turn(self) -> bool:
        """Do one turn; return whether anything happened."""
        events: list[ev.Event] = []
        ended: list[str] = []
        for request in self._requests:
            self._note(request, events)
        self._requests.clear()
        asked = self._take_asked(events)
        for news in self._dispatcher.take() if self._dispatcher else ():
            match news:
                case AttemptCompleted(result):
                    self._note(_succeeded(result, self._clock()), events)
                    ended.append(result.task_id)
                case AttemptFailed(failure):
                    self._note(_ended(failure, self._clock()), events)
                    ended.append(failure.task_id)
                case ProgressMade(progress):
                    self._on_attempt(progress)
        assignments = [] if self._stopping else await self._decide_in_turn(events)
        if events:
            await self._append(events, asked)
            self.busy = False
        for one in asked:
            one.done()
        if self._dispatcher is not None:
            for task_id in ended:
                self._dispatcher.acknowledge(task_id)
            for slot, assignment in assignments:
                self._dispatcher.assign(slot, assignment)
            for task_id in self._engine.unwanted():
                self._dispatcher.cancel(task_id)
        if events:
            self._on_turn(events)
        return bool(events)

    def _take_asked(self, events: list[ev.Event]) -> list[Asked]:
        """Take what was asked for; return those who wait until it is durable. One that is open already is, then."""
        taken = []
        for asked in self._inbox.take():
            try:
                event = accept(self._engine, asked.request, self._clock())
            except XnasError as error:
                asked.refuse(error)
                continue
            if event is not None:
                self._note(event, events)
            taken.append(asked)
        return taken

    async def _append(self, events: Sequence[ev.Event], asked: Sequence[Asked]) -> None:
        try:
            await asyncio.to_thread(self._journal.append, events)
        except BaseException as error:
            # Also where the loop is cancelled: nobody must wait for an answer that never comes.
            stopped = StoreError("the search stopped before the request was written; ask again")
            for one in asked:
                one.refuse(error if isinstance(error, XnasError) else stopped)
            raise

    def _note(self, event: ev.Event, events: list[ev.Event]) -> None:
        self.busy = True
        self._engine.handle(event)
        events.append(event)

    async def _decide_in_turn(self, events: list[ev.Event]) -> list[tuple[FreeSlot, Assignment]]:
        """Decide; searches that wait for nobody leave the event loop to all else after each of their turns.

        Without a turnstile dozens of them would decide between two looks at the network, each for some 15 ms, and
        whatever needs several such looks (a request to the Kubernetes API) would take seconds.
        """
        if self._turnstile is None:
            return self._decide_and_match(events)
        async with self._turnstile:
            assignments = self._decide_and_match(events)
            await asyncio.sleep(0)
        return assignments

    def _decide_and_match(self, events: list[ev.Event]) -> list[tuple[FreeSlot, Assignment]]:
        slots = list(self._dispatcher.free_slots()) if self._dispatcher else []
        # A graph-only search decides one batch a turn, so that its segments stay small.
        while not self._only_requested and (decisions := self._engine.decide(len(slots), self._clock())):
            for decision in decisions:
                self._note(decision, events)
            if self._dispatcher is None:
                break
        assignments = []
        runnable = self._engine.runnable(len(slots), requested=self._only_requested)
        for slot, ref in zip(slots, runnable, strict=False):
            assignment = self._engine.assignment(ref)
            started = ev.AttemptStarted(
                time=self._clock(),
                task=ref.kind,
                candidate=ref.candidate,
                attempt=assignment.attempt,
                evaluator=slot.evaluator,
                task_id=assignment.task_id,
            )
            self._note(started, events)
            assignments.append((slot, assignment))
        return assignments

    def _held(self) -> list[HeldAttempt]:
        """Return the attempts that the journal says are running."""
        held = []
        for task in self._engine.ledger.running():
            attempt = task.running()
            if attempt is not None:
                prefix = attempt_prefix(task.ref.candidate, task.ref.kind, attempt.number)
                deadline = deadline_seconds(self._engine, task)
                held.append(HeldAttempt(attempt.task_id, attempt.evaluator, prefix, deadline))
        return held


def _succeeded(result: TaskResult, now: float) -> ev.Succeeded:
    return ev.Succeeded(
        time=now,
        task=result.kind,
        candidate=result.candidate_id,
        attempt=result.attempt,
        metrics=result.metrics,
        errors=result.errors,
        timings=result.timings,
        artifacts=result.artifacts,
        environment=result.environment,
    )


def _ended(failure: TaskFailure, now: float) -> ev.AttemptEnded:
    return ev.AttemptEnded(
        time=now,
        task=failure.kind,
        candidate=failure.candidate_id,
        attempt=failure.attempt,
        reason=failure.reason,
        message=failure.message,
    )
