"""From a store to an engine: the newest snapshot, then the segments after it (protocol.md §5.5)."""

from __future__ import annotations

import structlog

from xnas_core.artifacts.store import ObjectStore
from xnas_core.errors import IntegrityError
from xnas_core.journal import Journal, newest_snapshot, read_segments
from xnas_core.search.engine import Engine
from xnas_core.search.events import Started
from xnas_core.spaces.base import SearchSpace

_log = structlog.get_logger(__name__)


def recover(
    store: ObjectStore, space: SearchSpace | None = None, *, snapshots: bool = True
) -> tuple[Engine | None, Journal]:
    """Return the engine as the journal leaves it (None: there is no search yet) and the journal to go on with.

    Args:
        store: where the search is kept.
        space: the search space; None: the one that the spec names.
        snapshots: False reads all segments, which comes to the same state.

    Raises:
        IntegrityError: a segment is damaged; it is named.
    """
    engine, number, digest, size = None, 0, None, 0
    found = newest_snapshot(store) if snapshots else None
    if found is not None:
        document, covered, covered_digest, snapshot_size = found
        try:
            engine = Engine.from_document(document, space)
            number, digest, size = covered, covered_digest, snapshot_size
        except (ValueError, KeyError, TypeError, IndexError) as error:
            _log.warning("snapshot not usable; reading all segments", error=str(error))
    segments = read_segments(store, number, digest) if digest else read_segments(store)
    for segment in segments:
        for event in segment.events:
            if engine is None:
                if not isinstance(event, Started):
                    raise IntegrityError(f"the journal does not begin with the start of a search but with {event.kind}")
                engine = Engine(event, space)
            else:
                engine.handle(event)
    if segments:
        number, digest = segments[-1].number, segments[-1].digest
    journal = Journal(store, number, digest) if digest else Journal(store)
    journal.carry_on(sum(segment.size for segment in segments), size)
    return engine, journal
