"""A task's world over a plain folder, to run tasks in tests and experiments without agent and server."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from xnas_core.api.spec import ArchitectureSearchSpec
from xnas_core.artifacts import keys
from xnas_core.artifacts.folder import FolderStore
from xnas_core.errors import InvalidInputError
from xnas_core.tasks import Artifact, Assignment, Progress, TaskKind, task_id
from xnas_evaluator.context import TaskCancelledError


@dataclass
class FolderContext:
    """A `TaskContext` whose objects are files below `root`, with the key scheme of a real output folder.

    Attributes:
        root: the output folder; created if absent.
        cancel_at_epoch: `progress` raises TaskCancelledError once this epoch is reported.
        reported: every progress report, oldest first.
        stored: every object that was put, in order, replaced ones included.
        exclusive_moments: how many times the exclusive moment was taken.
    """

    assignment: Assignment
    spec: ArchitectureSearchSpec
    root: Path
    device: str = "cpu"
    threads: int = 1
    cache: Path = Path()
    cancel_at_epoch: int | None = None
    reported: list[Progress] = field(default_factory=list)
    stored: list[Artifact] = field(default_factory=list)
    exclusive_moments: int = 0

    def __post_init__(self) -> None:
        self.store = FolderStore(self.root)
        if self.cache == Path():
            self.cache = self.root / ".cache"
        self.cache.mkdir(parents=True, exist_ok=True)

    def progress(self, epoch: int, epochs: int, step: str = "", metrics: Mapping[str, float] | None = None) -> None:
        """Record the report; raise TaskCancelledError from `cancel_at_epoch` on."""
        self.reported.append(
            Progress(
                task_id=self.assignment.task_id, epoch=epoch, epochs=epochs, step=step, metrics=dict(metrics or {})
            )
        )
        if self.cancel_at_epoch is not None and epoch >= self.cancel_at_epoch:
            raise TaskCancelledError

    def put(self, name: str, data: bytes) -> Artifact:
        """Store an object below the attempt's own prefix."""
        self.store.put(keys.check_key(self.assignment.prefix + name), data)
        artifact = Artifact(name=name, size=len(data), sha256=hashlib.sha256(data).hexdigest())
        self.stored.append(artifact)
        return artifact

    def get(self, kind: TaskKind, attempt: int, name: str) -> bytes | None:
        """Return an object of an attempt of the same candidate, or None if it is absent."""
        try:
            return self.store.get(keys.attempt_object(self.assignment.candidate_id, kind, attempt, name))
        except KeyError:
            return None

    @contextlib.contextmanager
    def exclusive(self) -> Iterator[None]:
        """Count the moment; nobody else is here."""
        self.exclusive_moments += 1
        yield


def assignment(
    kind: TaskKind = TaskKind.EVALUATE,
    *,
    candidate: str = "c0123456789ab",
    attempt: int = 1,
    encoding: str = "|nor_conv_3x3~0|+|none~0|none~1|+|none~0|none~1|skip_connect~2|",
    graph: dict[str, object] | None = None,
    fidelity: int = 1,
    seed: int = 1,
    previous_attempts: tuple[int, ...] = (),
    source_attempt: int | None = None,
    deadline_seconds: int = 3600,
    search_id: str = "test",
) -> Assignment:
    """Return an assignment with sensible values for everything that a test does not care about."""
    if attempt < 1:
        raise InvalidInputError(f"attempt {attempt} does not exist: attempts count from 1")
    return Assignment(
        task_id=task_id(search_id, kind, candidate, fidelity, attempt),
        kind=kind,
        candidate_id=candidate,
        fidelity=fidelity,
        attempt=attempt,
        encoding=encoding,
        graph=graph,
        seed=seed,
        previous_attempts=previous_attempts,
        source_attempt=source_attempt,
        deadline_seconds=deadline_seconds,
    )
