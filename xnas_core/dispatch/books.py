"""The books of dispatch: evaluators, attempts, free slots, and who waits for which acknowledgement.

They change only here, so that what belongs together stays together: a free slot is one of a connected evaluator
that is not draining; an attempt that is held is on the books and its evaluator's own.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from xnas_core.dispatch.interface import FreeSlot
from xnas_core.dispatch.leases import Attempt, Evaluator, EvaluatorView


class Books:
    """What is known of evaluators and of attempts that have not ended.

    Attributes:
        evaluators: by id.
        attempts: by task id; given to an evaluator, end not reported.
        slots_freed: grows whenever a slot becomes free.
    """

    def __init__(self) -> None:
        self.evaluators: dict[str, Evaluator] = {}
        self.attempts: dict[str, Attempt] = {}
        self.slots_freed = 0
        # Who sent the end of an attempt that is not durable yet; in the order of arrival.
        self._senders: dict[str, dict[str, None]] = {}
        # Insertion order is the order in which the slots became free.
        self._free: dict[FreeSlot, None] = {}

    # --- evaluators and slots -------------------------------------------------------------------------------------

    def connected(self, evaluator_id: str) -> bool:
        """Return whether the evaluator has a stream."""
        evaluator = self.evaluators.get(evaluator_id)
        return evaluator is not None and evaluator.stream is not None

    def views(self) -> Sequence[EvaluatorView]:
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
            for e in self.evaluators.values()
        )

    def free_slots(self, limit: int | None = None) -> Sequence[FreeSlot]:
        """Return the slots that can take an assignment, longest free first; at most `limit`."""
        return tuple(itertools.islice(self._free, limit))

    def is_free(self, slot: FreeSlot) -> bool:
        """Return whether the slot can take an assignment."""
        return slot in self._free

    def take(self, slot: FreeSlot, attempt: Attempt) -> None:
        """Put an attempt into a free slot."""
        del self._free[slot]
        evaluator = self.evaluators[slot.evaluator]
        evaluator.slots[slot.slot] = attempt.task_id
        evaluator.held.add(attempt.task_id)
        self.attempts[attempt.task_id] = attempt

    def occupy(self, evaluator: Evaluator, task: str, wish: int | None) -> int | None:
        """Put the task into the slot it wishes for, or else into any free one; return which."""
        if wish is None or wish >= len(evaluator.slots) or evaluator.slots[wish] is not None:
            wish = next(evaluator.free(), None)
        if wish is not None:
            evaluator.slots[wish] = task
        return wish

    def release(self, evaluator: Evaluator, task: str) -> None:
        """Free the slot that names the task, if there is one."""
        slot = evaluator.slot_of(task)
        if slot is None:
            return
        evaluator.slots[slot] = None
        if evaluator.stream is not None and not evaluator.draining:
            self.offer(FreeSlot(evaluator.id, slot))

    def offer(self, slot: FreeSlot) -> None:
        """Let the slot take assignments."""
        self._free[slot] = None
        self.slots_freed += 1

    def stop_offering(self, evaluator: Evaluator, *, draining: bool) -> None:
        """Let no slot of the evaluator take assignments, for now (a broken stream) or for good (`draining`)."""
        evaluator.draining = draining
        for slot in range(len(evaluator.slots)):
            self._free.pop(FreeSlot(evaluator.id, slot), None)

    # --- attempts and acknowledgements ----------------------------------------------------------------------------

    def own(self, evaluator: Evaluator, task: str) -> Attempt | None:
        """Return the attempt if it is this evaluator's and has not ended."""
        return self.attempts.get(task) if task in evaluator.held else None

    def forget(self, attempt: Attempt, *, release: bool = False) -> None:
        """Take the attempt off the books; `release` frees its slot although the evaluator said nothing."""
        self.attempts.pop(attempt.task_id, None)
        evaluator = self.evaluators.get(attempt.evaluator)
        if evaluator is not None:
            evaluator.held.discard(attempt.task_id)
            if release:
                self.release(evaluator, attempt.task_id)

    def first_word(self, task: str, sender: str) -> bool:
        """Note who waits for the acknowledgement; return whether this is the first to say that the attempt ended."""
        first = task not in self._senders
        self._senders.setdefault(task, {})[sender] = None
        return first

    def awaits_acknowledgement(self, task: str) -> bool:
        """Return whether the attempt's end was heard and is not durable yet."""
        return task in self._senders

    def acknowledged(self, task: str) -> Sequence[str]:
        """Return the connected evaluators that wait for this acknowledgement, and wait no more."""
        return [sender for sender in self._senders.pop(task, ()) if self.connected(sender)]

    def check_grant(self, evaluator_id: str, task: str, key: str, *, write: bool) -> None:
        """Return if the evaluator may have the object (protocol.md §6.9); `key` is known to be a plain one.

        Raises:
            PermissionError: it may not; the sentence says why.
            LookupError: the evaluator is not registered (any more); it may ask again when it is.
        """
        evaluator = self.evaluators.get(evaluator_id)
        if evaluator is None or evaluator.stream is None:
            raise LookupError(f"evaluator {evaluator_id[:128]!r} is not registered; connect first")
        attempt = self.own(evaluator, task)
        if attempt is None:
            raise PermissionError(f"attempt {task[:40]!r} is not held by evaluator {evaluator_id}")
        allowed = attempt.prefix if write else f"candidates/{attempt.candidate}/"
        if not key.startswith(allowed) or key == allowed:
            verb = "write" if write else "read"
            raise PermissionError(f"attempt {task} may {verb} below {allowed}, not {key!r}")
