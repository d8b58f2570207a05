"""The display of a running search on a terminal: a few lines that stay in place."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from xnas_core.cli.estimate import TimeLeft
from xnas_core.local.contract import Level, RunningAttempt, RunProgress, RunStarted
from xnas_core.report.numbers import duration, number
from xnas_core.tasks import TaskKind

SHOWN_ATTEMPTS = 6
_WIDEST_BAR = 40
_EXPLAINED = "explained"
_ASKED_FOR = "asked for"
_TRAINING = (TaskKind.EVALUATE, TaskKind.REFINE, TaskKind.CONFIRM)
_PER_SECOND = 4.0


@dataclass(frozen=True, slots=True)
class _Stage:
    """What the bar counts: evaluations, at the end the front's explanations, and tasks that were asked for."""

    word: str
    done: int
    total: int | None
    left: float | None


class LiveDisplay:
    """A `RunObserver` that draws.

    Args:
        console: on a terminal.
        clock: seconds, any zero.
    """

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._clock = clock
        self._began = clock()
        self._started: RunStarted | None = None
        self._progress: RunProgress | None = None
        self._evaluations = TimeLeft(self._began, 0)
        self._finals: TimeLeft | None = None

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Draw until the end of the block; nothing of the display is left then."""
        with Live(console=self._console, get_renderable=self.render, refresh_per_second=_PER_SECOND, transient=True):
            yield

    def on_started(self, started: RunStarted) -> None:
        """See RunObserver."""
        self._started = started
        self._evaluations = TimeLeft(self._clock(), started.finished_before)

    def on_progress(self, progress: RunProgress) -> None:
        """See RunObserver."""
        now = self._clock()
        self._progress = progress
        if any(attempt.epochs for attempt in progress.attempts):
            self._evaluations.begin(now)
        self._evaluations.note(now, progress.succeeded + progress.failed, progress.running)
        if progress.finalising:
            if self._finals is None:
                self._finals = TimeLeft(now, progress.finalised)
            self._finals.note(now, progress.finalised, len(progress.attempts))

    def on_message(self, level: Level, text: str) -> None:
        """See RunObserver."""
        self._console.print(Text(text, style="yellow" if level == "warning" else ""))

    def render(self) -> RenderableType:
        """Return the lines as they are now."""
        elapsed = duration(max(1, round(self._clock() - self._began)))
        if self._started is None or self._progress is None:
            said = "preparing" if self._started is None else f"{self._started.name} · starting the evaluator"
            return Text(f"{said} · {elapsed}", style="dim")
        progress, stage = self._progress, self._stage(self._progress)
        head = Text(self._started.name, style="bold")
        head.append(f" · generation {progress.generation} · {elapsed}", style="not bold")
        facts = Text(f"front {progress.front_size} · hypervolume {number(progress.hypervolume)}")
        if progress.failed:
            facts.append(f" · {progress.failed} failed", style="yellow")
        lines: list[RenderableType] = [head, *self._bar(stage), facts]
        lines += [self._attempt(attempt) for attempt in progress.attempts[:SHOWN_ATTEMPTS]]
        if len(progress.attempts) > SHOWN_ATTEMPTS:
            lines.append(Text(f"  and {len(progress.attempts) - SHOWN_ATTEMPTS} more", style="dim"))
        return Group(*lines)

    def _stage(self, progress: RunProgress) -> _Stage:
        now = self._clock()
        if progress.requested:
            return _Stage(_ASKED_FOR, 0, progress.requested, None)
        if progress.finalising and self._finals is not None:
            left = self._finals.left(now, progress.finalising - progress.finalised)
            return _Stage(_EXPLAINED, progress.finalised, progress.finalising, left)
        done, limit = progress.succeeded + progress.failed, progress.max_evaluations
        left = None if limit is None else self._evaluations.left(now, limit - done)
        return _Stage("evaluations", done, limit, left)

    def _bar(self, stage: _Stage) -> list[RenderableType]:
        counted = f"{stage.done}/{stage.total}" if stage.total else str(stage.done)
        told = f"{counted} {stage.word}"
        if stage.done == stage.total:
            told += " · writing the report" if stage.word == _EXPLAINED else ""
        elif stage.left is not None:
            told += f" · {rounded(stage.left)} left"
        room = self._console.width - len(told) - 2
        bar = ProgressBar(
            total=stage.total or 1,
            completed=stage.done if stage.total else 0,
            pulse=not stage.total,
            width=min(_WIDEST_BAR, room if room >= 10 else self._console.width),
            style="bright_black",
            complete_style="cyan",
            finished_style="green",
        )
        if room < 10:
            return [bar, Text(told)]
        row = Table.grid(padding=(0, 1, 0, 0))
        row.add_row(bar, Text(told, no_wrap=True))
        return [row]

    def _attempt(self, attempt: RunningAttempt) -> Text:
        line = Text(f"  {attempt.candidate}", style="cyan", no_wrap=True, overflow="ellipsis")
        if not attempt.epochs:
            line.append(" starting", style="dim")
        elif attempt.kind in _TRAINING:
            line.append(f" epoch {min(attempt.epoch + 1, attempt.epochs)}/{attempt.epochs}", style="default")
        if attempt.step and attempt.step != "training":
            line.append(f" {attempt.step}", style="default")
        loss = attempt.metrics.get("train_loss")
        if loss is not None and not attempt.step:
            line.append(f" loss {number(loss)}", style="dim")
        return line


def rounded(seconds: float) -> str:
    """Return a duration with no more figures than an estimate has."""
    if seconds < 60:
        return duration(max(1, round(seconds)))
    if seconds < 600:
        return duration(round(seconds / 5) * 5)
    return duration(round(seconds / 60) * 60)
