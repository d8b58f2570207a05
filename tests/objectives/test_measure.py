"""All metrics together: names, repeated metrics with other parameters, latency, the generalisation gap, plug-ins."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from xnas_core import plugins
from xnas_core.api.spec import Direction, Precision
from xnas_core.errors import InvalidInputError
from xnas_core.objectives import Metric
from xnas_evaluator.context import NonFiniteError
from xnas_evaluator.networks.build import build
from xnas_evaluator.objectives.interface import Measurement
from xnas_evaluator.objectives.latency import LatencySettings
from xnas_evaluator.objectives.measure import Measured, measure, plan
from xnas_evaluator.objectives.validation import score
from xnas_evaluator.testing import FolderContext, assignment
from xnas_evaluator.testing_networks import small_data, small_graph, small_spec
from xnas_evaluator.training.settings import arithmetic

NUMBERS = arithmetic("cpu", Precision.AUTO)


def _measure(root: Path, objectives: list[dict[str, Any]], **fields: Any) -> tuple[Measured, FolderContext]:
    spec = small_spec(objectives=objectives, **fields)
    context = FolderContext(assignment(), spec, root)
    network = build(small_graph(), 1).to(memory_format=torch.channels_last)
    return measure(context, plan(spec), network, small_data(), NUMBERS, 1.5), context


def _objective(name: str, metric: str | None = None, **parameters: Any) -> dict[str, Any]:
    fields: dict[str, Any] = {"name": name, "direction": "maximize", "parameters": parameters}
    return fields | ({"metric": metric} if metric else {})


def test_one_metric_in_several_objectives_with_their_own_parameters(tmp_path: Path) -> None:
    measured, _ = _measure(
        tmp_path,
        [
            _objective("first", "introspectability", groupBy="trueClass"),
            _objective("everything", "introspectability", groupBy="trueClass", layers="all"),
            _objective("again", "introspectability", groupBy="trueClass", maxSamples=25_000),
            _objective("right", "accuracy"),
        ],
    )
    metrics = measured.metrics
    assert metrics["introspectability"] == metrics["introspectability_true_class"] == metrics["first"]
    assert metrics["again"] == metrics["first"] != metrics["everything"]
    assert metrics["right"] == metrics["accuracy"]
    assert measured.errors["right"] == measured.errors["accuracy"]
    assert metrics["train_seconds"] == 1.5
    assert (metrics["parameters"], metrics["macs"]) == (small_graph().parameters, small_graph().macs)


def test_generalization_gap_is_training_minus_validation_accuracy(tmp_path: Path) -> None:
    data = small_data()
    network = build(small_graph(), 1).to(memory_format=torch.channels_last)
    measured, _ = _measure(tmp_path, [_objective("accuracy")])
    gap = score(network, data.train, data, NUMBERS).accuracy - score(network, data.validation, data, NUMBERS).accuracy
    assert measured.metrics["generalization_gap"] == pytest.approx(gap)


@pytest.mark.parametrize(
    ("fields", "moments"),
    [
        ({"objectives": [_objective("accuracy")]}, 0),
        ({"objectives": [_objective("accuracy"), _objective("latency_ms", batchSize=2)]}, 1),
        ({"objectives": [_objective("accuracy")], "constraints": [{"metric": "latency_ms", "max": 5}]}, 1),
        (
            {"objectives": [_objective("one", "latency_ms"), _objective("two", "latency_ms", batchSize=4)]},
            2,
        ),
    ],
)
def test_latency_takes_the_exclusive_moment_where_it_decides(
    fields: dict[str, Any], moments: int, tmp_path: Path
) -> None:
    measured, context = _measure(tmp_path, **fields)
    assert measured.metrics["latency_ms"] > 0
    assert context.exclusive_moments == moments


@pytest.mark.parametrize(
    ("parameters", "message"),
    [({"batch": 1}, "no parameter 'batch'"), ({"batchSize": 0}, "number 1 to"), ({"repeats": "3"}, "whole number 1")],
)
def test_wrong_latency_parameters_are_refused(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        LatencySettings.parse(parameters)


class _Plugin:
    metric = Metric("dark", Direction.MINIMIZE, "1", False, False, None, "Test.")
    value: float | None = 0.25

    def measure(self, measurement: Measurement) -> float | None:
        assert not measurement.network.training
        assert "accuracy" in measurement.metrics
        factor = measurement.parameters.get("factor", 1)
        return None if self.value is None else self.value * float(str(factor))


@pytest.fixture
def plugin(monkeypatch: pytest.MonkeyPatch) -> type[_Plugin]:
    monkeypatch.setattr(plugins, "load", lambda _kind, _name: _Plugin)
    return _Plugin


def test_a_plug_in_is_measured_with_each_objectives_parameters(plugin: type[_Plugin], tmp_path: Path) -> None:
    measured, _ = _measure(tmp_path, [_objective("dark"), _objective("darker", "dark", factor=2)])
    assert (measured.metrics["dark"], measured.metrics["darker"]) == (0.25, 0.5)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_value_that_is_not_finite_is_final(
    value: float, plugin: type[_Plugin], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plugin, "value", value)
    with pytest.raises(NonFiniteError, match="dark"):
        _measure(tmp_path, [_objective("dark")])


def test_an_undefined_value_is_left_out(plugin: type[_Plugin], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugin, "value", None)
    measured, _ = _measure(tmp_path, [_objective("dark")])
    assert "dark" not in measured.metrics


def test_a_plug_in_whose_metric_has_another_name_is_refused(plugin: type[_Plugin]) -> None:
    with pytest.raises(InvalidInputError, match="calls its metric 'dark'"):
        plan(small_spec(objectives=[_objective("bright")]))
