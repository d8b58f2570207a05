"""Waiting in tests for what another process or task will do."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


async def until(happened: Callable[[], object], within: float = 20.0) -> None:
    """Return once `happened()` is true; raise TimeoutError after `within` seconds.

    Generous, since only a failing test waits so long.
    """
    async with asyncio.timeout(within):
        while not happened():  # noqa: ASYNC110  (what is waited for sets no event: files, processes, counters)
            await asyncio.sleep(0.005)
