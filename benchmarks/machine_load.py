"""What else the machine does while something is measured: timings on a busy machine say little."""

from __future__ import annotations

import os
import time
from pathlib import Path


class Others:
    """Processor time that other processes use, from now on. Linux only; elsewhere it is not known."""

    def __init__(self) -> None:
        self._started, self._busy = time.monotonic(), _busy_seconds()

    def cores(self, own_seconds: float) -> float | None:
        """Return how many cores others kept busy on average; `own_seconds`: processor time of what was measured."""
        now = _busy_seconds()
        if now is None or self._busy is None:
            return None
        return max(0.0, (now - self._busy - own_seconds) / (time.monotonic() - self._started))


def _busy_seconds() -> float | None:
    """Return the processor time that all processes and the kernel have used since the machine started."""
    try:
        first = Path("/proc/stat").read_text().split("\n", 1)[0]
    except OSError:
        return None
    user, nice, system, _idle, _waiting, *interrupts = map(int, first.split()[1:9])
    # The last of these is time that the host gave to other machines.
    return (user + nice + system + sum(interrupts)) / os.sysconf("SC_CLK_TCK")
