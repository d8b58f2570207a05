"""What a task sees of the world: its assignment, its objects, a way to report progress. No torch here.

The worker process implements it over grants; tests use `xnas_evaluator.testing.FolderContext`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

from xnas_core.api.spec import ArchitectureSearchSpec
from xnas_core.errors import InvalidInputError, XnasError
from xnas_core.tasks import Artifact, Assignment, TaskKind


class TaskCancelledError(Exception):
    """The attempt is not wanted any more; leave at once. Not an error of the task."""


class UnfitError(XnasError):
    """This evaluator can do nothing for the search, whichever the candidate (protocol.md §7)."""

    reason = "EvaluatorUnfit"


@contextmanager
def fit(digest: str) -> Iterator[None]:
    """Turn a mistake in the data into an UnfitError where others could use them: `Assignment.data_digest` says so."""
    try:
        yield
    except InvalidInputError as error:
        if not digest:
            raise
        raise UnfitError(str(error)) from error


class NonFiniteError(Exception):
    """A loss, weight or activation is NaN or infinite (protocol.md §7: final)."""


class TaskContext(Protocol):
    """One attempt, seen from inside.

    Attributes:
        assignment: what to do.
        spec: the accepted spec of the search.
        device: "cpu", "cuda", "cuda:1" ...
        threads: CPU threads to use.
        cache: folder for decoded data, shared by all workers of the machine.
    """

    assignment: Assignment
    spec: ArchitectureSearchSpec
    device: str
    threads: int
    cache: Path

    def progress(self, epoch: int, epochs: int, step: str = "", metrics: Mapping[str, float] | None = None) -> None:
        """Report a sign of life. Raises TaskCancelledError if the attempt is not wanted any more."""
        ...

    def put(self, name: str, data: bytes) -> Artifact:
        """Store an object below the attempt's own prefix, durably; an earlier one of that name is replaced.

        Raises:
            StoreError: the store refused, retries used up.
        """
        ...

    def get(self, kind: TaskKind, attempt: int, name: str) -> bytes | None:
        """Return an object of an attempt of the same candidate, or None if it is absent."""
        ...

    def exclusive(self) -> AbstractContextManager[None]:
        """Hold the evaluator's exclusive moment: no other worker computes meanwhile (for latency)."""
        ...
