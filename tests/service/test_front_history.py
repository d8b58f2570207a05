"""The history of a hypervolume is sent by its steps, and made whole again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xnas_core.search.view import HypervolumePoint
from xnas_core.service import fronts
from xnas_core.service.fronts import condensed, expanded


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)), max_size=60))
def test_condensed_history_is_expanded_exactly(values: list[tuple[int, int]]) -> None:
    history = tuple(HypervolumePoint(i, float(volume), size) for i, (volume, size) in enumerate(values, start=1))
    assert expanded(condensed(history)) == history


def test_many_steps_are_thinned_and_keep_both_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fronts, "MAX_HISTORY", 10)
    history = tuple(HypervolumePoint(i, float(i), i) for i in range(1, 96))
    sent = condensed(history)
    assert len(sent) <= 11
    assert (sent[0], sent[-1]) == (history[0], history[-1])
    assert set(sent) <= set(history)
