"""The garbage collector of a process that runs a search."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

_YOUNG_OBJECTS = 100_000
_YOUNG_ROUNDS = 50
_MIDDLE_ROUNDS = 100


def relax() -> None:
    """Let the collector look for cycles more rarely, and never again at what exists now.

    Engine and dispatch make no cycles of any size: reference counts free what they drop. But they hold many objects,
    and with Python's thresholds (700, 10, 10) up to half of a busy server's time went into looking through them, in
    pauses of tens of milliseconds.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS, _YOUNG_ROUNDS, _MIDDLE_ROUNDS)


@contextmanager
def relaxed() -> Iterator[None]:
    """Relax the collector for a while, and leave it as it was: for a process that does other things afterwards."""
    before = gc.get_threshold()
    relax()
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
