"""Front members that owe their place to futile activations."""

from __future__ import annotations

from dataclasses import replace

from xnas_core.analysis.futile import owing
from xnas_core.search.view import SearchState, SearchView
from xnas_core.testing.sample_search import sample_search

VIEW = sample_search(63, state=SearchState.SUSPENDED).view


def with_share(view: SearchView, identity: str, share: float) -> SearchView:
    changed = tuple(
        replace(c, metrics={**c.metrics, "futile_share": share if c.id == identity else 0.0}) for c in view.candidates
    )
    return replace(view, candidates=changed)


def test_a_member_whose_live_value_is_beaten_is_named_with_who_beats_it() -> None:
    # Neither end of the front: something lies above and below it.
    member = VIEW.front[1]
    found = owing(with_share(VIEW, member, 0.9))
    assert set(found) == {member}
    assert found[member].share == 0.9
    assert found[member].objective == 1
    by_id = {c.id: c for c in VIEW.candidates}
    own, other = by_id[member].objectives, by_id[found[member].by].objectives
    assert None not in (*own, *other)
    assert other[0] >= own[0]  # type: ignore[operator]  # neither is None, as said above
    assert other[1] >= own[1] * 0.1  # type: ignore[operator]


def test_the_best_of_another_objective_stays_whatever_its_share() -> None:
    assert owing(with_share(VIEW, VIEW.front[0], 1.0)) == {}


def test_a_small_share_that_changes_no_place_is_not_named() -> None:
    assert owing(with_share(VIEW, VIEW.front[1], 1e-9)) == {}
    assert owing(VIEW) == {}
