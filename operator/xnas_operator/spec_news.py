"""News of one resource's spec: set by the watch, waited for by its search, alone or beside something else."""

from __future__ import annotations

import asyncio
from typing import Any

from xnas_core.search.inbox import RequestInbox


class SpecNews(asyncio.Event):
    """Set where the spec changed, until somebody has looked at it."""

    async def next(self) -> None:
        """Return when the spec changed."""
        await self.wait()
        self.clear()

    async def or_end_of(self, other: asyncio.Task[Any]) -> None:
        """Return when the spec changed, or the other one has ended; that one is left alone."""
        news = asyncio.create_task(self.wait())
        try:
            await asyncio.wait({news, other}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            news.cancel()
            await asyncio.gather(news, return_exceptions=True)

    async def or_request(self, inbox: RequestInbox) -> None:
        """Return when the spec changed, or a task was asked for."""
        asked = asyncio.create_task(inbox.wait())
        try:
            await self.or_end_of(asked)
        finally:
            asked.cancel()
            await asyncio.gather(asked, return_exceptions=True)
        # Whoever called looks at the spec in any case.
        self.clear()
