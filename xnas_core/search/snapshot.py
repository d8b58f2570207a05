"""The engine's state as a JSON document, and back (protocol.md §5.5)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson

from xnas_core.search import events as ev
from xnas_core.search.candidates import Candidate, rows
from xnas_core.search.clockwork import Stopwatch
from xnas_core.search.ledger import Ledger
from xnas_core.search.problem import parse_spec
from xnas_core.search.view import CandidateState

if TYPE_CHECKING:
    from xnas_core.search.engine import Engine

SCHEMA = 1


def capture(engine: Engine) -> Callable[[], dict[str, Any]]:
    """Return what makes a document, for `orjson.dumps`, of the whole state as it is now, whatever changes later.

    The loop waits for the first part only: a list of what was written down before. Thousands of candidates take some
    ten times as long to be put together, which may be done in another thread.
    """
    candidates, tasks = rows(engine.candidates), engine.ledger.to_json()
    rest = {
        "preempted": engine.ledger.preempted_attempts,
        "population": engine.algorithm.members(),
        "untold": list(engine.untold),
        "told": engine.told_generations,
        "arrivals": list(engine.arrivals),
        "hypervolumes": list(engine.hypervolumes),
        "frontSizes": list(engine.front_sizes),
        "front": list(engine.archive.keys),
        "reference": None if engine.archive.reference is None else engine.archive.reference.tolist(),
        "stopped": engine.stopped.model_dump() if engine.stopped else None,
        "finished": engine.finished.model_dump() if engine.finished else None,
        "suspended": engine.suspended,
        "active": [engine.watch.active_seconds, engine.watch.last_time],
    }
    started, spec = engine.started, engine.spec_document

    def document() -> dict[str, Any]:
        head = {"schema": SCHEMA, "started": started.model_dump(), "spec": spec}
        return {**head, "candidates": _array(candidates), "ledger": _array(tasks), **rest}

    return document


def _array(rows: Sequence[bytes]) -> orjson.Fragment:
    return orjson.Fragment(b"".join((b"[", b",".join(rows), b"]")))


def restore(engine: Engine, document: Mapping[str, Any]) -> None:
    """Bring a new engine of the same search to the state that a document holds.

    Raises:
        ValueError, KeyError, TypeError: it is not such a document, or of another schema.
    """
    if document["schema"] != SCHEMA:
        raise ValueError(f"state schema {document['schema']!r}, this version reads {SCHEMA}")
    engine.spec_document, engine.spec = document["spec"], parse_spec(document["spec"])
    engine.candidates = [Candidate.from_document(row) for row in document["candidates"]]
    engine.by_id.update((candidate.id, candidate) for candidate in engine.candidates)
    engine.ledger = Ledger.from_document(document["ledger"], document["preempted"])
    engine.algorithm.restore([engine.candidates[number] for number in document["population"]])
    engine.untold = document["untold"]
    engine.told_generations = document["told"]
    engine.arrivals = document["arrivals"]
    if document["reference"] is not None:
        engine.archive.set_reference(np.asarray(document["reference"], dtype=np.float64))
    for number in document["front"]:
        engine.archive.insert(number, np.asarray(engine.candidates[number].values, dtype=np.float64))
    engine.hypervolumes, engine.front_sizes = document["hypervolumes"], document["frontSizes"]
    engine.stopped = ev.Stopped.model_validate(document["stopped"]) if document["stopped"] else None
    engine.finished = ev.Finished.model_validate(document["finished"]) if document["finished"] else None
    engine.suspended = document["suspended"]
    engine.watch = Stopwatch(*document["active"])
    engine.advance_prefix()
    engine.failed = sum(candidate.state is CandidateState.FAILED for candidate in engine.candidates)
