"""Which candidates, in which order, a page at a time: pure functions over a view.

A page token is the place of the last candidate listed, not a count: a candidate that is proposed meanwhile shifts
nothing, and one that keeps its value is neither listed twice nor left out.
"""

from __future__ import annotations

import difflib
import heapq
import math
from collections.abc import Callable
from dataclasses import astuple

from xnas_core.errors import InvalidInputError, UnknownNameError
from xnas_core.objectives import METRICS, spec_metrics
from xnas_core.search.view import CandidateRecord, SearchView
from xnas_core.service import tokens
from xnas_core.service.errors import InvalidTokenError, NotFoundError
from xnas_core.service.sizes import fitting
from xnas_core.service.values import CandidatePage, CandidateQuery, MetricRange

MAX_RANGES = 16
MAX_IDS = 1000
_KNOWN_SHOWN = 12

Place = tuple[int, float, int]
"""Where a candidate stands in an order: 1 without a value, value (negative in descending orders), number (alike)."""


def page_size(asked: int, default: int, largest: int) -> int:
    """Return the size of a page, the default for 0; raise InvalidInputError beyond the bound."""
    if asked > largest:
        raise InvalidInputError(f"page_size is {asked}; one page holds at most {largest}")
    return asked or default


def page(view: SearchView, query: CandidateQuery, size: int, token: str) -> CandidatePage:
    """Return a page of the candidates that meet a query.

    Args:
        view: the search.
        query: which ones, and in which order.
        size: at most so many; fewer where they would be over the bound of a message.
        token: "" for the first page.

    Raises:
        InvalidInputError: the query is not valid, or the token is another query's or search's.
    """
    check(view, query)
    asked = tokens.digest(view.search_id, astuple(query))
    place = _order(query)
    wanted = [record for record in view.candidates if _meets(record, query)]
    rest = wanted
    if token:
        after = _read_token(token, asked)
        rest = [record for record in wanted if place(record) > after]
    chosen = tuple(fitting(heapq.nsmallest(size, rest, key=place)))
    more = len(chosen) < len(rest)
    return CandidatePage(chosen, tokens.encode("page", asked, *place(chosen[-1])) if more else "", len(wanted))


def _read_token(token: str, asked: str) -> Place:
    given, missing, value, number = tokens.decode("page", token, (str, int, (int, float), int))
    if given != asked:
        raise InvalidTokenError(
            "the page token belongs to another search, filter or order; leave it out to start from the beginning"
        )
    return missing, value, number


def check(view: SearchView, query: CandidateQuery) -> None:
    """Raise InvalidInputError, with a sentence, for a query that makes no sense on this search."""
    if len(query.metrics) > MAX_RANGES:
        raise InvalidInputError(f"the filter has {len(query.metrics)} metric ranges; at most {MAX_RANGES} are taken")
    if query.ids is not None and len(query.ids) > MAX_IDS:
        raise InvalidInputError(f"the filter has {len(query.ids)} ids; at most {MAX_IDS} are taken")
    low, high = query.min_generation, query.max_generation
    if low is not None and high is not None and low > high:
        raise InvalidInputError(f"min_generation ({low}) is over max_generation ({high}), so nothing can be listed")
    for bounds in query.metrics:
        _check_range(bounds)
        _check_metric(view, bounds.metric)
    if query.order_by:
        _check_metric(view, query.order_by)


def _check_range(bounds: MetricRange) -> None:
    given = [value for value in (bounds.min, bounds.max) if value is not None]
    if not given:
        raise InvalidInputError(f"the range of {bounds.metric!r} has neither min nor max; set at least one")
    if not all(map(math.isfinite, given)):
        raise InvalidInputError(f"the range of {bounds.metric!r} is not finite; leave a bound out instead")
    if len(given) == 2 and given[0] > given[1]:
        raise InvalidInputError(f"min ({given[0]:g}) of {bounds.metric!r} is over its max ({given[1]:g})")


def _check_metric(view: SearchView, name: str) -> None:
    named = {n for item in spec_metrics(view.spec).items() for n in item} | set(METRICS)
    if name in named or any(name in record.metrics for record in view.candidates):
        return
    known = sorted(named | {metric for record in view.candidates for metric in record.metrics})
    close = difflib.get_close_matches(name, known, 1, 0.7)
    raise UnknownNameError("metric", name[:80], known[:_KNOWN_SHOWN], next(iter(close), None))


def _meets(record: CandidateRecord, query: CandidateQuery) -> bool:
    return (
        (not query.states or record.state in query.states)
        and (query.on_front is None or record.on_front is query.on_front)
        and (query.min_generation is None or record.generation >= query.min_generation)
        and (query.max_generation is None or record.generation <= query.max_generation)
        and (query.ids is None or record.id in query.ids)
        and all(_inside(record.metrics.get(bounds.metric), bounds) for bounds in query.metrics)
    )


def _inside(value: float | None, bounds: MetricRange) -> bool:
    if value is None or math.isnan(value):
        return False
    return (bounds.min is None or value >= bounds.min) and (bounds.max is None or value <= bounds.max)


def _order(query: CandidateQuery) -> Callable[[CandidateRecord], Place]:
    turned = -1 if query.descending else 1

    def by_number(record: CandidateRecord) -> Place:
        return 0, 0.0, turned * record.number

    def by_metric(record: CandidateRecord) -> Place:
        value = record.metrics.get(query.order_by)
        if value is None or not math.isfinite(value):
            return 1, 0.0, record.number
        return 0, turned * value, record.number

    return by_metric if query.order_by else by_number


def find(view: SearchView, candidate_id: str) -> CandidateRecord:
    """Return a candidate; raise NotFoundError."""
    for record in view.candidates:
        if record.id == candidate_id:
            return record
    raise NotFoundError(f"this search has no candidate {candidate_id[:80]!r}; list the candidates to see their ids")
