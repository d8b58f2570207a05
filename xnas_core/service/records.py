"""Records of candidates that were made before: most candidates of a large search never change again."""

from __future__ import annotations

from xnas_core.search.candidates import Candidate
from xnas_core.search.engine import Engine
from xnas_core.search.view import CandidateRecord
from xnas_core.search.viewing import make_record
from xnas_core.tasks import TaskKind

_KINDS = tuple(TaskKind)


class RecordCache:
    """Records by number, of one engine at a time.

    What is known of a candidate changes only with its state, its place on the front and its tasks (state, number of
    attempts, outcome of the last one), so these are compared.
    """

    def __init__(self) -> None:
        self._engine: Engine | None = None
        self._known: dict[int, tuple[tuple[object, ...], CandidateRecord]] = {}

    def record(self, engine: Engine, candidate: Candidate, on_front: bool) -> CandidateRecord:
        """See xnas_core.search.viewing.make_record."""
        if engine is not self._engine:
            self._engine, self._known = engine, {}
        mark: tuple[object, ...] = (candidate.state, on_front)
        tasks = engine.ledger.tasks
        for kind in _KINDS:
            # A TaskRef is such a pair; making 64,000 of them would take longer than all the rest.
            task = tasks.get((kind, candidate.id))  # type: ignore[call-overload]
            if task is not None:
                attempts = task.attempts
                mark = (*mark, kind, task.state, len(attempts), attempts[-1].outcome if attempts else "")
        known = self._known.get(candidate.number)
        if known is not None and known[0] == mark:
            return known[1]
        record = make_record(engine, candidate, on_front)
        self._known[candidate.number] = (mark, record)
        return record
