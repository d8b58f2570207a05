"""A store in memory that can be told to fail, for tests of whatever writes and reads objects."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from xnas_core.artifacts.keys import check_key
from xnas_core.errors import StoreError


class Fault(StrEnum):
    """What a call of `create` or `put` meets."""

    NONE = "none"
    REFUSED = "refused"
    """StoreError, nothing was written."""
    WRITTEN_THEN_LOST = "writtenThenLost"
    """StoreError although the object was written: the answer was lost (protocol.md §5.7)."""


@dataclass
class MemoryStore:
    """Objects in a dictionary. Implements ObjectStore; safe to call from any thread.

    Attributes:
        objects: the content, open to tests that alter it.
        fault: asked before each write for what happens to it; it may raise to play a process that is killed there.
        written: called after each successful write, before it returns; it may raise too.
    """

    objects: dict[str, bytes] = field(default_factory=dict)
    fault: Callable[[str], Fault] | None = None
    written: Callable[[str], None] | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def create(self, key: str, data: bytes) -> bool:
        """See ObjectStore.create."""
        return self._write(key, data, replace=False)

    def put(self, key: str, data: bytes) -> None:
        """See ObjectStore.put."""
        self._write(key, data, replace=True)

    def _write(self, key: str, data: bytes, *, replace: bool) -> bool:
        check_key(key)
        fault = self.fault(key) if self.fault else Fault.NONE
        if fault is Fault.REFUSED:
            raise StoreError(f"the store refused to write {key}")
        with self._lock:
            done = replace or key not in self.objects
            if done:
                self.objects[key] = data
        if fault is Fault.WRITTEN_THEN_LOST:
            raise StoreError(f"the store did not answer while {key} was written")
        if done and self.written:
            self.written(key)
        return done

    def get(self, key: str) -> bytes:
        """See ObjectStore.get."""
        return self.objects[check_key(key)]

    def open(self, key: str) -> Generator[bytes]:
        """See ObjectStore.open. Blocks are small, so that tests have several."""
        data = self.get(key)
        return (data[start : start + 1000] for start in range(0, len(data), 1000))

    def exists(self, key: str) -> bool:
        """See ObjectStore.exists."""
        return key in self.objects

    def list(self, prefix: str) -> Iterator[str]:
        """See ObjectStore.list."""
        yield from sorted(key for key in list(self.objects) if key.startswith(prefix))

    def delete(self, key: str) -> None:
        """See ObjectStore.delete."""
        with self._lock:
            self.objects.pop(check_key(key), None)

    def delete_many(self, keys: Iterable[str]) -> None:
        """See ObjectStore.delete_many."""
        for key in keys:
            self.delete(key)
