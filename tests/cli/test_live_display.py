"""What a running search looks like, on wide and narrow terminals, and without one."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace

import pytest
import structlog
from rich.console import Console

from xnas_core.cli.lines import QUIET_SECONDS, Lines
from xnas_core.cli.live import LiveDisplay
from xnas_core.cli.logs import turning_points
from xnas_core.local.contract import RunningAttempt, RunProgress, RunStarted
from xnas_core.tasks import TaskKind

STARTED = RunStarted("digits", "id", False, 0, 48, (), "unix:/x", None, None)
PROGRESS = RunProgress(14, 2, 12, 1, 48, 1, 5, 0.38031, 0, 0, ())


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def drawn(clock: Clock) -> Callable[[LiveDisplay, int], list[str]]:
    def draw(display: LiveDisplay, columns: int) -> list[str]:
        console = Console(file=io.StringIO(), width=columns, highlight=False)
        display._console = console
        with console.capture() as caught:
            console.print(display.render())
        return caught.get().splitlines()

    return draw


Drawn = Callable[[LiveDisplay, int], list[str]]


def _attempts(*kinds: TaskKind) -> tuple[RunningAttempt, ...]:
    return tuple(
        RunningAttempt(f"c{n:012d}", kind, 3, 8, "", {"train_loss": 0.25}) for n, kind in enumerate(kinds, start=1)
    )


def _display(clock: Clock) -> LiveDisplay:
    return LiveDisplay(Console(file=io.StringIO(), width=100), clock)


def test_it_says_what_it_waits_for_at_first(clock: Clock, drawn: Drawn) -> None:
    display = _display(clock)
    clock.now = 3.2
    assert drawn(display, 80) == ["preparing · 3 s"]
    display.on_started(STARTED)
    assert drawn(display, 80) == ["digits · starting the evaluator · 3 s"]


def test_bar_figures_time_and_running_candidates(clock: Clock, drawn: Drawn) -> None:
    display = _display(clock)
    display.on_started(STARTED)
    display.on_progress(replace(PROGRESS, succeeded=0, failed=0, attempts=_attempts(TaskKind.EVALUATE)))
    clock.now = 130.0
    display.on_progress(replace(PROGRESS, attempts=_attempts(TaskKind.EVALUATE, TaskKind.EVALUATE)))
    lines = drawn(display, 100)
    assert lines[0] == "digits · generation 1 · 2 min 10 s"
    assert "13/48 evaluations" in lines[1]
    assert lines[1].rstrip().endswith("left")
    assert lines[2] == "front 5 · hypervolume 0.3803 · 1 failed"
    assert lines[3] == "  c000000000001 epoch 4/8 loss 0.2500"
    assert len(lines) == 5


@pytest.mark.parametrize("columns", [20, 40, 60, 100, 300])
def test_no_line_is_wider_than_the_terminal(columns: int, clock: Clock, drawn: Drawn) -> None:
    display = _display(clock)
    display.on_started(STARTED)
    clock.now = 1000.0
    display.on_progress(replace(PROGRESS, attempts=_attempts(*[TaskKind.EVALUATE] * 9)))
    lines = drawn(display, columns)
    assert all(len(line) <= columns for line in lines)
    assert any("and 3 more" in line for line in lines)
    assert any("━" in line for line in lines)


def test_the_front_is_explained_at_the_end(clock: Clock, drawn: Drawn) -> None:
    display = _display(clock)
    display.on_started(STARTED)
    done = replace(PROGRESS, succeeded=48, failed=0, running=0)
    display.on_progress(replace(done, finalising=4, finalised=0, attempts=_attempts(TaskKind.FINALISE)))
    clock.now = 10.0
    display.on_progress(replace(done, finalising=4, finalised=1, attempts=_attempts(TaskKind.FINALISE)))
    lines = drawn(display, 100)
    assert "1/4 explained · 30 s left" in lines[1]
    assert "epoch" not in "".join(lines)
    display.on_progress(replace(done, finalising=4, finalised=4))
    assert "4/4 explained · writing the report" in drawn(display, 100)[1]


def test_a_search_without_a_limit_has_no_end_to_estimate(clock: Clock, drawn: Drawn) -> None:
    display = _display(clock)
    display.on_started(replace(STARTED, max_evaluations=None))
    clock.now = 5.0
    display.on_progress(replace(PROGRESS, max_evaluations=None))
    text = "\n".join(drawn(display, 100))
    assert "13 evaluations" in text
    assert "left" not in text


def test_a_resumed_search_estimates_from_its_own_pace(clock: Clock, drawn: Drawn) -> None:
    display = _display(clock)
    display.on_started(replace(STARTED, resumed=True, finished_before=40))
    display.on_progress(replace(PROGRESS, succeeded=40, failed=0))
    assert "left" not in "\n".join(drawn(display, 100))
    clock.now = 10.0
    display.on_progress(replace(PROGRESS, succeeded=42, failed=0))
    assert "30 s left" in "\n".join(drawn(display, 100))


def test_without_a_terminal_only_turning_points_are_logged(clock: Clock) -> None:
    with structlog.testing.capture_logs() as logged:
        lines = Lines(turning_points(), clock)
        lines.on_started(replace(STARTED, resumed=True, finished_before=7))
        for second in range(100):
            clock.now = float(second)
            lines.on_progress(replace(PROGRESS, generation=second // 30, succeeded=second))
        lines.on_progress(replace(PROGRESS, finalising=5))
        lines.on_progress(replace(PROGRESS, finalising=5))
        lines.on_message("warning", "the disk is nearly full")
    assert [entry["event"] for entry in logged] == [
        "search started", *["generation"] * 4, "explaining the front", "the disk is nearly full",
    ]  # fmt: skip
    assert logged[0]["resumed_at"] == 7
    assert logged[-1]["log_level"] == "warning"


def test_quick_generations_are_not_all_logged(clock: Clock) -> None:
    with structlog.testing.capture_logs() as logged:
        lines = Lines(turning_points(), clock)
        for generation in range(100):
            clock.now = generation * 0.2
            lines.on_progress(replace(PROGRESS, generation=generation))
    assert len(logged) == 2
    assert QUIET_SECONDS == 10.0
