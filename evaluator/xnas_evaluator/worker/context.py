"""The task's world in a worker process: objects by grants, signs of life and the exclusive moment over the pipe."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

from xnas_core.api.spec import ArchitectureSearchSpec
from xnas_core.artifacts import keys
from xnas_core.errors import StoreError
from xnas_core.tasks import Artifact, Assignment, Progress, TaskKind
from xnas_evaluator import pipe
from xnas_evaluator.datasets.copies import find_copy, remote_address
from xnas_evaluator.worker import objects
from xnas_evaluator.worker.inbox import Inbox

if TYPE_CHECKING:
    from xnas_evaluator.worker.web import WebObjects

_REPORT_SECONDS = 0.5
"""Reports of one epoch are sent at most this often; those of a new epoch at once."""


class WorkerContext:
    """See `xnas_evaluator.context.TaskContext`."""

    def __init__(
        self,
        inbox: Inbox,
        assignment: Assignment,
        spec: ArchitectureSearchSpec,
        *,
        device: str,
        threads: int,
        cache: Path,
        store_ca_file: Path | None = None,
    ) -> None:
        self.assignment = assignment
        self.spec = spec
        self.device = device
        self.threads = threads
        self.cache = cache
        self._store_ca_file = store_ca_file
        self._inbox = inbox
        self._reported = (-1, float("-inf"))
        # Access is used again while it holds, so that an unreachable server does not stop a training (§6.3).
        self._known: dict[tuple[bool, str], tuple[Path | str, float]] = {}
        self._web: WebObjects | None = None

    def progress(self, epoch: int, epochs: int, step: str = "", metrics: Mapping[str, float] | None = None) -> None:
        """See TaskContext.progress."""
        self._inbox.check()
        now = time.monotonic()
        last_epoch, last_time = self._reported
        if epoch == last_epoch and now - last_time < _REPORT_SECONDS and not metrics:
            return
        self._reported = (epoch, now)
        values = {name: float(value) for name, value in (metrics or {}).items() if value - value == 0}
        progress = Progress(
            task_id=self.assignment.task_id, epoch=epoch, epochs=epochs, step=step[:4000], metrics=values
        )
        self._inbox.send(pipe.Reported(progress=progress))

    def put(self, name: str, data: bytes) -> Artifact:
        """See TaskContext.put."""
        key = keys.check_key(self.assignment.prefix + name)
        where = self._grant(key, write=True)
        if isinstance(where, Path):
            objects.write_path(where, data)
        else:
            self._web_objects().put(key, where, data)
        return Artifact(name=name, size=len(data), sha256=hashlib.sha256(data).hexdigest())

    def get(self, kind: TaskKind, attempt: int, name: str) -> bytes | None:
        """See TaskContext.get."""
        key = keys.attempt_object(self.assignment.candidate_id, kind, attempt, name)
        where = self._grant(key, write=False)
        if isinstance(where, Path):
            return objects.read_path(where)
        return self._web_objects().get(key, where)

    def fetch_data(self) -> None:
        """Bring the data set into the cache folder, if it lies in a store and is not here yet.

        Raises:
            InvalidInputError: there is no such object, or it is too large.
            StoreError: no access, or the store could not.
            TaskCancelledError: the attempt is not wanted any more.
        """
        uri = remote_address(self.spec.dataset)
        if uri is None or find_copy(self.cache, uri) is not None:
            return
        from xnas_evaluator.datasets.fetch import fetch
        from xnas_evaluator.worker.web import transport

        def ask() -> str:
            answer = self._inbox.ask_data(self.assignment.task_id, uri)
            if answer.url is None:
                raise StoreError(answer.error or "the server gave no access and no reason")
            return answer.url

        def alive(share: float) -> None:
            self.progress(0, self.spec.training.epochs, f"reading the data set, {share:.0%}")

        fetch(
            uri,
            self.cache,
            transport(self._store_ca_file, self._inbox.sleep),
            ask,
            alive=alive,
            sleep=self._inbox.sleep,
        )

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """See TaskContext.exclusive."""
        self._inbox.enter_exclusive()
        try:
            yield
        finally:
            self._inbox.leave_exclusive()

    def _grant(self, key: str, *, write: bool, fresh: bool = False) -> Path | str:
        where, until = self._known.get((write, key), (Path(), 0.0))
        if not fresh and time.monotonic() < until:
            return where
        answer = self._inbox.ask(self.assignment.task_id, key, write=write)
        if answer.path is not None:
            where, until = Path(answer.path), math.inf
        elif answer.url is not None:
            where, until = answer.url, time.monotonic() + _reusable_seconds(answer.url)
        else:
            raise StoreError(answer.error or "the server gave no access and no reason")
        self._known[write, key] = where, until
        return where

    def _fresh_url(self, key: str, *, write: bool) -> str:
        # A file would be no answer for whoever had a URL before; as an address it is refused with a sentence.
        return str(self._grant(key, write=write, fresh=True))

    def _web_objects(self) -> WebObjects:
        if self._web is None:
            # Here, since workers of one machine have no use for a web client.
            from xnas_evaluator.worker.web import WebObjects

            self._web = WebObjects(self._fresh_url, self._inbox.sleep, self._store_ca_file)
        return self._web


def _reusable_seconds(url: str) -> float:
    """Return for how long a presigned URL is used again: half its life, since it must hold when a request begins."""
    said = parse_qs(urlsplit(url).query).get("X-Amz-Expires", ["0"])[0]
    return int(said) / 2 if said.isdecimal() else 0.0
