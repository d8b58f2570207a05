"""The formulas of a diagnosis against slow, obvious versions of them, scipy and scikit-learn."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import roc_auc_score

from xnas_core.diagnosis import MAX_SHOWN, PAIRS
from xnas_evaluator.diagnosis.calibration import calibrate
from xnas_evaluator.diagnosis.class_distances import compare, confusion_matrix
from xnas_evaluator.diagnosis.correlation import pearson, spearman
from xnas_evaluator.diagnosis.detection import auc_error, detect

# Few different values, so that there are ties; in eighths, so that sums are exact.
confidences = st.lists(st.tuples(st.integers(0, 8).map(lambda n: n / 8), st.booleans()), min_size=1, max_size=40)


@given(st.lists(st.tuples(st.integers(-4, 4), st.integers(-4, 4)), min_size=3, max_size=30))
def test_correlations_are_scipys(points: list[tuple[int, int]]) -> None:
    first, second = np.array(points, dtype=np.float64).T
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        assert pearson(first, second) is None
        assert spearman(first, second) is None
        return
    assert pearson(first, second) == pytest.approx(stats.pearsonr(first, second).statistic, abs=1e-9)
    assert spearman(first, second) == pytest.approx(stats.spearmanr(first, second).statistic, abs=1e-9)


def test_two_points_have_no_correlation() -> None:
    assert pearson(np.array([0.0, 1.0]), np.array([1.0, 5.0])) is None


def _slow_bins(pairs: list[tuple[float, bool]], bins: int) -> list[tuple[int, float, float]]:
    found = []
    for number in range(bins):
        low, high = number / bins, (number + 1) / bins
        inside = [p for p in pairs if low <= p[0] < high or (number == bins - 1 and p[0] >= 1)]
        inside += [p for p in pairs if number == 0 and p[0] < 0]
        if inside:
            found.append(
                (len(inside), sum(p[0] for p in inside) / len(inside), sum(p[1] for p in inside) / len(inside))
            )
    return found


@given(st.lists(st.tuples(st.integers(-8, 64).map(lambda n: n / 64), st.booleans()), min_size=1, max_size=60))
def test_calibration_by_going_through_the_bins(pairs: list[tuple[float, bool]]) -> None:
    found = calibrate(np.array([c for c, _ in pairs]), np.array([right for _, right in pairs]))
    expected = _slow_bins(pairs, 50)
    assert [(b.count, b.confidence, b.accuracy) for b in found.bins] == [pytest.approx(row) for row in expected]
    assert found.error == pytest.approx(sum(n * abs(a - c) for n, c, a in expected) / len(pairs), abs=1e-12)
    if len(expected) >= 3 and len({a for _, _, a in expected}) > 1:
        means, accuracies = [c for _, c, _ in expected], [a for _, _, a in expected]
        assert found.pearson == pytest.approx(stats.pearsonr(means, accuracies).statistic, abs=1e-6)
        assert found.spearman == pytest.approx(stats.spearmanr(means, accuracies).statistic, abs=1e-6)
    else:
        assert found.pearson is None


def test_a_calibrated_confidence_has_no_error() -> None:
    found = calibrate(np.full(8, 0.75), np.array([True] * 6 + [False] * 2))
    assert found.error == 0
    assert [(b.count, b.accuracy) for b in found.bins] == [(8, 0.75)]


def _slow_found(pairs: list[tuple[float, bool]], count: int) -> float:
    """Return the flagged samples among the `count` lowest, as their expectation over all orders of equal ones."""
    total = 0.0
    for value, flag in pairs:
        below = sum(other < value for other, _ in pairs)
        equal = sum(other == value for other, _ in pairs)
        total += flag * min(1.0, max(0.0, (count - below) / equal))
    return total


@given(confidences)
def test_detection_by_counting(pairs: list[tuple[float, bool]]) -> None:
    values, flags = np.array([c for c, _ in pairs]), np.array([f for _, f in pairs])
    found = detect(values, flags)
    wanted, count = int(flags.sum()), len(pairs)
    if wanted in (0, count):
        assert found is None
        return
    assert found is not None
    exact = [_slow_found(pairs, m) / wanted for m in range(count + 1)]
    assert found.area == pytest.approx(float(np.trapezoid(exact, dx=1 / count)))
    for percent in (0, 10, 37, 50, 100):
        place = percent * count / 100
        low = min(count - 1, math.floor(place))
        expected = exact[low] + (place - low) * (exact[low + 1] - exact[low])
        assert found.found[percent] == pytest.approx(expected)
    assert found.auc == pytest.approx(roc_auc_score(flags, -values))


def test_ends_of_detection() -> None:
    flags = np.array([True, True, False, False, False, False, False, False])
    best, worst = (detect(sign * np.arange(8.0), flags) for sign in (1, -1))
    even = detect(np.ones(8), flags)
    assert best is not None
    assert worst is not None
    assert even is not None
    assert (best.auc, worst.auc, even.auc) == (1.0, 0.0, 0.5)
    assert best.found[25] == 1.0
    assert even.found == pytest.approx(np.linspace(0, 1, 101))
    assert best.auc_error == 0


def test_error_of_an_area_is_that_of_hanley_and_mcneil() -> None:
    # Their worked example (1982, page 33): 51 abnormal, 58 normal images, area .893, standard error .032.
    assert auc_error(0.893, 51, 58) == pytest.approx(0.032, abs=6e-4)


@settings(max_examples=30)
@given(st.integers(2, 6), st.integers(0, 10_000))
def test_class_pairs_by_two_loops(classes: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    labels, predictions = random.integers(0, classes, (2, 50))
    vectors = np.abs(random.normal(size=(classes, 3)))
    vectors[0] = 0 if seed % 3 == 0 else vectors[0]
    distances = np.full((classes, classes), np.nan)
    rows, pairs = [], []
    for c in range(classes):
        for k in range(classes):
            lengths = np.linalg.norm(vectors[c]) * np.linalg.norm(vectors[k])
            if lengths:
                distances[c, k] = 1 - vectors[c] @ vectors[k] / lengths
        for k in range(c + 1, classes):
            folded = sum((a, b) in ((c, k), (k, c)) for a, b in zip(labels.tolist(), predictions.tolist(), strict=True))
            distance = None if np.isnan(distances[c, k]) else distances[c, k]
            pairs.append((c, k, distance, folded))
            if distance is not None:
                rows.append((-distance, folded))
    found = compare(distances, confusion_matrix(labels, predictions, classes))
    assert found.pairs == len(rows)
    if len(rows) >= 3 and len({f for _, f in rows}) > 1:
        one, other = zip(*rows, strict=True)
        assert found.pearson == pytest.approx(stats.pearsonr(one, other).statistic)
        assert found.spearman == pytest.approx(stats.spearmanr(one, other).statistic)
    known = {(p.first, p.second): (p.distance, p.mistakes) for p in (*found.nearest, *found.most_confused)}
    for c, k, distance, folded in pairs:
        assert known.get((c, k), (distance, folded)) == (distance, folded)
    by_distance = sorted(d for _, _, d, _ in pairs if d is not None)[:PAIRS]
    assert [p.distance for p in found.nearest] == pytest.approx(by_distance)
    by_mistakes = sorted((f for _, _, _, f in pairs if f), reverse=True)[:PAIRS]
    assert [p.mistakes for p in found.most_confused] == by_mistakes
    assert found.shown == tuple(range(classes))
    assert sum(map(sum, found.confusion)) == 50


def test_of_many_classes_those_with_most_mistakes_are_shown() -> None:
    classes = MAX_SHOWN + 6
    confusion = np.eye(classes, dtype=np.int64) * 5
    confusion[classes - 1, classes - 2] = 3
    confusion[classes - 3, 0] = 1
    found = compare(np.ones((classes, classes)), confusion)
    assert len(found.shown) == MAX_SHOWN == len(found.confusion) == len(found.distances[0])
    assert {0, classes - 1, classes - 2, classes - 3} <= set(found.shown)
    assert list(found.shown) == sorted(found.shown)
    assert found.most_confused[0].mistakes == 3
    assert found.pearson is None
