"""What a watch tells: the difference between what was told before and a moment of the search. Pure.

The resume token is what was told: the search's uid, the number of finished candidates (their order is journalled, so
this is a position in the journal, also after a restart), and digests of state, front and numbers, which are told by
level: whoever was away learns of the newest only.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import astuple, dataclass, replace

from xnas_core.service import tokens
from xnas_core.service import values as v
from xnas_core.service.errors import InvalidTokenError
from xnas_core.service.sizes import fitting

BATCH = 100
"""Finished candidates in one event, at most."""


@dataclass(frozen=True, slots=True)
class Position:
    """What a watcher was told."""

    uid: str
    finished: int
    standing: str
    front: str
    progress: str

    def token(self) -> str:
        """Return it as a resume token."""
        return tokens.encode("watch", *astuple(self))

    @staticmethod
    def read(token: str) -> Position:
        """Inverse of `token`; raises InvalidTokenError."""
        return Position(*tokens.decode("watch", token, (str, int, str, str, str)))


async def events(
    before: Position | None, moment: v.SearchMoment, *, from_beginning: bool = False
) -> AsyncGenerator[v.WatchEvent, None]:
    """Yield what is new, in this order: finished candidates, front, numbers, state. Each event carries its token.

    Args:
        before: what was told; None: nothing.
        moment: the search now.
        from_beginning: of a first call: tell also the candidates that have finished before.

    Raises:
        InvalidTokenError: `before` is ahead of the search.
        UnavailableError, StoreError: see SearchMoment.arrivals.
    """
    now = position(moment)
    if before is None:
        told = replace(now, finished=0 if from_beginning else moment.finished)
        yield v.Stands(moment.uid, moment.standing, moment.progress, moment.front, told.token())
    elif before.uid != moment.uid:
        # Another search of the same name: the one that was watched is gone.
        yield v.Deleted(before.token())
        return
    else:
        told = before
    if told.finished > moment.finished:
        raise InvalidTokenError("the resume token is ahead of the search; leave it out to start from now")
    while told.finished < moment.finished:
        stop = min(told.finished + BATCH, moment.finished)
        candidates = tuple(fitting(await moment.arrivals(told.finished, stop)))
        told = replace(told, finished=told.finished + len(candidates))
        yield v.Finished(candidates, told.token())
    if told.front != now.front:
        told = replace(told, front=now.front)
        yield v.NewFront(moment.front, told.token())
    if told.progress != now.progress:
        told = replace(told, progress=now.progress)
        yield v.Progressed(moment.progress, told.token())
    if told.standing != now.standing:
        told = replace(told, standing=now.standing)
        yield v.NewState(moment.standing, told.token())


def position(moment: v.SearchMoment) -> Position:
    """Return the position of someone who knows all of a moment."""
    progress = moment.progress
    return Position(
        moment.uid,
        moment.finished,
        tokens.digest(moment.standing.state, moment.standing.reason, moment.standing.message),
        tokens.digest(moment.front.members),
        tokens.digest(None if progress is None else astuple(progress)),
    )
