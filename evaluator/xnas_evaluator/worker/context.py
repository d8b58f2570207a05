"""The task's world in a worker process: objects by grants, signs of life and the exclusive moment over the pipe."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from xnas_core.api.spec import ArchitectureSearchSpec
from xnas_core.artifacts import keys
from xnas_core.errors import StoreError
from xnas_core.tasks import Artifact, Assignment, Progress, TaskKind
from xnas_evaluator import pipe
from xnas_evaluator.worker import objects
from xnas_evaluator.worker.inbox import Inbox

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
    ) -> None:
        self.assignment = assignment
        self.spec = spec
        self.device = device
        self.threads = threads
        self.cache = cache
        self._inbox = inbox
        self._reported = (-1, float("-inf"))
        # A path stays valid for the attempt, so that an unreachable server does not stop a training (§6.3).
        self._paths: dict[tuple[bool, str], Path] = {}

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
        where = self._grant(keys.check_key(self.assignment.prefix + name), write=True)
        if isinstance(where, Path):
            objects.write_path(where, data)
        else:
            objects.write_url(where, data)
        return Artifact(name=name, size=len(data), sha256=hashlib.sha256(data).hexdigest())

    def get(self, kind: TaskKind, attempt: int, name: str) -> bytes | None:
        """See TaskContext.get."""
        where = self._grant(keys.attempt_object(self.assignment.candidate_id, kind, attempt, name), write=False)
        return objects.read_path(where) if isinstance(where, Path) else objects.read_url(where)

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """See TaskContext.exclusive."""
        self._inbox.enter_exclusive()
        try:
            yield
        finally:
            self._inbox.leave_exclusive()

    def _grant(self, key: str, *, write: bool) -> Path | str:
        known = self._paths.get((write, key))
        if known is not None:
            return known
        answer = self._inbox.ask(self.assignment.task_id, key, write=write)
        if answer.path is not None:
            return self._paths.setdefault((write, key), Path(answer.path))
        if answer.url is not None:
            return answer.url
        raise StoreError(answer.error or "the server gave no access and no reason")
