"""What the metrics learn from a search: its events, and how long its store takes."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager

from xnas_core.artifacts import keys
from xnas_core.artifacts.store import ObjectStore
from xnas_core.search.engine import Engine
from xnas_core.search.events import AttemptEnded, AttemptStarted, Event, Succeeded
from xnas_core.search.ledger import TaskRef
from xnas_core.tasks import FailureClass, TaskKind, classify
from xnas_operator.manifests.names import Owner
from xnas_operator.metrics import Metrics


def count(metrics: Metrics, owner: Owner, engine: Engine, events: Sequence[Event]) -> None:
    """Count what the events of one turn say of evaluations."""
    for event in events:
        match event:
            case Succeeded(task=TaskKind.EVALUATE):
                task = engine.ledger.tasks.get(TaskRef(event.task, event.candidate))
                attempt = task.attempt(event.attempt) if task is not None else None
                seconds = event.time - attempt.started if attempt is not None else None
                metrics.evaluation_ended(owner, "succeeded", seconds)
            case AttemptEnded(task=TaskKind.EVALUATE):
                preempted = classify(event.reason) is FailureClass.PREEMPTED
                metrics.evaluation_ended(owner, "preempted" if preempted else "failed")
            case AttemptStarted(task=TaskKind.EVALUATE, attempt=1):
                candidate = engine.by_id.get(event.candidate)
                if candidate is not None:
                    metrics.waited(max(0.0, event.time - candidate.proposed_at))
            case _:
                pass


class MeasuredStore:
    """A store whose requests are timed. See ObjectStore."""

    def __init__(self, store: ObjectStore, metrics: Metrics) -> None:
        self._store = store
        self._metrics = metrics

    @contextmanager
    def _timed(self, operation: str) -> Iterator[None]:
        began = time.perf_counter()
        try:
            yield
        finally:
            self._metrics.store(operation, time.perf_counter() - began)

    def create(self, key: str, data: bytes) -> bool:
        """See ObjectStore.create; segments of a journal are counted apart too."""
        began = time.perf_counter()
        with self._timed("create"):
            created = self._store.create(key, data)
        if key.startswith(keys.JOURNAL):
            self._metrics.journal(time.perf_counter() - began)
        return created

    def put(self, key: str, data: bytes) -> None:
        """See ObjectStore.put."""
        with self._timed("put"):
            self._store.put(key, data)

    def get(self, key: str) -> bytes:
        """See ObjectStore.get."""
        with self._timed("get"):
            return self._store.get(key)

    def open(self, key: str) -> Generator[bytes]:
        """See ObjectStore.open; the time until the first block can be read."""
        with self._timed("get"):
            return self._store.open(key)

    def exists(self, key: str) -> bool:
        """See ObjectStore.exists."""
        with self._timed("get"):
            return self._store.exists(key)

    def list(self, prefix: str) -> Iterator[str]:
        """See ObjectStore.list; the whole list is read at once."""
        with self._timed("list"):
            found = list(self._store.list(prefix))
        return iter(found)

    def delete(self, key: str) -> None:
        """See ObjectStore.delete."""
        with self._timed("delete"):
            self._store.delete(key)

    def delete_many(self, keys: Iterable[str]) -> None:
        """See ObjectStore.delete_many."""
        with self._timed("delete"):
            self._store.delete_many(keys)
