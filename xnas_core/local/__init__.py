"""One machine: the output folder, its lock, and `xnas run` without the terminal."""

from xnas_core.local.contract import RunObserver, RunOptions, RunOutcome, RunProgress, RunStarted
from xnas_core.local.opening import open_search

__all__ = ["RunObserver", "RunOptions", "RunOutcome", "RunProgress", "RunStarted", "open_search"]
