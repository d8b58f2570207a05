"""Values of a front in a terminal: with the unit and the standard error of the metric that a name stands for."""

from __future__ import annotations

import io
from dataclasses import replace

from rich.console import Console

from xnas_core.cli.tables import front_table, objective_values
from xnas_core.testing.sample_search import sample_search

VIEW = sample_search(40, objectives=("accuracy", "macs")).view


def printed(**renamed: str) -> str:
    first = VIEW.spec.objectives[0].model_copy(update=renamed)
    spec = VIEW.spec.model_copy(update={"objectives": [first, *VIEW.spec.objectives[1:]]})
    candidates = tuple(
        replace(c, metrics={**c.metrics, "test_accuracy": 0.5}, errors={"accuracy": 0.0123} if c.on_front else {})
        for c in VIEW.candidates
    )
    view = replace(VIEW, spec=spec, candidates=candidates)
    console = Console(file=io.StringIO(), width=300)
    console.print(front_table(view, console))
    assert isinstance(console.file, io.StringIO)
    return objective_values(view, next(c for c in candidates if c.on_front)) + "\n" + console.file.getvalue()


def test_an_objective_of_another_name_has_its_metrics_unit_and_error() -> None:
    text = printed(name="speed", metric="latency_ms")
    assert " ms" in text
    assert "± 0.012" not in text
    assert "± 0.012" in printed(name="quality", metric="accuracy")
    assert "± 0.012" in printed()
