"""Pages of candidates: each once, whatever is proposed meanwhile; filters, orders, and sentences for what is wrong."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xnas_core.errors import InvalidInputError, UnknownNameError
from xnas_core.search.view import AttemptRecord, CandidateRecord, CandidateState, SearchView
from xnas_core.search.viewing import view
from xnas_core.service import sizes
from xnas_core.service.candidates import page, page_size
from xnas_core.service.errors import InvalidTokenError
from xnas_core.service.values import ANSWER_BYTES, CandidateQuery, MetricRange
from xnas_core.tasks import TaskKind
from xnas_core.testing.growing_search import GrowingSearch
from xnas_core.testing.sample_search import sample_search

QUERIES = st.sampled_from(
    [
        CandidateQuery(),
        CandidateQuery(descending=True),
        CandidateQuery(order_by="accuracy"),
        CandidateQuery(order_by="accuracy", descending=True),
        CandidateQuery(order_by="macs"),
        CandidateQuery(on_front=False, order_by="loss", descending=True),
        CandidateQuery(states=(CandidateState.SUCCEEDED,), min_generation=1),
        CandidateQuery(metrics=(MetricRange("accuracy", min=0.5),), order_by="macs", descending=True),
    ]
)


@pytest.fixture(scope="module")
def whole() -> SearchView:
    return sample_search(300, population=20).view


def pages(view: SearchView, query: CandidateQuery, size: int) -> Iterator[tuple[CandidateRecord, ...]]:
    token = ""
    while True:
        got = page(view, query, size, token)
        yield got.candidates
        token = got.next_page_token
        if not token:
            return


@cache
def small() -> SearchView:
    return sample_search(90, population=10).view


@settings(deadline=None, max_examples=60)
@given(QUERIES, st.integers(1, 40))
def test_pages_together_are_the_sorted_matches(query: CandidateQuery, size: int) -> None:
    view = small()
    listed = [record for part in pages(view, query, size) for record in part]
    assert all(len(part) <= size for part in pages(view, query, size))
    matching = [r for r in view.candidates if _matches(r, query)]
    assert {r.id for r in listed} == {r.id for r in matching}
    assert len(listed) == len(matching) == page(view, query, size, "").total_size
    values = [r.metrics[query.order_by] for r in listed if query.order_by in r.metrics]
    assert values == sorted(values, reverse=query.descending)
    if not query.order_by:
        assert [r.number for r in listed] == sorted((r.number for r in listed), reverse=query.descending)
    missing = [query.order_by not in r.metrics for r in listed] if query.order_by else []
    assert missing == sorted(missing), "those without a value come last"


def _matches(record: CandidateRecord, query: CandidateQuery) -> bool:
    if query.states and record.state not in query.states:
        return False
    if query.on_front is not None and record.on_front != query.on_front:
        return False
    if query.min_generation is not None and record.generation < query.min_generation:
        return False
    return all(r.min is None or record.metrics.get(r.metric, -1.0) >= r.min for r in query.metrics)


@settings(deadline=None, max_examples=60)
@given(
    st.sampled_from(["", "accuracy", "macs"]), st.booleans(), st.lists(st.integers(0, 7), min_size=1, max_size=6),
    st.integers(1, 7),
)  # fmt: skip
def test_growth_between_pages_shifts_nothing(order_by: str, descending: bool, growth: list[int], size: int) -> None:
    search = GrowingSearch(
        "0",
    )
    search.finish(9)
    query = CandidateQuery(states=(CandidateState.SUCCEEDED,), order_by=order_by, descending=descending)
    finished_before = {r.id for r in view(search.engine, "s").candidates if r.state is CandidateState.SUCCEEDED}
    listed: list[str] = []
    token, steps = "", iter(growth)
    while True:
        got = page(view(search.engine, "s"), query, size, token)
        listed += [record.id for record in got.candidates]
        token = got.next_page_token
        if not token:
            break
        search.finish(next(steps, 0))
    assert len(listed) == len(set(listed)), "nothing is listed twice"
    assert finished_before <= set(listed), "nothing that was there is left out"


def test_filters_meet_all_that_is_set(whole: SearchView) -> None:
    query = CandidateQuery(
        on_front=False,
        min_generation=2,
        max_generation=5,
        metrics=(MetricRange("accuracy", min=0.5, max=0.9), MetricRange("macs", max=1e8)),
    )
    got = page(whole, query, 1000, "").candidates
    assert 0 < len(got) < len(whole.candidates)
    for record in got:
        assert not record.on_front
        assert 2 <= record.generation <= 5
        assert 0.5 <= record.metrics["accuracy"] <= 0.9
        assert record.metrics["macs"] <= 1e8
    others = {r.id for r in whole.candidates} - {r.id for r in got}
    assert all(
        r.on_front or not 2 <= r.generation <= 5 or not 0.5 <= r.metrics.get("accuracy", 0) <= 0.9
        or r.metrics["macs"] > 1e8
        for r in whole.candidates if r.id in others
    )  # fmt: skip


def test_the_front_and_ids_can_be_asked_for(whole: SearchView) -> None:
    got = page(whole, CandidateQuery(on_front=True), 1000, "")
    assert {record.id for record in got.candidates} == set(whole.front)
    wanted = (whole.candidates[3].id, whole.candidates[200].id, "c000000000000")
    got = page(whole, CandidateQuery(ids=wanted), 1000, "")
    assert [record.number for record in got.candidates] == [3, 200]


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        (CandidateQuery(order_by="acuracy"), "unknown metric 'acuracy'; did you mean 'accuracy'"),
        (CandidateQuery(metrics=(MetricRange("nonsense", min=1),)), "unknown metric 'nonsense'"),
        (CandidateQuery(metrics=(MetricRange("accuracy"),)), "neither min nor max"),
        (
            CandidateQuery(metrics=(MetricRange("accuracy", 2.0, 1.0),)),
            r"min \(2\) of 'accuracy' is over its max \(1\)",
        ),
        (CandidateQuery(metrics=(MetricRange("accuracy", float("nan")),)), "is not finite"),
        (CandidateQuery(metrics=(MetricRange("macs", max=float("inf")),)), "is not finite"),
        (CandidateQuery(min_generation=3, max_generation=2), r"min_generation \(3\) is over max_generation \(2\)"),
        (CandidateQuery(metrics=(MetricRange("macs", 1),) * 17), "17 metric ranges; at most 16"),
        (CandidateQuery(ids=("c",) * 1001), "1001 ids; at most 1000"),
    ],
)
def test_what_makes_no_sense_is_refused(whole: SearchView, query: CandidateQuery, sentence: str) -> None:
    with pytest.raises(InvalidInputError, match=sentence):
        page(whole, query, 10, "")


def test_a_built_in_metric_that_nobody_has_yet_is_known(whole: SearchView) -> None:
    empty = sample_search(5, finished=False).view
    assert page(empty, CandidateQuery(order_by="loss"), 10, "").total_size == 5
    with pytest.raises(UnknownNameError):
        page(empty, CandidateQuery(order_by="calibration"), 10, "")


def test_a_token_belongs_to_its_query_and_search(whole: SearchView) -> None:
    token = page(whole, CandidateQuery(), 10, "").next_page_token
    for view_, query in (
        (whole, CandidateQuery(descending=True)),
        (whole, CandidateQuery(on_front=True)),
        (replace(whole, search_id="another"), CandidateQuery()),
    ):
        with pytest.raises(InvalidTokenError, match="belongs to another search, filter or order"):
            page(view_, query, 10, token)


@pytest.mark.parametrize("token", ["x", "§", "W10", "WyJwYWdlIl0", "WyJ3YXRjaCIsIjEiLDAsMC4wLDNd", "A" * 5000])
def test_a_made_up_token_is_refused(whole: SearchView, token: str) -> None:
    with pytest.raises(InvalidTokenError, match="is not a page token"):
        page(whole, CandidateQuery(), 10, token)


@settings(deadline=None)
@given(st.text(max_size=60))
def test_no_token_breaks_the_service(token: str) -> None:
    if token:
        with pytest.raises(InvalidTokenError):
            page(small(), CandidateQuery(), 10, token)


def test_page_sizes_have_a_bound() -> None:
    assert page_size(0, 100, 1000) == 100
    assert page_size(1000, 100, 1000) == 1000
    with pytest.raises(InvalidInputError, match="page_size is 1001; one page holds at most 1000"):
        page_size(1001, 100, 1000)


def test_large_candidates_make_short_pages_and_very_large_ones_are_cut(whole: SearchView) -> None:
    attempt = AttemptRecord(TaskKind.EVALUATE, 1, "e", 1.0, 2.0, "Exception", "x" * 4000)
    large = tuple(replace(record, history=(attempt,) * 10) for record in whole.candidates)
    view_ = replace(whole, candidates=large)
    parts = list(pages(view_, CandidateQuery(), 1000))
    assert len(parts) > 2
    assert sum(len(part) for part in parts) == len(large)
    for part in parts:
        assert sum(map(sizes.approximate_bytes, part)) <= ANSWER_BYTES
    huge = replace(whole.candidates[0], history=(attempt,) * 120)
    assert sizes.approximate_bytes(sizes.shortened(huge)) < 200_000
    assert len(sizes.shortened(huge).history) == 120
