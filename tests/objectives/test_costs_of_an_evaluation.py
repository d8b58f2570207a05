"""What `xnas plan` does to measure: little, however slow the network is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from xnas_evaluator import measure
from xnas_evaluator.diagnosis import make as diagnosing
from xnas_evaluator.explain import make as making
from xnas_evaluator.networks.build import build
from xnas_evaluator.objectives import measure as measuring
from xnas_evaluator.testing import assignment
from xnas_evaluator.testing_networks import small_data, small_graph, small_spec
from xnas_evaluator.training.settings import arithmetic


def _context(cache: Path) -> measure.DiscardingContext:
    return measure.DiscardingContext(assignment(), small_spec(), "cpu", 1, cache)


@pytest.mark.parametrize(("each", "steps"), [(60.0, 2), (5.0, 3), (0.001, 5)])
def test_a_slow_network_does_one_whole_step(
    each: float, steps: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []

    def timed(work: Any) -> float:
        sizes.append(len(work.__self__._data.train))
        return each

    monkeypatch.setattr(measure, "_timed", timed)
    context, data = _context(tmp_path), small_data()
    network = build(small_graph(), 1)
    batch = min(context.spec.training.batch_size, len(data.train))
    seconds = measure._train_seconds(context, network, data, arithmetic("cpu", context.spec.training.precision))
    assert len(sizes) == steps
    assert sizes[:2] == [min(batch, measure.WARM_UP), batch]
    assert seconds == pytest.approx(each / sizes[-1] * len(data.train) * context.spec.training.epochs)


@pytest.mark.parametrize(("each", "made"), [(60.0, [1, 2]), (0.1, [1, 3])])
def test_slow_explanations_are_made_once(
    each: float, made: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def timed(work: Callable[[], object]) -> float:
        work()
        return each

    monkeypatch.setattr(measure, "_timed", timed)
    monkeypatch.setattr(making, "make", lambda *arguments: asked.append(len(arguments[3])))
    context, data = _context(tmp_path), small_data()
    explanations = context.spec.explanations.model_copy(update={"methods": ["a", "b", "c"], "samples_per_class": 2})
    context.spec = context.spec.model_copy(update={"explanations": explanations})
    numbers = arithmetic("cpu", context.spec.training.precision)
    seconds = measure._explain_seconds(context, build(small_graph(), 1), data, numbers)
    assert asked == made
    test = each / min(measure.FEW, len(data.test)) * len(data.test)
    diagnosis = each
    assert seconds == pytest.approx(test + 2 * (each if made[-1] == 3 else 2 * each) + diagnosis)


@pytest.mark.parametrize(("each", "seen"), [(60.0, [32]), (0.1, [32, 96 + 40])])
def test_a_slow_diagnosis_is_measured_on_few_samples(
    each: float, seen: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []

    def timed(work: Callable[[], object]) -> float:
        work()
        return each

    monkeypatch.setattr(measure, "_timed", timed)
    monkeypatch.setattr(measure, "FEW", 16)
    monkeypatch.setattr(diagnosing, "diagnose", lambda *a: sizes.append(len(a[2].train) + len(a[2].validation)))
    context, data = _context(tmp_path), small_data()
    numbers = arithmetic("cpu", context.spec.training.precision)
    seconds = measure._diagnosis_seconds(context, build(small_graph(), 1), data, numbers)
    assert sizes == seen
    assert seconds == pytest.approx(each * 136 / 32 if len(seen) == 1 else each)


def test_what_has_samples_of_its_own_is_not_scaled_up_and_imports_are_not_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = iter([0.1, 9.0, 5.0])  # latency, then on few samples with and without imports

    def timed(work: Callable[[], object]) -> float:
        work()
        return next(times)

    monkeypatch.setattr(measure, "_timed", timed)
    monkeypatch.setattr(measuring, "measure", lambda *_: measuring.Measured({}, {}, {"infidelity": 3.0, "loss": 1.0}))
    context, data = _context(tmp_path), small_data(samples=600, validation=600)
    numbers = arithmetic("cpu", context.spec.training.precision)
    seconds = measure._metrics_seconds(context, build(small_graph(), 1), data, numbers)
    assert seconds == pytest.approx(3.1 + 1.9 * (600 + 600) / (2 * measure.FEW))
