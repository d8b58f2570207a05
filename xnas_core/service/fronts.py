"""The front a page at a time, and the history of its hypervolume: pure functions over a view."""

from __future__ import annotations

from collections.abc import Sequence

from xnas_core.search.view import HypervolumePoint, SearchView
from xnas_core.service import tokens
from xnas_core.service.errors import ChangedMeanwhileError
from xnas_core.service.sizes import fitting
from xnas_core.service.values import FrontPage

MAX_HISTORY = 30_000
"""Points of the history in one answer, about 600 KB: what `ANSWER_BYTES` leaves room for."""


def front_page(view: SearchView, size: int, token: str, *, history: bool) -> FrontPage:
    """Return a page of the front, best first objective first.

    Args:
        view: the search.
        size: at most so many members; fewer where they would be over the bound of a message.
        token: "" for the first page.
        history: also give the history, on the first page.

    Raises:
        InvalidTokenError: not a token of a front.
        ChangedMeanwhileError: the front is another than the one that the token belongs to.
    """
    now = tokens.digest(view.search_id, view.front)
    start = 0
    if token:
        given, start = tokens.decode("front", token, (str, int))
        if given != now:
            raise ChangedMeanwhileError("the front has changed since its first page was read; start again")
    by_id = {record.id: record for record in view.candidates if record.on_front}
    points = condensed(view.history) if history and not token else ()
    members = tuple(fitting(by_id[identity] for identity in view.front[max(start, 0) :][:size]))
    end = max(start, 0) + len(members)
    return FrontPage(
        members=members,
        next_page_token=tokens.encode("front", now, end) if end < len(view.front) else "",
        size=len(view.front),
        hypervolume=view.hypervolume,
        reference_point=view.reference_point,
        evaluations=len(view.history),
        history=points,
    )


def condensed(history: Sequence[HypervolumePoint]) -> tuple[HypervolumePoint, ...]:
    """Return the points that differ from the one before, and the last; thinned to `MAX_HISTORY`."""
    kept = [
        point
        for i, point in enumerate(history)
        if i in (0, len(history) - 1)
        or (point.hypervolume, point.front_size) != (history[i - 1].hypervolume, history[i - 1].front_size)
    ]
    step = -(-len(kept) // MAX_HISTORY)
    return tuple(kept) if step <= 1 else (*kept[:-1:step], kept[-1])


def expanded(points: Sequence[HypervolumePoint]) -> tuple[HypervolumePoint, ...]:
    """Inverse of `condensed`: a point for each evaluation. Exact unless points were thinned."""
    whole: list[HypervolumePoint] = []
    for point in points:
        for evaluations in range(len(whole) + 1, point.evaluations):
            before = whole[-1]
            whole.append(HypervolumePoint(evaluations, before.hypervolume, before.front_size))
        whole.append(point)
    return tuple(whole)
