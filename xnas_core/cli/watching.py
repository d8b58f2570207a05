"""A run on the screen: a live display on a terminal, a line at turning points elsewhere."""

from __future__ import annotations

import time
from collections import deque

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from xnas_core.local.contract import Level, RunProgress, RunStarted
from xnas_core.report.numbers import number

_WINDOW = 30
"""Finished evaluations from which the time left is estimated."""


class QuietObserver:
    """Says only what a person should know, a line each, on standard error."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def on_started(self, started: RunStarted) -> None:
        """See RunObserver."""
        for line in start_lines(started):
            self._console.print(line)

    def on_progress(self, progress: RunProgress) -> None:
        """See RunObserver: nothing, since nobody watches."""

    def on_message(self, level: Level, text: str) -> None:
        """See RunObserver."""
        self._console.print(f"{level}: {text}" if level == "warning" else text)


class LiveObserver(QuietObserver):
    """Draws a progress bar with front size, hypervolume and time left, and what runs now."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._live = Live(console=console, refresh_per_second=8, transient=True)
        self._finished: deque[tuple[float, int]] = deque(maxlen=_WINDOW)
        self._began = time.monotonic()

    def __enter__(self) -> LiveObserver:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def on_progress(self, progress: RunProgress) -> None:
        """See RunObserver."""
        self._live.update(self._picture(progress))

    def _picture(self, progress: RunProgress) -> Group:
        done, limit = progress.succeeded + progress.failed, progress.max_evaluations
        if not self._finished or self._finished[-1][1] != done:
            self._finished.append((time.monotonic(), done))
        line = Table.grid(padding=(0, 1), expand=False)
        bar = ProgressBar(total=limit or max(done, 1), completed=done, width=max(8, min(30, self._console.width // 4)))
        text = f"{done}/{limit}" if limit else str(done)
        line.add_row(bar, Text(text), Text(f"front {progress.front_size}"), Text(f"hv {number(progress.hypervolume)}"))
        parts = [f"generation {progress.generation + 1}", f"left {self._left(done, limit)}"]
        if progress.failed:
            parts.append(f"{progress.failed} failed")
        if progress.finalising:
            parts = [f"test scores and explanations: {progress.finalised}/{progress.finalising} front members"]
        rows: list[Table | Text] = [line, Text(" · ".join(parts), style="dim")]
        for attempt in progress.attempts[:8]:
            epochs = f"epoch {attempt.epoch}/{attempt.epochs}" if attempt.epochs else "starting"
            rows.append(Text(f"  {attempt.candidate}  {attempt.kind.value}  {epochs}  {attempt.step}".rstrip()))
        return Group(*rows)

    def _left(self, done: int, limit: int | None) -> str:
        """Estimate from the last evaluations, so that the start of the workers does not count for long."""
        if limit is None or len(self._finished) < 3:
            return "…"
        (first, before), (last, after) = self._finished[0], self._finished[-1]
        if after <= before:
            return "…"
        return duration((last - first) / (after - before) * (limit - done))


def duration(seconds: float) -> str:
    """Return a time span for people."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def start_lines(started: RunStarted) -> list[str]:
    """Return what to say when a run starts."""
    lines = []
    if started.resumed:
        lines.append(f"going on with {started.name}: {started.finished_before} evaluations are finished")
    if started.changed:
        lines.append(f"changed since: {', '.join(started.changed)}")
    if started.listening:
        lines.append(f"evaluators may join: XNAS_TOKEN={started.token} xnas evaluator --connect {started.listening}")
    return lines
