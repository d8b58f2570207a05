"""Arms of a comparison and the tests between them."""

from __future__ import annotations

import itertools
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

from xnas_core.analysis.arms import Comparison, compare
from xnas_core.analysis.contrasts import contrasts, rank_sum, sign_flip
from xnas_core.api.spec import ArchitectureSearchSpec
from xnas_core.errors import InvalidInputError
from xnas_core.search.view import CandidateState, SearchState, SearchView
from xnas_core.testing.sample_search import sample_search


@cache
def sample(seed: int, size: int) -> SearchView:
    # A suspended one has no pictures, which would take most of the time.
    return replace(sample_search(size + 3, seed=seed, state=SearchState.SUSPENDED).view, state=SearchState.COMPLETE)


def search(seed: int, size: int = 30, **changes: Any) -> tuple[str, SearchView]:
    view = sample(seed, size)
    document = view.spec.to_document() | changes
    spec = ArchitectureSearchSpec.model_validate(document, strict=False)
    label = f"runs/{seed}-{size}-{len(changes)}"
    return label, replace(view, search_id=label, spec=spec)


def two_arms(first: range, second: range) -> Comparison:
    random = {"algorithm": {"name": "random", "populationSize": 32}}
    return compare([search(s) for s in first] + [search(s, 25, **random) for s in second])


def test_searches_that_differ_in_seed_and_running_only_are_one_arm() -> None:
    found = compare(
        [search(3), search(1, limits={"maxEvaluations": 50}), search(2, 20, evaluators={"replicas": 7}), search(4)]
    )
    assert [len(arm.trials) for arm in found.arms] == [4]
    assert [trial.seed for trial in found.arms[0].trials] == [1, 2, 3, 4]
    assert found.arms[0].name == "sample"
    assert found.budget == 20
    assert found.arms[0].volumes.shape == (4, 20)


def test_arms_are_named_by_what_sets_them_apart() -> None:
    found = two_arms(range(3), range(3))
    assert [arm.letter for arm in found.arms] == ["A", "B"]
    assert dict(found.arms[0].differs)["algorithm.name"] == "nsga2"
    assert "algorithm.name random" in found.arms[1].name
    assert found.budget == 25
    other = compare([search(1), search(2, dataset={"name": "digits"})])
    assert [arm.name for arm in other.arms] == ["dataset.name cifar10", "dataset.name digits"]


def test_parameters_of_an_explainer_set_arms_apart_only_where_a_metric_judges_it() -> None:
    explainers = [{"name": "integratedGradients", "parameters": {"steps": 9}}]
    pictures = compare([search(1), search(2, explainers=explainers)])
    assert [len(arm.trials) for arm in pictures.arms] == [2]
    judged: dict[str, Any] = {"metrics": [{"name": "sparsity"}]}
    values = compare([search(1, **judged), search(2, **judged, explainers=explainers)])
    assert [arm.name for arm in values.arms] == [
        "explainers []",
        "explainers[0].name integratedGradients, explainers[0].parameters.steps 9",
    ]


def test_best_and_median_are_those_of_the_candidates() -> None:
    trial = two_arms(range(2), range(2)).arms[0].trials[0]
    values = [c.objectives[0] for c in trial.view.candidates if c.state is CandidateState.SUCCEEDED]
    assert trial.best(0) == max(v for v in values if v is not None)
    assert trial.median(0) == np.median([v for v in values if v is not None])


@pytest.mark.parametrize(
    ("searches", "said"),
    [
        ([search(1)], "at least two searches"),
        ([search(1), search(1)], "are the same search"),
        (
            [search(1), search(2, objectives=[{"name": "accuracy", "direction": "maximize"}])],
            "different objectives cannot be compared: runs/1-30-0 has accuracy",
        ),
    ],
)
def test_what_cannot_be_compared_is_refused_in_a_sentence(searches: list[tuple[str, SearchView]], said: str) -> None:
    with pytest.raises(InvalidInputError, match=said):
        compare(searches)


def test_a_reader_is_told_of_differences() -> None:
    label, view = search(2)
    other = replace(view, state=SearchState.RUNNING, versions={"xnas": "9", "data": "x"})
    twin = search(2, 20)
    found = compare([("first", replace(view, search_id="first", versions={"data": "y"})), (label, other), twin])
    text = " ".join(found.remarks)
    assert f"Not complete yet: {label}." in text
    assert "did not have the same data" in text
    assert "Arm A has searches with the same seed" in text


def test_sign_flips_are_all_looked_at() -> None:
    differences = np.array([0.3, 0.1, 0.4, -0.05, 0.2])
    sums = [abs(float(np.dot(s, differences))) for s in itertools.product((1, -1), repeat=5)]
    assert sign_flip(differences) == (sum(s >= 0.95 - 1e-9 for s in sums) / 32, 2 / 32)
    assert sign_flip(np.zeros(4))[0] == 1.0
    p, least = sign_flip(np.linspace(0.1, 1, 20))
    assert p == pytest.approx(least) == pytest.approx(1 / 20_001)


def test_rank_sums_are_those_of_all_groupings() -> None:
    a, b = np.array([5.0, 7.0, 9.0]), np.array([1.0, 2.0, 5.0, 3.0])
    both = [*a, *b]
    ranks = [sum(w < v for w in both) + (sum(w == v for w in both) + 1) / 2 for v in both]
    observed = abs(sum(ranks[:3]) - 12)
    extreme = [abs(sum(group) - 12) >= observed - 1e-9 for group in itertools.combinations(ranks, 3)]
    assert rank_sum(a, b)[0] == pytest.approx(sum(extreme) / 35)
    assert rank_sum(a, b)[1] == pytest.approx(2 / 35)
    assert rank_sum(a, a)[0] == 1.0
    rng = np.random.default_rng(3)
    x, y = rng.normal(0, 1, 14), rng.normal(0.8, 1, 14)
    drawn, _ = rank_sum(x, y)
    # Normal approximation of Mann and Whitney: good at this size.
    u = sum((y_ > x_) for x_ in x for y_ in y)
    z = abs(u - 98) / np.sqrt(14 * 14 * 29 / 12)
    assert drawn == pytest.approx(2 * (1 - _normal(float(z))), abs=0.02)


def _normal(z: float) -> float:
    from statistics import NormalDist

    return NormalDist().cdf(z)


def test_equal_seeds_are_paired_and_others_are_ranked() -> None:
    (paired,) = contrasts(two_arms(range(5), range(5)))
    assert (paired.first, paired.second, paired.test) == ("A", "B", "paired")
    assert paired.least == 2 / 32
    # Both arms are made up alike, so at the common budget nothing differs.
    assert paired.difference == 0
    assert paired.p == 1.0
    (ranked,) = contrasts(two_arms(range(4), range(10, 14)))
    assert ranked.test == "ranks"
    assert ranked.low <= ranked.difference <= ranked.high
    assert contrasts(two_arms(range(1), range(4))) == ()


def test_before_the_first_evaluation_there_is_nothing_to_tell_apart() -> None:
    fresh = [search(s, 5) for s in range(4)]
    empty = [(label, replace(v, candidates=(), front=(), reference_point=None, history=())) for label, v in fresh]
    found = compare(empty)
    assert found.reference is None
    assert found.budget == 0
    assert contrasts(found) == ()
