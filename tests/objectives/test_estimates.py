"""Standard errors: the formulas in loops, and against what repeated draws show."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from xnas_core.tasks import generator
from xnas_evaluator.objectives.estimates import (
    UNDEFINED,
    Estimate,
    bootstrap_over_samples,
    jackknife_over_classes,
    mean_of,
    ratio_of,
    without_each_class,
)
from xnas_evaluator.objectives.introspectability import mean_distance


def test_a_mean_leaves_out_what_is_undefined() -> None:
    found = mean_of(torch.tensor([1.0, math.nan, 3.0]))
    assert found.value == 2.0
    assert found.error == pytest.approx(1.0)
    assert mean_of(torch.tensor([5.0])) == Estimate(5.0)
    assert mean_of(torch.tensor([math.nan])) is UNDEFINED


def test_a_ratio_of_sums_and_its_error() -> None:
    random = np.random.default_rng(1)
    ratios, errors = [], []
    for _ in range(500):
        b = random.uniform(1, 3, 50)
        found = ratio_of(torch.from_numpy(0.5 * b + random.normal(0, 0.2, 50)), torch.from_numpy(b))
        ratios.append(found.value or 0)
        errors.append(found.error or 0)
    assert float(np.mean(ratios)) == pytest.approx(0.5, abs=0.01)
    assert float(np.mean(errors)) == pytest.approx(float(np.std(ratios)), rel=0.12)
    assert ratio_of(torch.ones(3), torch.zeros(3)) is UNDEFINED
    assert ratio_of(torch.tensor([1.0]), torch.tensor([4.0])) == Estimate(0.25)


@settings(max_examples=40, deadline=None)
@given(classes=st.integers(2, 7), seed=st.integers(0, 999), missing=st.floats(0, 0.6), weighted=st.booleans())
def test_without_each_class_is_the_mean_over_the_pairs_of_the_others(
    classes: int, seed: int, missing: float, weighted: bool
) -> None:
    random = np.random.default_rng(seed)
    distances = random.random((classes, classes))
    distances[random.random((classes, classes)) < missing] = np.nan
    upper = np.triu(distances, 1)
    matrix = torch.from_numpy(upper + upper.T)
    weights = None
    if weighted:
        similar = np.triu(random.random((classes, classes)) + 0.1, 1)
        weights = torch.from_numpy(similar + similar.T)
    found = without_each_class(matrix, weights)
    for c in range(classes):
        others = [k for k in range(classes) if k != c]
        takes_part = any(not math.isnan(float(matrix[c, k])) for k in others)
        part = mean_distance(matrix[others][:, others], None if weights is None else weights[others][:, others])
        if part is None or not takes_part:
            assert math.isnan(float(found[c]))
        else:
            assert float(found[c]) == pytest.approx(part, rel=1e-9)


def test_the_jackknife_of_a_mean_is_its_standard_error() -> None:
    values = torch.tensor([2.0, 3.0, 5.0, 11.0], dtype=torch.float64)
    left_out = (values.sum() - values) / 3
    assert jackknife_over_classes(left_out) == pytest.approx(float(values.std()) / 2)
    assert jackknife_over_classes(torch.tensor([1.0, 2.0])) is None
    assert jackknife_over_classes(torch.tensor([1.0, 2.0, math.nan])) is None


def test_the_bootstrap_of_a_mean_is_its_standard_error() -> None:
    values = np.random.default_rng(2).normal(0, 3, 400)
    found = bootstrap_over_samples(lambda at: float(values[at].mean()), 400, generator("test"), 400)
    assert found == pytest.approx(values.std() / 20, rel=0.12)
    again = bootstrap_over_samples(lambda at: float(values[at].mean()), 400, generator("test"), 400)
    assert again == found
    assert bootstrap_over_samples(lambda _: None, 400, generator("test")) is None
