from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xnas_core.errors import InvalidInputError
from xnas_core.tasks import generator
from xnas_evaluator.explain.samples import choose_samples

LABELS = st.lists(st.integers(0, 6), min_size=1, max_size=60)


@settings(deadline=None)
@given(LABELS, st.integers(1, 5), st.integers(0, 2**53 - 1))
def test_each_class_gives_as_many_as_it_has_up_to_the_number_asked_for(
    labels: list[int], per_class: int, seed: int
) -> None:
    chosen = choose_samples(labels, per_class, seed)
    picked = np.asarray(labels)[chosen]
    assert len(set(chosen.tolist())) == len(chosen)
    assert sorted(picked.tolist()) == picked.tolist()
    for label in set(labels):
        assert (picked == label).sum() == min(per_class, labels.count(label))


@settings(deadline=None)
@given(LABELS, st.integers(1, 4), st.integers(0, 1000))
def test_more_samples_only_add_to_fewer(labels: list[int], per_class: int, seed: int) -> None:
    assert set(choose_samples(labels, per_class, seed)) <= set(choose_samples(labels, per_class + 1, seed))


def test_the_seed_decides() -> None:
    labels = [0, 1] * 50
    assert choose_samples(labels, 3, 1).tolist() == choose_samples(labels, 3, 1).tolist()
    assert choose_samples(labels, 3, 1).tolist() != choose_samples(labels, 3, 2).tolist()


def test_the_generator_is_the_protocols() -> None:
    first = generator(9, "explain").permutation(20)[0]
    assert choose_samples([0] * 20, 1, 9).tolist() == [first]


@pytest.mark.parametrize(("labels", "per_class"), [([], 1), ([0, 1], 0)])
def test_nothing_to_choose_is_refused(labels: list[int], per_class: int) -> None:
    with pytest.raises(InvalidInputError, match="at least 1"):
        choose_samples(labels, per_class, 0)
