"""docs/plugins/objective.md: its example is installed and measured in a whole evaluation."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from xnas_core.api.spec import Precision
from xnas_core.errors import InvalidInputError
from xnas_core.testing.docs_example import load_example
from xnas_evaluator.evaluate import evaluate
from xnas_evaluator.objectives.interface import Measurement
from xnas_evaluator.testing import FolderContext, assignment
from xnas_evaluator.testing_networks import small_data, small_graph, small_spec
from xnas_evaluator.training.settings import arithmetic

PAGE = Path(__file__).parents[2] / "docs" / "plugins" / "objective.md"


def _context(root: Path, parameters: dict[str, Any]) -> FolderContext:
    objectives = [
        {"name": "accuracy", "direction": "maximize"},
        {"name": "calibration_error", "direction": "minimize", "parameters": parameters},
    ]
    spec = small_spec(objectives=objectives, training={"epochs": 1})
    return FolderContext(assignment(graph=small_graph(side=12).to_document()), spec, root)


def test_the_example_is_measured_as_an_objective(tmp_path: Path) -> None:
    with load_example(PAGE, "xnas.objectives", "calibration_error") as example:
        assert example.plugin.metric.name == "calibration_error"
        result = evaluate(_context(tmp_path, {"bins": 10}))
    assert 0 <= result.metrics["calibration_error"] <= 1


def test_its_value_on_scores_made_by_hand(tmp_path: Path) -> None:
    data = small_data(validation=4, classes=2)
    # Confidences .9, .9, .6 and .6, in two bins of ten; labels are 0, 1, 0, 1, every prediction is class 0.
    scores = torch.tensor([[math.log(9), 0.0], [math.log(9), 0.0], [math.log(1.5), 0.0], [math.log(1.5), 0.0]])
    view = SimpleNamespace(
        network=lambda _: scores,
        data=data,
        arithmetic=arithmetic("cpu", Precision.AUTO),
        parameters={"bins": 10},
    )
    with load_example(PAGE, "xnas.objectives", "calibration_error") as example:
        value = example.plugin().measure(view)
    assert value == pytest.approx(0.5 * abs(0.9 - 0.5) + 0.5 * abs(0.6 - 0.5), abs=1e-6)


def test_wrong_parameters_are_final(tmp_path: Path) -> None:
    with (
        load_example(PAGE, "xnas.objectives", "calibration_error"),
        pytest.raises(InvalidInputError, match="integer from 2 to 100"),
    ):
        evaluate(_context(tmp_path, {"bins": 1}))


def test_the_page_names_every_field_of_a_measurement() -> None:
    text = PAGE.read_text()
    assert all(f"`{name}`" in text for name in Measurement.__dataclass_fields__)
