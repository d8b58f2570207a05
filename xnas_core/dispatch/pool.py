"""Evaluators, slots, leases and attempts as a pure state machine (protocol.md §6): events in, instructions out.

Nothing here reads a clock, a stream or a store. Every method takes `now` (seconds on any steady clock) where
time matters, changes the state, and returns what its surroundings must do, in order.

An attempt's life: assigned -> (result of an earlier attempt looked for) -> sent -> ended by the evaluator's word, or
ended without it (grace period over, deadline, evidence from outside) -> its own result.json looked for -> reported.
"""

from __future__ import annotations

from collections.abc import Container, Sequence

from xnas_core.dispatch import messages as m
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
        self._evaluators: dict[str, Evaluator] = {}
        self._attempts: dict[str, Attempt] = {}
        # Who sent the end of an attempt that is not durable yet; in the order of arrival.
        self._senders: dict[str, dict[str, None]] = {}
        # Insertion order is the order in which the slots became free.
        self._free: dict[FreeSlot, None] = {}
        self.slots_freed = 0
        """Grows whenever a slot becomes free."""

    # --- what the search loop asks for --------------------------------------------------------------------------

    def free_slots(self) -> Sequence[FreeSlot]:
        """Return the slots that can take an assignment now, longest free first."""
        return tuple(self._free)

    def evaluators(self) -> Sequence[EvaluatorView]:
        """Return what is known of each evaluator."""
        return tuple(
            EvaluatorView(
                id=e.id,
                device=e.device,
                version=e.version,
                slots=len(e.slots),
                busy=sum(task is not None for task in e.slots),
                connected=e.stream is not None,
                draining=e.draining,
                capabilities=e.capabilities,
            )
            for e in self._evaluators.values()
        )

    def hold(self, attempts: Sequence[HeldAttempt], now: float) -> list[Instruction]:
        """Wait for the evaluators of these attempts for the grace period (see Dispatcher.hold)."""
        out: list[Instruction] = []
        for held in attempts:
            if held.task_id in self._attempts:
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
                assignment=None,
                deadline_at=now + held.deadline_seconds + self.grace_seconds,
                sent=True,
            )
            self._attempts[held.task_id] = attempt
            if held.evaluator in self._local:
                message = "the run that owned this evaluator was stopped; its workers ended with it"
                self._end_unheard(attempt, EndReason.RUN_STOPPED, message, out)
                continue
            evaluator = self._evaluators.setdefault(
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
            assignment=assignment,
            deadline_at=now + assignment.deadline_seconds + self.grace_seconds,
        )
        evaluator = self._evaluators.get(slot.evaluator)
        if evaluator is None or slot not in self._free:
            message = f"slot {slot.slot} of evaluator {slot.evaluator} went away before the assignment was sent"
            out.append(Report(AttemptFailed(attempt.failure(EndReason.CANCELLED, message))))
            return out
        del self._free[slot]
        evaluator.slots[slot.slot] = assignment.task_id
        evaluator.held.add(assignment.task_id)
        self._attempts[assignment.task_id] = attempt
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
        return [Send(sender, m.Ack(task)) for sender in self._senders.pop(task, ()) if self._connected(sender)]

    def cancel(self, task: str) -> list[Instruction]:
        """End the attempt; it is reported when its evaluator says so, or at once if that does not run it."""
        out: list[Instruction] = []
        attempt = self._attempts.get(task)
        if attempt is None or attempt.ending is not None or attempt.cancelling:
            return out
        attempt.cancelling = True
        if attempt.sent and self._connected(attempt.evaluator):
            out.append(Send(attempt.evaluator, m.Cancel(task)))
        else:
            self._forget(attempt, release=not attempt.sent)
            out.append(Report(AttemptFailed(attempt.failure(EndReason.CANCELLED, "cancelled"))))
        return out

    def drain(self, evaluator_id: str, seconds: float) -> list[Instruction]:
        """Ask an evaluator to empty itself."""
        evaluator = self._evaluators.get(evaluator_id)
        if evaluator is None or evaluator.stream is None:
            return []
        self._stop_offering(evaluator, draining=True)
        return [Send(evaluator_id, m.Drain(seconds))]

    def looked_up(self, asked_for: str, result: TaskResult | None) -> list[Instruction]:
        """Answer to LookUp: the first whole result that was found, if any."""
        out: list[Instruction] = []
        attempt = self._attempts.get(asked_for)
        if attempt is None:
            return out
        if attempt.ending is not None:
            self._forget(attempt)
            found = AttemptCompleted(result) if result is not None else AttemptFailed(attempt.ending)
            out.append(Report(found))
        elif attempt.looking:
            attempt.looking = False
            if result is not None:
                self._forget(attempt, release=True)
                message = f"not needed: the result of attempt {result.attempt} was found"
                out.append(Report(AttemptCompleted(result)))
                out.append(Report(AttemptFailed(attempt.failure(EndReason.CANCELLED, message))))
            elif self._connected(attempt.evaluator):
                self._send_assignment(attempt, self._evaluators[attempt.evaluator], out)
        return out

    # --- what evaluators say --------------------------------------------------------------------------------------

    def register(self, message: m.Register, stream: int, now: float) -> list[Instruction]:
        """An evaluator opened a stream: Welcome, and bring both sides' books together (protocol.md §6.2-4, §6.7)."""
        out: list[Instruction] = []
        evaluator = self._evaluators.setdefault(message.evaluator, Evaluator(message.evaluator))
        if evaluator.stream is not None:
            out.append(Close(evaluator.stream, "the evaluator has opened another stream"))
        self._stop_offering(evaluator, draining=evaluator.expected is not None)
        evaluator.slots = [None] * message.slots
        evaluator.device, evaluator.version = message.device, message.version
        evaluator.capabilities = message.capabilities
        evaluator.stream, evaluator.last_heard, evaluator.grace_until = stream, now, None
        out.append(Send(evaluator.id, m.Welcome(self.heartbeat_seconds, self.grace_seconds, self.config)))
        running = {task for task, _ in message.running}
        for task, slot in message.running:
            attempt = self._own(evaluator, task)
            place = self._occupy(evaluator, task, slot)
            if attempt is None:
                out.append(Send(evaluator.id, m.Cancel(task)))
                continue
            attempt.slot, attempt.sent = place, True
            if attempt.cancelling:
                out.append(Send(evaluator.id, m.Cancel(task)))
        for task in sorted(evaluator.held - running - set(message.unacknowledged)):
            self._not_there(self._attempts[task], evaluator, out)
        if not evaluator.draining:
            for free in evaluator.free():
                self._offer(FreeSlot(evaluator.id, free))
        return out

    def _not_there(self, attempt: Attempt, evaluator: Evaluator, out: list[Instruction]) -> None:
        """The evaluator is back and does not know an attempt that is its own: the assignment did not arrive."""
        if attempt.ending is not None:
            return
        place = self._occupy(evaluator, attempt.task_id, attempt.slot) if attempt.assignment else None
        if place is None or attempt.cancelling:
            message = f"the assignment did not reach evaluator {evaluator.id}"
            self._end_unheard(attempt, EndReason.CANCELLED, message, out)
            self._release(evaluator, attempt.task_id)
            return
        attempt.slot = place
        if not attempt.looking:
            self._send_assignment(attempt, evaluator, out)

    def heartbeat(self, evaluator_id: str, running: Sequence[str], now: float) -> list[Instruction]:
        """The evaluator is alive."""
        evaluator = self._evaluators[evaluator_id]
        evaluator.last_heard = now
        for task in evaluator.slots:
            # A slot may still name an attempt that ended without the evaluator's word.
            if task is not None and task not in evaluator.held and task not in running:
                self._release(evaluator, task)
        return []

    def progress(self, evaluator_id: str, progress: Progress, now: float) -> list[Instruction]:
        """An attempt gave a sign of life."""
        self._evaluators[evaluator_id].last_heard = now
        known = self._own(self._evaluators[evaluator_id], progress.task_id)
        return [Report(ProgressMade(progress))] if known else []

    def draining(self, evaluator_id: str, now: float) -> list[Instruction]:
        """The evaluator takes nothing new."""
        self._evaluators[evaluator_id].last_heard = now
        self._stop_offering(self._evaluators[evaluator_id], draining=True)
        return []

    def completed(self, evaluator_id: str, result: TaskResult, now: float) -> list[Instruction]:
        """A result arrived, for the first time or again. The engine says whether it counts (protocol.md §6.5)."""
        out: list[Instruction] = []
        attempt = self._attempts.get(result.task_id)
        if attempt is not None and (attempt.kind, attempt.candidate, attempt.number) != (
            result.kind,
            result.candidate_id,
            result.attempt,
        ):
            said = f"{result.kind} {result.attempt} of {result.candidate_id}"
            return self.rejected(evaluator_id, result.task_id, f"the result is that of another attempt ({said})", now)
        self._heard_end(evaluator_id, result.task_id, now)
        if attempt is not None:
            self._forget(attempt)
            if attempt.evaluator != evaluator_id and self._connected(attempt.evaluator):
                out.append(Send(attempt.evaluator, m.Cancel(result.task_id)))
        if self._first_word(result.task_id, evaluator_id):
            out.append(Report(AttemptCompleted(result)))
        return out

    def failed(self, evaluator_id: str, failure: TaskFailure, now: float) -> list[Instruction]:
        """An attempt ended without a result. One that has ended already is acknowledged at once."""
        self._heard_end(evaluator_id, failure.task_id, now)
        attempt = self._own(self._evaluators[evaluator_id], failure.task_id)
        if attempt is not None:
            self._forget(attempt)
            # Ids come from our own books: an evaluator cannot end another candidate's attempt by mistake.
            ended = attempt.failure(failure.reason, failure.message).model_copy(update={"timings": failure.timings})
            self._first_word(failure.task_id, evaluator_id)
            return [Report(AttemptFailed(ended))]
        if failure.task_id in self._senders:
            self._senders[failure.task_id][evaluator_id] = None
            return []
        return [Send(evaluator_id, m.Ack(failure.task_id))] if self._connected(evaluator_id) else []

    def rejected(self, evaluator_id: str, task: str, message: str, now: float) -> list[Instruction]:
        """What the evaluator sent about this attempt cannot be stored (protocol.md §7, BadResult)."""
        attempt = self._attempts.get(task)
        if attempt is None or attempt.evaluator != evaluator_id:
            self._heard_end(evaluator_id, task, now)
            return [Send(evaluator_id, m.Ack(task))]
        return self.failed(evaluator_id, attempt.failure(EndReason.BAD_RESULT, m.bounded(message)), now)

    def disconnected(self, evaluator_id: str, stream: int, now: float) -> list[Instruction]:
        """A stream ended. Its attempts stay the evaluator's for the grace period (protocol.md §6.3)."""
        evaluator = self._evaluators.get(evaluator_id)
        if evaluator is None or evaluator.stream != stream:
            return []
        self._stop_offering(evaluator, draining=evaluator.draining)
        evaluator.stream = None
        evaluator.grace_until = now + self.grace_seconds
        if not evaluator.held:
            del self._evaluators[evaluator_id]
        return []

    # --- what the clock and the outside say -----------------------------------------------------------------------

    def tick(self, now: float) -> list[Instruction]:
        """Let time pass: silent streams, grace periods, deadlines."""
        out: list[Instruction] = []
        silence = SILENT_INTERVALS * self.heartbeat_seconds
        for evaluator in list(self._evaluators.values()):
            if evaluator.stream is not None and now - evaluator.last_heard > silence:
                out.append(Close(evaluator.stream, f"nothing was heard for {silence:g} s"))
                out.extend(self.disconnected(evaluator.id, evaluator.stream, now))
            elif evaluator.grace_until is not None and now >= evaluator.grace_until:
                message = f"nothing was heard of evaluator {evaluator.id} for {self.grace_seconds:g} s"
                reason, message = evaluator.expected or (EndReason.LOST, message)
                self._end_all(evaluator, reason, message, out)
        for attempt in list(self._attempts.values()):
            if now >= attempt.deadline_at and attempt.ending is None:
                if self._connected(attempt.evaluator):
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
        evaluator = self._evaluators.get(evaluator_id)
        if evaluator is None:
            return out
        evaluator.expected = (reason, message)
        self._stop_offering(evaluator, draining=True)
        if gone:
            if evaluator.stream is not None:
                out.append(Close(evaluator.stream, message))
            self._end_all(evaluator, reason, message, out)
        return out

    def check_grant(self, evaluator_id: str, task: str, key: str, *, write: bool) -> None:
        """Return if the evaluator may have the object (protocol.md §6.9); `key` is known to be a plain one.

        Raises:
            PermissionError: it may not; the sentence says why.
            LookupError: the evaluator is not registered (any more); it may ask again when it is.
        """
        evaluator = self._evaluators.get(evaluator_id)
        if evaluator is None or evaluator.stream is None:
            raise LookupError(f"evaluator {evaluator_id[:128]!r} is not registered; connect first")
        attempt = self._own(evaluator, task)
        if attempt is None:
            raise PermissionError(f"attempt {task[:40]!r} is not held by evaluator {evaluator_id}")
        allowed = attempt.prefix if write else f"candidates/{attempt.candidate}/"
        if not key.startswith(allowed) or key == allowed:
            verb = "write" if write else "read"
            raise PermissionError(f"attempt {task} may {verb} below {allowed}, not {key!r}")

    def refuse_assignment(self, task: str, message: str) -> list[Instruction]:
        """The assignment cannot be sent at all (over a bound): end the attempt for good."""
        attempt = self._attempts.get(task)
        if attempt is None:
            raise InvalidInputError(f"attempt {task!r} is not known")
        self._forget(attempt, release=True)
        return [Report(AttemptFailed(attempt.failure(EndReason.INVALID_TASK, message)))]

    # --- the books ------------------------------------------------------------------------------------------------

    def _connected(self, evaluator_id: str) -> bool:
        evaluator = self._evaluators.get(evaluator_id)
        return evaluator is not None and evaluator.stream is not None

    def _own(self, evaluator: Evaluator, task: str) -> Attempt | None:
        """Return the attempt if it is this evaluator's and has not ended."""
        attempt = self._attempts.get(task)
        ours = attempt is not None and attempt.evaluator == evaluator.id and task in evaluator.held
        return attempt if ours else None

    def _send_assignment(self, attempt: Attempt, evaluator: Evaluator, out: list[Instruction]) -> None:
        if attempt.assignment is not None and attempt.slot is not None:
            attempt.sent = True
            out.append(Send(evaluator.id, m.Assign(attempt.slot, attempt.assignment)))

    def _first_word(self, task: str, sender: str) -> bool:
        """Note who waits for the acknowledgement; return whether this is the first to say that the attempt ended."""
        first = task not in self._senders
        self._senders.setdefault(task, {})[sender] = None
        return first

    def _heard_end(self, evaluator_id: str, task: str, now: float) -> None:
        evaluator = self._evaluators[evaluator_id]
        evaluator.last_heard = now
        self._release(evaluator, task)

    def _occupy(self, evaluator: Evaluator, task: str, wish: int | None) -> int | None:
        """Put the task into the slot it wishes for, or else into any free one; return which."""
        if wish is None or wish >= len(evaluator.slots) or evaluator.slots[wish] is not None:
            wish = next(evaluator.free(), None)
        if wish is not None:
            evaluator.slots[wish] = task
        return wish

    def _release(self, evaluator: Evaluator, task: str) -> None:
        slot = evaluator.slot_of(task)
        if slot is None:
            return
        evaluator.slots[slot] = None
        if evaluator.stream is not None and not evaluator.draining:
            self._offer(FreeSlot(evaluator.id, slot))

    def _offer(self, slot: FreeSlot) -> None:
        self._free[slot] = None
        self.slots_freed += 1

    def _forget(self, attempt: Attempt, *, release: bool = False) -> None:
        """Take the attempt off the books; `release` frees its slot although the evaluator said nothing."""
        self._attempts.pop(attempt.task_id, None)
        evaluator = self._evaluators.get(attempt.evaluator)
        if evaluator is not None:
            evaluator.held.discard(attempt.task_id)
            if release:
                self._release(evaluator, attempt.task_id)

    def _end_unheard(self, attempt: Attempt, reason: EndReason, message: str, out: list[Instruction]) -> None:
        """End an attempt without its evaluator's word: its result may be in the store, so look there first."""
        if attempt.cancelling:
            reason, message = EndReason.CANCELLED, "cancelled"
        evaluator = self._evaluators.get(attempt.evaluator)
        if evaluator is not None:
            evaluator.held.discard(attempt.task_id)
        attempt.ending = attempt.failure(reason, m.bounded(message))
        out.append(LookUp(attempt.task_id, ((attempt.task_id, attempt.prefix),)))

    def _end_all(self, evaluator: Evaluator, reason: EndReason, message: str, out: list[Instruction]) -> None:
        self._stop_offering(evaluator, draining=True)
        del self._evaluators[evaluator.id]
        for task in sorted(evaluator.held):
            attempt = self._attempts[task]
            if attempt.sent:
                self._end_unheard(attempt, reason, message, out)
            else:
                self._forget(attempt)
                unsent = f"evaluator {evaluator.id} was gone before the assignment was sent"
                out.append(Report(AttemptFailed(attempt.failure(EndReason.CANCELLED, unsent))))

    def _stop_offering(self, evaluator: Evaluator, *, draining: bool) -> None:
        evaluator.draining = draining
        for slot in range(len(evaluator.slots)):
            self._free.pop(FreeSlot(evaluator.id, slot), None)
