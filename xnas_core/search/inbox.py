"""Requests on their way into the journal: put in by whoever hears them, taken out by the turn of the loop."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from xnas_core.errors import XnasError
from xnas_core.search.requests import TaskRequest


@dataclass(frozen=True, slots=True)
class Asked:
    """A request, and who waits for the answer."""

    request: TaskRequest
    _answer: asyncio.Future[None]

    def done(self) -> None:
        """Say that it is durable."""
        if not self._answer.done():
            self._answer.set_result(None)

    def refuse(self, error: XnasError) -> None:
        """Say why it is not."""
        if not self._answer.done():
            self._answer.set_exception(error)


class RequestInbox:
    """Used in one event loop. It outlives the loops of its search that take from it."""

    def __init__(self) -> None:
        self._asked: list[Asked] = []
        self._news = asyncio.Event()

    def __len__(self) -> int:
        return len(self._asked)

    async def ask(self, request: TaskRequest) -> None:
        """Return when the request is durable, or was found to be open already.

        Raises:
            XnasError: it was refused, or could not be written.
        """
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._asked.append(Asked(request, answer))
        self._news.set()
        await answer

    async def wait(self) -> None:
        """Return when there is a request."""
        await self._news.wait()

    def take(self) -> list[Asked]:
        """Return and remove all requests."""
        asked, self._asked = self._asked, []
        self._news.clear()
        return asked

    def refuse_all(self, error: XnasError) -> None:
        """Answer everyone who waits: nobody will write it down."""
        for asked in self.take():
            asked.refuse(error)
