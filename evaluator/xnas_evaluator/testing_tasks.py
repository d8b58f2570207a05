"""Tasks that behave, or misbehave, on purpose: the agent's option `--tasks xnas_evaluator.testing_tasks:run`.

The assignment's encoding is a small program: words separated by ";", each with arguments. No torch.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from xnas_core.errors import InvalidInputError, StoreError
from xnas_core.tasks import TaskKind, TaskResult
from xnas_evaluator.context import NonFiniteError, TaskContext, UnfitError


class DeliberateError(Exception):
    """What "raise" raises."""


def run(context: TaskContext) -> TaskResult:
    """Carry out the program in the encoding, then succeed."""
    metrics = {"accuracy": 0.5}
    for statement in context.assignment.encoding.split(";"):
        word, *arguments = statement.split() or ["nothing"]
        if word == "metric":
            metrics[arguments[0]] = float(arguments[1])
        elif word != "nothing":
            _WORDS[word](context, *arguments)
    return context.assignment.result(
        metrics,
        environment={"pid": str(os.getpid()), "threads": os.environ.get("OMP_NUM_THREADS", "")},
    )


def _epochs(context: TaskContext, count: str, seconds: str = "0.02") -> None:
    """Train so many epochs, going on from an earlier attempt's state; note each epoch in state.safetensors."""
    done = 0
    for attempt in context.assignment.previous_attempts:
        data = context.get(TaskKind.EVALUATE, attempt, "state.safetensors")
        done = max(done, int(data) if data else 0)
    for epoch in range(done + 1, int(count) + 1):
        time.sleep(float(seconds))
        context.put("state.safetensors", str(epoch).encode())
        context.progress(epoch, int(count), "training")


def _sleep(context: TaskContext, seconds: str) -> None:
    """Take time, with signs of life."""
    until = time.monotonic() + float(seconds)
    while time.monotonic() < until:
        context.progress(0, 1, f"{until - time.monotonic():.2f}")
        time.sleep(0.01)


def _block(_context: TaskContext, seconds: str = "3600") -> None:
    """Take time without a sign of life."""
    time.sleep(float(seconds))


def _memory(context: TaskContext, megabytes: str) -> None:
    """Fill memory, page by page so that it is resident, and keep it for a while."""
    block = bytearray(int(megabytes) * 1024 * 1024)
    for page in range(0, len(block), 4096):
        block[page] = 1
    _sleep(context, "30")


def _segfault(_context: TaskContext) -> None:
    ctypes.string_at(0)


def _kill(_context: TaskContext) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _exit(_context: TaskContext, code: str) -> None:
    print("about to exit", flush=True)
    sys.stdout.flush()
    os._exit(int(code))


def _raise(_context: TaskContext, what: str = "error") -> None:
    errors: dict[str, Callable[[], Exception]] = {
        "error": lambda: DeliberateError("on purpose"),
        "nan": lambda: NonFiniteError("the loss is NaN in epoch 1"),
        "invalid": lambda: InvalidInputError("the network does not fit the data"),
        "store": lambda: StoreError("the bucket is gone"),
        "unfit": lambda: UnfitError("the data set 'birds' is another one"),
        "memory": lambda: MemoryError("no memory left"),
        "full": lambda: OSError(28, "No space left on device", "/data/out"),
    }
    raise errors[what]()


def _exclusive(context: TaskContext, file: str, seconds: str = "0.1") -> None:
    """Write "enter" and "leave" with our id to the file, holding the exclusive moment in between."""
    with context.exclusive():
        _note(file, f"enter {context.assignment.task_id}")
        time.sleep(float(seconds))
        _note(file, f"leave {context.assignment.task_id}")


def _exclusive_death(context: TaskContext) -> None:
    with context.exclusive():
        _kill(context)


def _compute(context: TaskContext, file: str, seconds: str) -> None:
    """Note every step in the file, with a sign of life between two."""
    until = time.monotonic() + float(seconds)
    while time.monotonic() < until:
        context.progress(0, 1)
        _note(file, f"step {context.assignment.task_id}")
        time.sleep(0.005)


def _large(_context: TaskContext) -> None:
    raise DeliberateError("x" * 100_000)


def _print(_context: TaskContext, *words: str) -> None:
    print(*words, flush=True)


def _wrong(context: TaskContext) -> None:
    """Answer for another attempt."""
    object.__setattr__(context, "assignment", context.assignment.model_copy(update={"attempt": 99}))


def _note(file: str, text: str) -> None:
    with Path(file).open("a") as notes:
        notes.write(text + "\n")


_WORDS: dict[str, Callable[..., None]] = {
    "block": _block,
    "compute": _compute,
    "epochs": _epochs,
    "exclusive": _exclusive,
    "exclusiveDeath": _exclusive_death,
    "exit": _exit,
    "kill": _kill,
    "large": _large,
    "memory": _memory,
    "print": _print,
    "raise": _raise,
    "segfault": _segfault,
    "sleep": _sleep,
    "wrong": _wrong,
}
