"""The task `confirm`: each seed is an evaluation of its own, mean and deviation are right, nothing is trained twice."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from xnas_core.artifacts.keys import CONFIRMATION
from xnas_core.confirmation import Confirmation, SeedResult, read, summary
from xnas_core.errors import InvalidInputError
from xnas_core.tasks import TaskKind, TaskResult
from xnas_evaluator.context import NonFiniteError, TaskCancelledError
from xnas_evaluator.evaluate import evaluate
from xnas_evaluator.tasks import run
from xnas_evaluator.testing import FolderContext, assignment
from xnas_evaluator.testing_networks import small_graph, small_spec
from xnas_evaluator.training import resumable

GRAPH = small_graph(side=12).to_document()
SPEC = small_spec(training={"epochs": 2, "batchSize": 32})
SEEDS = [5, 6, 2**62 + 1]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@dataclass
class Breaking(FolderContext):
    """Ends the attempt at the n-th report of an epoch."""

    cancel_at_report: int = 0

    def progress(self, epoch: int, epochs: int, step: str = "", metrics: Mapping[str, float] | None = None) -> None:
        super().progress(epoch, epochs, step, metrics)
        trained = [report for report in self.reported if "train_loss" in report.metrics]
        if self.cancel_at_report and len(trained) >= self.cancel_at_report:
            raise TaskCancelledError


def _context(root: Path, cache: Path, attempt: int = 1, cancel_at_report: int = 0, seeds: Any = SEEDS) -> Breaking:
    earlier = tuple(range(attempt - 1, 0, -1))
    task = assignment(TaskKind.CONFIRM, graph=GRAPH, seed=11, attempt=attempt, previous_attempts=earlier)
    task = task.model_copy(update={"parameters": {"seeds": seeds}})
    return Breaking(task, SPEC, root, cache=cache, cancel_at_report=cancel_at_report)


def _epochs(context: FolderContext) -> list[int]:
    return [report.epoch for report in context.reported if "train_loss" in report.metrics]


def _document(context: FolderContext) -> Confirmation:
    data = context.get(TaskKind.CONFIRM, context.assignment.attempt, CONFIRMATION)
    assert data is not None
    return read(data)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> tuple[Breaking, TaskResult]:
    context = _context(tmp_path_factory.mktemp("whole"), cache)
    return context, run(context)


def test_each_seed_gives_what_an_evaluation_with_it_would(
    whole: tuple[Breaking, TaskResult], cache: Path, tmp_path: Path
) -> None:
    context, result = whole
    assert _epochs(context) == [1, 2, 3, 4, 5, 6]
    for number, seed in enumerate(SEEDS, start=1):
        alone = evaluate(FolderContext(assignment(graph=GRAPH, seed=seed), SPEC, tmp_path / str(number), cache=cache))
        for name in ("accuracy", "introspectability"):
            assert result.metrics[f"confirmed_{name}_{number}"] == alone.metrics[name]
    assert result.metrics["confirmed_seeds"] == 3
    assert set(result.metrics) == {
        "confirmed_seeds",
        *(f"confirmed_{o}_{k}" for o in ("accuracy", "introspectability") for k in (1, 2, 3, "mean", "deviation")),
    }
    assert [r.seed for r in _document(context).results] == SEEDS


def test_mean_and_deviation_are_those_of_a_hand_calculation() -> None:
    results = [SeedResult(seed=k, values={"a": value}) for k, value in enumerate((1.0, 2.0, 6.0))]
    results.append(SeedResult(seed=9, values={}, failure="nan"))
    metrics, errors = summary(results, ["a", "b"])
    deviation = math.sqrt((4 + 1 + 9) / 2)
    assert metrics == {
        "confirmed_seeds": 3, "confirmed_a_1": 1, "confirmed_a_2": 2, "confirmed_a_3": 6, "confirmed_a_mean": 3,
        "confirmed_a_deviation": pytest.approx(deviation),
    }  # fmt: skip
    assert errors == {"confirmed_a_mean": pytest.approx(deviation / math.sqrt(3))}
    assert summary(results[:1], ["a"]) == ({"confirmed_seeds": 1, "confirmed_a_1": 1, "confirmed_a_mean": 1}, {})


@pytest.mark.parametrize("report", [1, 2, 3, 5])
def test_cut_anywhere_it_goes_on_where_it_was(
    whole: tuple[Breaking, TaskResult], cache: Path, tmp_path: Path, report: int
) -> None:
    with pytest.raises(TaskCancelledError):
        run(_context(tmp_path, cache, cancel_at_report=report))
    again = _context(tmp_path, cache, attempt=2)
    result = run(again)
    assert result.metrics == whole[1].metrics
    assert _document(again) == _document(whole[0])
    assert _epochs(again) == list(range(report + 1, 7))


def test_what_belongs_to_another_training_is_not_taken(cache: Path, tmp_path: Path) -> None:
    first = _context(tmp_path, cache, seeds=[1])
    lie = Confirmation(fingerprint="other", results=(SeedResult(seed=2, values={"accuracy": 9.0}),))
    first.put(CONFIRMATION, lie.model_dump_json().encode())
    result = run(_context(tmp_path, cache, attempt=2, seeds=[2]))
    assert result.metrics["confirmed_accuracy_1"] <= 1
    first.put(CONFIRMATION, b"torn")
    assert run(_context(tmp_path, cache, attempt=3, seeds=[2])).metrics == result.metrics


def test_a_seed_that_ends_in_nan_is_counted_and_only_all_of_them_fail(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, bad = resumable.train, {6}

    def train(context: Any, trainer: Any, *rest: Any) -> Any:
        if trainer._seed in bad:
            raise NonFiniteError("the loss became nan")
        return original(context, trainer, *rest)

    monkeypatch.setattr("xnas_evaluator.confirm.train", train)
    context = _context(tmp_path / "one", cache, seeds=[5, 6])
    result = run(context)
    assert result.metrics["confirmed_seeds"] == 1
    assert "confirmed_accuracy_2" not in result.metrics
    assert [r.failure for r in _document(context).results] == ["", "the loss became nan"]
    bad.add(5)
    with pytest.raises(NonFiniteError, match="none of 2 trainings"):
        run(_context(tmp_path / "all", cache, seeds=[5, 6]))


@pytest.mark.parametrize("seeds", [None, [], ["x"], 3])
def test_without_seeds_there_is_nothing_to_do(cache: Path, tmp_path: Path, seeds: Any) -> None:
    with pytest.raises(InvalidInputError, match="no seeds"):
        run(_context(tmp_path, cache, seeds=seeds))
