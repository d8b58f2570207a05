"""Stratified, seeded splits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xnas_core.errors import InvalidInputError
from xnas_evaluator.datasets.split import HELD_OUT_TEST_SHARE, Split, split

counts = st.lists(st.integers(4, 60), min_size=2, max_size=6)
fractions = st.floats(0.05, 0.5)


def _labels(sizes: list[int]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.random.default_rng(0).permutation(np.repeat(np.arange(len(sizes)), sizes))


@given(sizes=counts, validation=fractions, training=st.floats(0.1, 1), seed=st.integers(0, 1000), test=st.booleans())
def test_parts_are_disjoint_and_every_class_has_its_share(
    sizes: list[int], validation: float, training: float, seed: int, test: bool
) -> None:
    labels = _labels(sizes)
    parts = split(labels, seed=seed, validation_fraction=validation, training_fraction=training, hold_out_test=test)
    every = np.concatenate((parts.train, parts.validation, parts.test))
    assert len(np.unique(every)) == len(every)
    assert bool(parts.test.size) == test
    for label, size in enumerate(sizes):
        held = int((labels[parts.test] == label).sum())
        scored = int((labels[parts.validation] == label).sum())
        used = int((labels[parts.train] == label).sum())
        if test:
            assert abs(held - size * HELD_OUT_TEST_SHARE) <= 1
        assert abs(scored - (size - held) * validation) <= 1
        assert abs(used - (size - held - scored) * training) <= 1
        assert min(scored, used) >= 1
    if training == 1:
        assert len(every) == len(labels)


def _same(one: Split, other: Split) -> bool:
    return all(np.array_equal(getattr(one, p), getattr(other, p)) for p in ("train", "validation", "test"))


def test_a_split_follows_from_the_seed() -> None:
    labels = _labels([30, 30])
    parts = [
        split(labels, seed=seed, validation_fraction=0.2, training_fraction=1.0, hold_out_test=True)
        for seed in (1, 1, 2)
    ]
    assert _same(parts[0], parts[1])
    assert not _same(parts[0], parts[2])


def test_a_smaller_training_fraction_leaves_the_validation_split_as_it_is() -> None:
    labels = _labels([30, 30])
    whole, half = (
        split(labels, seed=1, validation_fraction=0.2, training_fraction=fraction, hold_out_test=False)
        for fraction in (1.0, 0.5)
    )
    assert np.array_equal(whole.validation, half.validation)
    assert set(half.train) < set(whole.train)


def test_too_few_images_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="too few for a validation split"):
        split(np.array([0, 1]), seed=1, validation_fraction=0.5, training_fraction=1.0, hold_out_test=False)
