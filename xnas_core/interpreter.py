"""How Python's interpreter behaves in a process that runs a search: its garbage collector and its threads."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_YOUNG_OBJECTS = 10_000
_YOUNG_ROUNDS = 500
_MIDDLE_ROUNDS = 100
_SWITCH_SECONDS = 0.0005


def tune() -> None:
    """Let the collector look for cycles more rarely, never again at what exists now, and let threads wait less.

    Engine and dispatch make no cycles of any size: reference counts free what they drop. But they hold many objects,
    and with Python's thresholds (700, 10, 10) up to half of a busy server's time went into looking through them, in
    pauses of tens of milliseconds. Young objects are looked at 10,000 at a time, since all wait for it: 100,000 took
    40 ms.

    A segment is written in a thread, by some ten system calls. After each of them the thread needs the interpreter
    again, and a busy event loop gives it away only when asked after `sys.getswitchinterval`: with Python's 5 ms, a
    write that the disk took in 0.6 ms took 15 ms.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS, _YOUNG_ROUNDS, _MIDDLE_ROUNDS)
    sys.setswitchinterval(_SWITCH_SECONDS)


@contextmanager
def tuned() -> Iterator[None]:
    """Tune the interpreter for a while, and leave it as it was: for a process that does other things afterwards."""
    before = gc.get_threshold(), sys.getswitchinterval()
    tune()
    try:
        yield
    finally:
        gc.set_threshold(*before[0])
        sys.setswitchinterval(before[1])
        gc.unfreeze()
