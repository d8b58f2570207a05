"""The stream of a watch: moments of the backend in, events out, at the reader's pace.

A moment is asked for only when the one before was told, so a slow reader costs no memory: what happened meanwhile is in
the next one.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable

from xnas.v1alpha1 import search_pb2 as pb
from xnas_core.service import wire
from xnas_core.service.errors import NotFoundError
from xnas_core.service.interface import SearchBackend
from xnas_core.service.values import Deleted, Progressed, SearchMoment
from xnas_core.service.watching import Position, events, position
from xnas_core.service.wire_searches import event

Recheck = Callable[[], Awaitable[object]]
"""Looks again whether the caller may do what it does; raises otherwise."""


async def watch(
    backend: SearchBackend,
    request: pb.WatchSearchRequest,
    recheck: Recheck,
    *,
    sign_of_life_seconds: float,
    pause_seconds: float,
) -> AsyncGenerator[pb.WatchSearchResponse, None]:
    """Yield the events of a watch until the search is deleted.

    Raises:
        InvalidTokenError: the resume token is not one, or is ahead of the search.
        NotFoundError: there is no such search.
        UnauthenticatedError, ForbiddenError: the caller's rights have ended.
    """
    told = Position.read(request.resume_token) if request.resume_token else None
    news = _News(backend.watch(request.namespace, request.name))
    loop = asyncio.get_running_loop()
    checked, last = loop.time(), None
    try:
        while True:
            if loop.time() - checked >= sign_of_life_seconds:
                await recheck()
                checked = loop.time()
            try:
                moment = await news.next(sign_of_life_seconds)
            except TimeoutError:
                if last is not None:
                    yield _sign_of_life(last)
                continue
            except NotFoundError:
                if told is None:
                    raise
                moment = None
            if moment is None:
                yield event(Deleted(told.token() if told else ""), ())
                return
            said = False
            async with contextlib.aclosing(_told(told, moment, from_beginning=request.from_beginning)) as responses:
                async for response in responses:
                    yield response
                    said = True
                    if response.HasField("deleted"):
                        return
            if last is None and not said:
                yield _sign_of_life(moment)
            told, last = position(moment), moment
            await asyncio.sleep(pause_seconds)
    finally:
        await news.close()


async def _told(
    told: Position | None, moment: SearchMoment, *, from_beginning: bool
) -> AsyncGenerator[pb.WatchSearchResponse, None]:
    """Yield what is new; the last response says whether the search has ended."""
    names = () if moment.accepted is None else wire.objective_names(moment.accepted.spec)
    held: pb.WatchSearchResponse | None = None
    async for said in events(told, moment, from_beginning=from_beginning):
        if held is not None:
            yield held
        held = event(said, names)
    if held is not None:
        held.search_finished = moment.standing.finished
        yield held


def _sign_of_life(moment: SearchMoment) -> pb.WatchSearchResponse:
    response = event(Progressed(moment.progress, position(moment).token()), ())
    response.search_finished = moment.standing.finished
    return response


class _News:
    """Moments of a backend, with a limit to waiting that does not end the backend's iterator."""

    def __init__(self, moments: AsyncIterator[SearchMoment]) -> None:
        self._moments = moments
        self._pending: asyncio.Task[SearchMoment | None] | None = None

    async def next(self, seconds: float) -> SearchMoment | None:
        """Return the next moment, or None if the search was deleted; raise TimeoutError after so many seconds."""
        if self._pending is None:
            self._pending = asyncio.ensure_future(self._take())
        done, _ = await asyncio.wait({self._pending}, timeout=seconds)
        if not done:
            raise TimeoutError
        pending, self._pending = self._pending, None
        return pending.result()

    async def _take(self) -> SearchMoment | None:
        return await anext(self._moments, None)

    async def close(self) -> None:
        """End the backend's iterator."""
        if self._pending is not None:
            self._pending.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await self._pending
        close = getattr(self._moments, "aclose", None)
        if close is not None:
            await close()
