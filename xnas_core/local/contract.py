"""What whoever starts a run says and hears: options in, news during it, an outcome at its end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from xnas_core.search.view import SearchProgress, SearchView
from xnas_core.tasks import TaskKind

Level = Literal["info", "warning"]


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How to run, as opposed to what.

    Attributes:
        slots: candidates trained side by side; None: `evaluators.slotsPerEvaluator`.
        device: auto, cpu, cuda or cuda:N.
        listen: HOST:PORT for evaluators from elsewhere; None: only the private Unix socket.
        token: bearer token for `listen`; None: a new one is made and announced.
    """

    slots: int | None = None
    device: str = "auto"
    listen: str | None = None
    token: str | None = None


@dataclass(frozen=True, slots=True)
class RunStarted:
    """The search is accepted and about to go on.

    Attributes:
        resumed: the folder held this search already.
        finished_before: evaluations that were finished before this start.
        changed: mutable fields that differ from what was accepted before.
        socket: address for `xnas evaluator --connect` on this machine.
        listening: address for evaluators from elsewhere, with the token, if asked for.
    """

    name: str
    search_id: str
    resumed: bool
    finished_before: int
    max_evaluations: int | None
    changed: tuple[str, ...]
    socket: str | None
    listening: str | None
    token: str | None


@dataclass(frozen=True, slots=True)
class RunningAttempt:
    """An attempt that runs now, as far as it has told."""

    candidate: str
    kind: TaskKind
    epoch: int
    epochs: int
    step: str
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RunProgress(SearchProgress):
    """How far the search is, and what runs now."""

    attempts: Sequence[RunningAttempt] = ()


class RunObserver(Protocol):
    """Hears of a run. Called in the run's own thread; must return quickly and raise nothing."""

    def on_started(self, started: RunStarted) -> None:
        """Called once, before anything is trained."""
        ...

    def on_progress(self, progress: RunProgress) -> None:
        """Called at most ten times a second."""
        ...

    def on_message(self, level: Level, text: str) -> None:
        """Called for what a person should know: one sentence."""
        ...


@dataclass(frozen=True, slots=True)
class RunOutcome:
    """How a run ended.

    Attributes:
        state: Complete or Failed (the search is over), or Stopped (the same command goes on).
        reason: one word; message: one sentence.
        view: the search as it is now.
        report, candidates, front: files that were written; None where nothing could be.
    """

    state: Literal["Complete", "Failed", "Stopped"]
    reason: str
    message: str
    output: Path
    view: SearchView
    report: Path | None = None
    candidates: Path | None = None
    front: Path | None = None
