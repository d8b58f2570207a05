"""The journal: segments of events, and snapshots that save time (protocol.md §5)."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
import structlog
from pydantic import TypeAdapter, ValidationError

from xnas_core.artifacts import keys
from xnas_core.artifacts.store import ObjectStore
from xnas_core.errors import IntegrityError, LostOwnershipError, StoreError
from xnas_core.search.events import Event

_log = structlog.get_logger(__name__)

SCHEMA = 1
_FIRST = "0" * 64
"""The digest before the first segment."""
_HEAD = b'{"sha256":"%b","body":'
_HEAD_LENGTH = len(_HEAD % _FIRST.encode())
_EVENTS: TypeAdapter[list[Event]] = TypeAdapter(list[Event])
_MIN_SNAPSHOT_BYTES = 256 * 1024
"""Segments that add up to less are read faster than a snapshot is worth."""


@dataclass(frozen=True, slots=True)
class Segment:
    """One segment that was read and found whole."""

    number: int
    writer: str
    digest: str
    size: int
    events: Sequence[Event]


class Journal:
    """Writes segments. One writer at a time wins: whoever fails to create the next segment has lost the search.

    Args:
        store: where segments go.
        after: number of the last segment that exists; 0: none.
        digest: its digest.
    """

    def __init__(self, store: ObjectStore, after: int = 0, digest: str = _FIRST) -> None:
        self.writer = str(uuid.uuid4())
        self._store = store
        self._number, self._digest = after, digest
        self._since_snapshot = 0
        self._snapshot_size = 0

    @property
    def number(self) -> int:
        """Number of the last durable segment."""
        return self._number

    def append(self, events: Sequence[Event]) -> None:
        """Make the events durable as the next segment. Blocks.

        Raises:
            LostOwnershipError: another writer has taken the search over; nothing was written.
            StoreError: the store refused; nothing may be acted on.
        """
        number = self._number + 1
        data, digest = encode(number, self.writer, self._digest, events)
        key = keys.segment(number)
        try:
            ours = self._store.create(key, data)
        except StoreError:
            # The answer may have been lost after the write: then our writer id is in the object (protocol.md §5.7).
            if not self._is_ours(key, data):
                raise
            ours = True
        if not ours and not self._is_ours(key, data):
            raise LostOwnershipError(
                f"another process goes on with this search (it wrote {key}); this one stops and changes nothing more"
            )
        self._number, self._digest = number, digest
        self._since_snapshot += len(data)

    def _is_ours(self, key: str, data: bytes) -> bool:
        """Return whether `data` stands; raise StoreError where nobody can tell, which is no loss of ownership."""
        try:
            return self._store.get(key) == data
        except KeyError:
            return False

    def wants_snapshot(self) -> bool:
        """Return whether enough was written since the last one; sizes grow, so the total stays linear."""
        return self._since_snapshot > max(_MIN_SNAPSHOT_BYTES, self._snapshot_size // 2)

    def snapshot(self, state: Callable[[], Mapping[str, Any]]) -> Callable[[], None]:
        """Return what keeps the state after the last segment; call it once.

        It blocks, and may be called in another thread while segments are appended. A store that refuses costs only
        time at the next start.

        Args:
            state: makes the document of that state; called by what is returned.
        """
        number, digest = self._number, self._digest
        self._since_snapshot = 0

        def keep() -> None:
            body = orjson.dumps({"schema": SCHEMA, "n": number, "digest": digest, "state": state()})
            self._snapshot_size = len(body)
            try:
                self._store.put(keys.snapshot(number), _sealed(body))
            except StoreError as error:
                _log.warning("no snapshot could be written", error=str(error))

        return keep

    def carry_on(self, since_snapshot: int, snapshot_size: int) -> None:
        """Remember how much recovery had to read."""
        self._since_snapshot, self._snapshot_size = since_snapshot, snapshot_size


def encode(number: int, writer: str, previous: str, events: Sequence[Event]) -> tuple[bytes, str]:
    """Return a segment's bytes and its digest."""
    documents = [event.model_dump() for event in events]
    body = orjson.dumps({"schema": SCHEMA, "n": number, "writer": writer, "previous": previous, "events": documents})
    data = _sealed(body)
    return data, data[11:75].decode()


def _sealed(body: bytes) -> bytes:
    return _HEAD % hashlib.sha256(body).hexdigest().encode() + body + b"}"


def _opened(key: str, data: bytes) -> tuple[dict[str, Any], str]:
    """Return body and digest of a sealed document.

    Raises:
        IntegrityError: it is torn, altered or of another schema.
    """
    head, body = data[:_HEAD_LENGTH], data[_HEAD_LENGTH:-1]
    digest = hashlib.sha256(body).hexdigest()
    if data[-1:] != b"}" or head != _HEAD % digest.encode():
        raise IntegrityError(f"{key} is torn or was altered: its digest does not fit; restore it from a back-up")
    document = orjson.loads(body)
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        raise IntegrityError(f"{key} was written by another version of xnas; this one reads schema {SCHEMA}")
    return document, digest


def decode(key: str, data: bytes, number: int, previous: str) -> Segment:
    """Read a segment.

    Raises:
        IntegrityError: it is torn, altered, of another schema, or does not follow the segment before it.
    """
    document, digest = _opened(key, data)
    if document.get("n") != number or document.get("previous") != previous:
        raise IntegrityError(f"{key} does not follow the segment before it; it belongs to another journal")
    try:
        return Segment(number, str(document["writer"]), digest, len(data), _EVENTS.validate_python(document["events"]))
    except (KeyError, ValidationError) as error:
        raise IntegrityError(f"{key} holds events that this version of xnas does not know: {error}") from error


def read_segments(store: ObjectStore, after: int = 0, digest: str = _FIRST) -> list[Segment]:
    """Read the segments after one, until there is none.

    Raises:
        IntegrityError: a segment is damaged or missing between others; it is named.
    """
    segments: list[Segment] = []
    number = after + 1
    while True:
        key = keys.segment(number)
        try:
            data = store.get(key)
        except KeyError:
            break
        segments.append(decode(key, data, number, digest))
        digest = segments[-1].digest
        number += 1
    later = [key for key in store.list(keys.JOURNAL) if key > keys.segment(number)]
    if later:
        raise IntegrityError(f"{keys.segment(number)} is missing although {later[0]} exists; restore it from a back-up")
    return segments


def newest_snapshot(store: ObjectStore) -> tuple[dict[str, Any], int, str, int] | None:
    """Return (state, covered segments, their digest, size) of the newest snapshot that is valid, or None."""
    for key in sorted(store.list(keys.SNAPSHOTS), reverse=True):
        try:
            data = store.get(key)
            document, _ = _opened(key, data)
            number, digest = int(document["n"]), str(document["digest"])
            segment, found = _opened(keys.segment(number), store.get(keys.segment(number)))
            if key != keys.snapshot(number) or found != digest or segment["n"] != number:
                raise IntegrityError(f"{key} does not fit {keys.segment(number)}")
            return document["state"], number, digest, len(data)
        except (IntegrityError, StoreError, KeyError, TypeError, ValueError) as error:
            _log.warning("snapshot not usable; going on without it", key=key, error=str(error))
    return None
