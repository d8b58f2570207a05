"""Evaluators, slots, leases and attempts as a pure state machine (protocol.md §6): events in, instructions out.

Nothing here reads a clock, a stream or a store. Every method takes `now` (seconds on any steady clock) where
time matters, changes the state, and returns what its surroundings must do, in order.

An attempt's life: assigned -> (result of an earlier attempt looked for) -> sent -> ended by the evaluator's word, or
ended without it (grace period over, deadline, evidence from outside) -> its own result.json looked for -> reported.
"""

from __future__ import annotations

from collections.abc import Container, Sequence

from xnas_core.dispatch import messages as m
from xnas_core.dispatch.books import Books
from xnas_core.dispatch.interface import AttemptCompleted, AttemptFailed, FreeSlot, HeldAttempt, ProgressMade
from xnas_core.dispatch.leases import (
    Attempt,
    Close,
    Evaluator,
    EvaluatorView,
    Instruction,
    LookUp,
    Report,
    Send,
    parse_prefix,
)
from xnas_core.errors import InvalidInputError
from xnas_core.tasks import (
    Assignment,
    EndReason,
    EvaluationConfig,
    Progress,
    TaskFailure,
    TaskResult,
    attempt_prefix,
    task_id,
)

SILENT_INTERVALS = 3
"""Heartbeat intervals without a word after which a stream counts as broken (protocol.md §6.3)."""


