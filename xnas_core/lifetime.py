"""Processes that end with the process that started them."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def end_with_parent(parent: int) -> None:
    """Make the kernel kill this process when its parent ends, however that happens (Linux; elsewhere: nothing).

    The signal is sent when the parent's *thread* that started us ends, so start children from the main thread.

    Args:
        parent: process id of the expected parent. If it is gone already, this process ends at once.
    """
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    # The parent may have died before the call above; then nobody would tell us.
    if os.getppid() != parent:
        os._exit(0)