class Pool:
    """The state of dispatch.

    Args:
        heartbeat_seconds: interval of heartbeats that Welcome asks for.
        grace_seconds: how long attempts stay an evaluator's after its stream broke; also how much later than the
            evaluator the server itself ends an attempt whose deadline has passed.
        local: ids of evaluators that ended with the run that owned them (protocol.md §7, RunStopped).
    """

    def __init__(
        self,
        config: EvaluationConfig,
        *,
        heartbeat_seconds: float,
        grace_seconds: float,
        local: Container[str] = frozenset(),
    ) -> None:
        self.config = config
        self.heartbeat_seconds = heartbeat_seconds
        self.grace_seconds = grace_seconds
        self._local = local
        self._books = Books()
        self.check_grant = self._books.check_grant

    @property
    def slots_freed(self) -> int:
        """Grows whenever a slot becomes free."""
        return self._books.slots_freed

    # --- what the search loop asks for --------------------------------------------------------------------------

    def free_slots(self, limit: int | None = None) -> Sequence[FreeSlot]:
        """Return the slots that can take an assignment now, longest free first; at most `limit`."""
        return self._books.free_slots(limit)

    def evaluators(self) -> Sequence[EvaluatorView]:
        """Return what is known of each evaluator."""
        return self._books.views()

    def hold(self, attempts: Sequence[HeldAttempt], now: float) -> list[Instruction]:
        """Wait for the evaluators of these attempts for the grace period (see Dispatcher.hold)."""
        out: list[Instruction] = []
        for held in attempts:
            if held.task_id in self._books.attempts:
                continue
            candidate, kind, number = parse_prefix(held.prefix)
            attempt = Attempt(
                task_id=held.task_id,
                kind=kind,
                candidate=candidate,
                number=number,
                prefix=held.prefix,
                evaluator=held.evaluator,
                slot=None,
                document=None,
                deadline_at=now + held.deadline_seconds + self.grace_seconds,
                sent=True,
            )
            self._books.attempts[held.task_id] = attempt
            if held.evaluator in self._local:
                message = "the run that owned this evaluator was stopped; its workers ended with it"
                self._end_unheard(attempt, EndReason.RUN_STOPPED, message, out)
                continue
            evaluator = self._books.evaluators.setdefault(
                held.evaluator, Evaluator(held.evaluator, grace_until=now + self.grace_seconds)
            )
            evaluator.held.add(held.task_id)
        return out

    def assign(self, slot: FreeSlot, assignment: Assignment, now: float) -> list[Instruction]:
        """Give the assignment to the slot; first look for the results of its earlier attempts (protocol.md §6.6)."""
        out: list[Instruction] = []
        attempt = Attempt(
            task_id=assignment.task_id,
            kind=assignment.kind,
            candidate=assignment.candidate_id,
            number=assignment.attempt,
            prefix=assignment.prefix,
            evaluator=slot.evaluator,
            slot=slot.slot,
            document=m.document(assignment),
            deadline_at=now + assignment.deadline_seconds + self.grace_seconds,
        )
        evaluator = self._books.evaluators.get(slot.evaluator)
        if evaluator is None or not self._books.is_free(slot):
            message = f"slot {slot.slot} of evaluator {slot.evaluator} went away before the assignment was sent"
            out.append(Report(AttemptFailed(attempt.failure(EndReason.CANCELLED, message))))
            return out
        self._books.take(slot, attempt)
        if assignment.previous_attempts:
            attempt.looking = True
            out.append(LookUp(assignment.task_id, self._earlier(assignment)))
        else:
            self._send_assignment(attempt, evaluator, out)
        return out

    def _earlier(self, assignment: Assignment) -> tuple[tuple[str | None, str], ...]:
        kind, candidate = assignment.kind, assignment.candidate_id
        return tuple(
            (
                task_id(self.config.search_id, kind, candidate, assignment.fidelity, number),
                attempt_prefix(candidate, kind, number),
            )
            for number in assignment.previous_attempts
        )

    def acknowledge(self, task: str) -> list[Instruction]:
        """The end of this attempt is durable: tell everyone who sent it."""
        return [Send(sender, m.Ack(task)) for sender in self._books.acknowledged(task)]

    def cancel(self, task: str) -> list[Instruction]:
        """End the attempt; it is reported when its evaluator says so, or at once if that does not run it."""
        out: list[Instruction] = []
        attempt = self._books.attempts.get(task)
        if attempt is None or attempt.ending is not None or attempt.cancelling:
            return out
        attempt.cancelling = True
        if attempt.sent and self._books.connected(attempt.evaluator):
            out.append(Send(attempt.evaluator, m.Cancel(task)))
        else:
            self._books.forget(attempt, release=not attempt.sent)
            out.append(Report(AttemptFailed(attempt.failure(EndReason.CANCELLED, "cancelled"))))
        return out

    def drain(self, evaluator_id: str, seconds: float) -> list[Instruction]:
        """Ask an evaluator to empty itself."""
        evaluator = self._books.evaluators.get(evaluator_id)
        if evaluator is None or evaluator.stream is None:
            return []
        self._books.stop_offering(evaluator, draining=True)
        return [Send(evaluator_id, m.Drain(seconds))]

    def looked_up(self, asked_for: str, result: TaskResult | None) -> list[Instruction]:
        """Answer to LookUp: the first whole result that was found, if any."""
        out: list[Instruction] = []
        attempt = self._books.attempts.get(asked_for)
        if attempt is None:
            return out
        if attempt.ending is not None:
            self._books.forget(attempt)
            found = AttemptCompleted(result) if result is not None else AttemptFailed(attempt.ending)
            out.append(Report(found))
        elif attempt.looking:
            attempt.looking = False
            if result is not None:
                self._books.forget(attempt, release=True)
                message = f"not needed: the result of attempt {result.attempt} was found"
                out.append(Report(AttemptCompleted(result)))
                out.append(Report(AttemptFailed(attempt.failure(EndReason.CANCELLED, message))))
            elif self._books.connected(attempt.evaluator):
                self._send_assignment(attempt, self._books.evaluators[attempt.evaluator], out)
        return out

    # --- what evaluators say --------------------------------------------------------------------------------------

    def register(self, message: m.Register, stream: int, now: float) -> list[Instruction]:
        """An evaluator opened a stream: Welcome, and bring both sides' books together (protocol.md §6.2-4, §6.7)."""
        out: list[Instruction] = []
        evaluator = self._books.evaluators.setdefault(message.evaluator, Evaluator(message.evaluator))
        if evaluator.stream is not None:
            out.append(Close(evaluator.stream, "the evaluator has opened another stream"))
        if evaluator.expected is not None and evaluator.expected[0] is EndReason.NODE_LOST:
            # A node that its cluster lost sight of for a while, as it does when the API server was away.
            evaluator.expected = None
        self._books.stop_offering(evaluator, draining=evaluator.expected is not None)
        evaluator.slots = [None] * message.slots
        evaluator.device, evaluator.version = message.device, message.version
        evaluator.capabilities = message.capabilities
        evaluator.stream, evaluator.last_heard, evaluator.grace_until = stream, now, None
        out.append(Send(evaluator.id, m.Welcome(self.heartbeat_seconds, self.grace_seconds, self.config)))
        running = {task for task, _ in message.running}
        for task, slot in message.running:
            attempt = self._books.own(evaluator, task)
            place = self._books.occupy(evaluator, task, slot)
            if attempt is None:
                out.append(Send(evaluator.id, m.Cancel(task)))
                continue
            attempt.slot, attempt.sent = place, True
            if attempt.cancelling:
                out.append(Send(evaluator.id, m.Cancel(task)))
        for task in sorted(evaluator.held - running - set(message.unacknowledged)):
            self._not_there(self._books.attempts[task], evaluator, out)
        if not evaluator.draining:
            for free in evaluator.free():
                self._books.offer(FreeSlot(evaluator.id, free))
        return out

    def _not_there(self, attempt: Attempt, evaluator: Evaluator, out: list[Instruction]) -> None:
        """The evaluator is back and does not know an attempt that is its own: the assignment did not arrive."""
        if attempt.ending is not None:
            return
        place = self._books.occupy(evaluator, attempt.task_id, attempt.slot) if attempt.document else None
        if place is None or attempt.cancelling:
            message = f"the assignment did not reach evaluator {evaluator.id}"
            self._end_unheard(attempt, EndReason.CANCELLED, message, out)
            self._books.release(evaluator, attempt.task_id)
            return
        attempt.slot = place
        if not attempt.looking:
            self._send_assignment(attempt, evaluator, out)

    def heartbeat(self, evaluator_id: str, running: Sequence[str], now: float) -> list[Instruction]:
        """The evaluator is alive."""
        evaluator = self._books.evaluators[evaluator_id]
        evaluator.last_heard = now
        for task in evaluator.slots:
            # A slot may still name an attempt that ended without the evaluator's word.
            if task is not None and task not in evaluator.held and task not in running:
                self._books.release(evaluator, task)
        return []

    def progress(self, evaluator_id: str, progress: Progress, now: float) -> list[Instruction]:
        """An attempt gave a sign of life."""
        self._books.evaluators[evaluator_id].last_heard = now
        known = self._books.own(self._books.evaluators[evaluator_id], progress.task_id)
        return [Report(ProgressMade(progress))] if known else []

    def draining(self, evaluator_id: str, now: float) -> list[Instruction]:
        """The evaluator takes nothing new."""
        self._books.evaluators[evaluator_id].last_heard = now
        self._books.stop_offering(self._books.evaluators[evaluator_id], draining=True)
        return []

    def completed(self, evaluator_id: str, result: TaskResult, now: float) -> list[Instruction]:
        """A result arrived, for the first time or again. The engine says whether it counts (protocol.md §6.5)."""
        out: list[Instruction] = []
        attempt = self._books.attempts.get(result.task_id)
        if attempt is not None and (attempt.kind, attempt.candidate, attempt.number) != (
            result.kind,
            result.candidate_id,
            result.attempt,
        ):
            said = f"{result.kind} {result.attempt} of {result.candidate_id}"
            return self.rejected(evaluator_id, result.task_id, f"the result is that of another attempt ({said})", now)
        self._heard_end(evaluator_id, result.task_id, now)
        if attempt is not None:
            self._books.forget(attempt)
            if attempt.evaluator != evaluator_id and self._books.connected(attempt.evaluator):
                out.append(Send(attempt.evaluator, m.Cancel(result.task_id)))
        if self._books.first_word(result.task_id, evaluator_id):
            out.append(Report(AttemptCompleted(result)))
        return out

    def failed(self, evaluator_id: str, failure: TaskFailure, now: float) -> list[Instruction]:
        """An attempt ended without a result. One that has ended already is acknowledged at once."""
        self._heard_end(evaluator_id, failure.task_id, now)
        attempt = self._books.own(self._books.evaluators[evaluator_id], failure.task_id)
        if attempt is not None:
            self._books.forget(attempt)
            # Ids come from our own books: an evaluator cannot end another candidate's attempt by mistake.
            ended = attempt.failure(failure.reason, failure.message).model_copy(update={"timings": failure.timings})
            self._books.first_word(failure.task_id, evaluator_id)
            return [Report(AttemptFailed(ended))]
        if self._books.awaits_acknowledgement(failure.task_id):
            self._books.first_word(failure.task_id, evaluator_id)
            return []
        return [Send(evaluator_id, m.Ack(failure.task_id))]

    def rejected(self, evaluator_id: str, task: str, message: str, now: float) -> list[Instruction]:
        """What the evaluator sent about this attempt cannot be stored (protocol.md §7, BadResult)."""
        attempt = self._books.attempts.get(task)
        if attempt is None or attempt.evaluator != evaluator_id:
            self._heard_end(evaluator_id, task, now)
            return [Send(evaluator_id, m.Ack(task))]
        return self.failed(evaluator_id, attempt.failure(EndReason.BAD_RESULT, m.bounded(message)), now)

    def disconnected(self, evaluator_id: str, stream: int, now: float) -> list[Instruction]:
        """A stream ended. Its attempts stay the evaluator's for the grace period (protocol.md §6.3)."""
        evaluator = self._books.evaluators.get(evaluator_id)
        if evaluator is None or evaluator.stream != stream:
            return []
        self._books.stop_offering(evaluator, draining=evaluator.draining)
        evaluator.stream = None
        evaluator.grace_until = now + self.grace_seconds
        if not evaluator.held:
            del self._books.evaluators[evaluator_id]
        return []

    # --- what the clock and the outside say -----------------------------------------------------------------------

    def tick(self, now: float) -> list[Instruction]:
        """Let time pass: silent streams, grace periods, deadlines."""
        out: list[Instruction] = []
        silence = SILENT_INTERVALS * self.heartbeat_seconds
        for evaluator in list(self._books.evaluators.values()):
            if evaluator.stream is not None and now - evaluator.last_heard > silence:
                out.append(Close(evaluator.stream, f"nothing was heard for {silence:g} s"))
                out.extend(self.disconnected(evaluator.id, evaluator.stream, now))
            elif evaluator.grace_until is not None and now >= evaluator.grace_until:
                message = f"nothing was heard of evaluator {evaluator.id} for {self.grace_seconds:g} s"
                reason, message = evaluator.expected or (EndReason.LOST, message)
                self._end_all(evaluator, reason, message, out)
        for attempt in list(self._books.attempts.values()):
            if now >= attempt.deadline_at and attempt.ending is None:
                if self._books.connected(attempt.evaluator):
                    out.append(Send(attempt.evaluator, m.Cancel(attempt.task_id)))
                message = "the deadline of the attempt has passed and its evaluator did not end it"
                self._end_unheard(attempt, EndReason.DEADLINE_EXCEEDED, message, out)
        return out

    def report_end(self, evaluator_id: str, reason: EndReason, message: str, *, gone: bool = True) -> list[Instruction]:
        """Evidence from outside about an evaluator: its pod, its node, its process (protocol.md §7).

        Args:
            gone: the evaluator has ended, so its attempts end now. Otherwise it will: the reason is kept, and takes
                the place of `Lost` when its grace period is over.
        """
        out: list[Instruction] = []
        evaluator = self._books.evaluators.get(evaluator_id)
        if evaluator is None:
            return out
        evaluator.expected = (reason, message)
        self._books.stop_offering(evaluator, draining=True)
        if gone:
            if evaluator.stream is not None:
                out.append(Close(evaluator.stream, message))
            self._end_all(evaluator, reason, message, out)
        return out

    def refuse_assignment(self, task: str, message: str) -> list[Instruction]:
        """The assignment cannot be sent at all (over a bound): end the attempt for good."""
        attempt = self._books.attempts.get(task)
        if attempt is None:
            raise InvalidInputError(f"attempt {task!r} is not known")
        self._books.forget(attempt, release=True)
        return [Report(AttemptFailed(attempt.failure(EndReason.INVALID_TASK, message)))]

    # --- how attempts begin and end -------------------------------------------------------------------------------

    def _send_assignment(self, attempt: Attempt, evaluator: Evaluator, out: list[Instruction]) -> None:
        if attempt.document is not None and attempt.slot is not None:
            attempt.sent = True
            out.append(Send(evaluator.id, m.Assign(attempt.slot, attempt.task_id, attempt.document)))

    def _heard_end(self, evaluator_id: str, task: str, now: float) -> None:
        evaluator = self._books.evaluators[evaluator_id]
        evaluator.last_heard = now
        self._books.release(evaluator, task)

    def _end_unheard(self, attempt: Attempt, reason: EndReason, message: str, out: list[Instruction]) -> None:
        """End an attempt without its evaluator's word: its result may be in the store, so look there first."""
        if attempt.cancelling:
            reason, message = EndReason.CANCELLED, "cancelled"
        evaluator = self._books.evaluators.get(attempt.evaluator)
        if evaluator is not None:
            evaluator.held.discard(attempt.task_id)
        attempt.ending = attempt.failure(reason, m.bounded(message))
        out.append(LookUp(attempt.task_id, ((attempt.task_id, attempt.prefix),)))

    def _end_all(self, evaluator: Evaluator, reason: EndReason, message: str, out: list[Instruction]) -> None:
        self._books.stop_offering(evaluator, draining=True)
        del self._books.evaluators[evaluator.id]
        for task in sorted(evaluator.held):
            attempt = self._books.attempts[task]
            if attempt.sent:
                self._end_unheard(attempt, reason, message, out)
            else:
                self._books.forget(attempt)
                unsent = f"evaluator {evaluator.id} was gone before the assignment was sent"
                out.append(Report(AttemptFailed(attempt.failure(EndReason.CANCELLED, unsent))))
