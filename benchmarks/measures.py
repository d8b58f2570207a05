"""What each measure of explainability costs, beside a plain validation pass; and the share of them in an evaluation.

What is timed is the process's CPU time: it equals the wall-clock time of one thread on an idle machine, and bears
neighbours on a busy one. Each measure is timed by itself, with its default parameters, on a network that nothing was
measured on yet.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from itertools import combinations
from pathlib import Path

import torch

from benchmarks.cells import CELLS, images, network
from benchmarks.results_table import Table
from xnas_core.api.base import ParameterValue
from xnas_core.api.spec import Precision, TrainingSpec
from xnas_core.objectives import METRICS
from xnas_core.plugins import PluginKind, load
from xnas_core.spaces.base import DataShape
from xnas_evaluator.networks.build import GraphNetwork
from xnas_evaluator.objectives.interface import Measurement, Objective
from xnas_evaluator.objectives.introspectability import IntrospectabilitySettings
from xnas_evaluator.objectives.shared import Shared
from xnas_evaluator.objectives.validation import score
from xnas_evaluator.testing import FolderContext, assignment
from xnas_evaluator.testing_networks import small_spec
from xnas_evaluator.training.device_data import DeviceData
from xnas_evaluator.training.loop import Trainer
from xnas_evaluator.training.settings import arithmetic, prepare

SHAPE = DataShape(1, 28, 28, 10)
NUMBERS = arithmetic("cpu", Precision.FLOAT32)
CELL, CHANNELS = "mixed", 8
TRAINED = 8_000
"""Images of an epoch whose time the last column is relative to: a seventh of Fashion-MNIST."""


def _trained(data: DeviceData) -> tuple[GraphNetwork, float]:
    """Return a network after a short epoch, and the seconds of a step's image."""
    spec = TrainingSpec.model_validate({"epochs": 1, "batchSize": 64}, strict=False)
    trainer = Trainer(network(CELL, CHANNELS, SHAPE), data, spec, 1, NUMBERS)
    seconds = _seconds(trainer.run_epoch)
    trainer.network.eval()
    return trainer.network, seconds / len(data.train)


def _seconds(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def _pairs(folder: Path, data: DeviceData) -> str:
    """Write similarities of all pairs of classes; return the path."""
    path = folder / "pairs.csv"
    path.write_text("\n".join(f"{a},{b},{1 / (2 + len(a))}" for a, b in combinations(data.class_names, 2)))
    return str(path)


def _measured(measure: Objective, net: GraphNetwork, data: DeviceData, folder: Path) -> float:
    """Return the seconds of one measure, what every evaluation does for it already left out."""
    context = FolderContext(assignment(), small_spec(), folder)
    shared = Shared(net, data, NUMBERS, 7)
    shared.scores(IntrospectabilitySettings())
    weighted = measure.metric.name == "introspectability_weighted"
    parameters: dict[str, ParameterValue] = {"similarities": _pairs(folder, data)} if weighted else {}
    view = Measurement(net, data, NUMBERS, parameters, {}, context, shared)
    return _seconds(lambda: measure.measure(view))


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print and write the table; return 0."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="times that each measure is timed (default 3)")
    parser.add_argument("--samples", type=int, default=2_000, help="validation samples (default 2000)")
    arguments = parser.parse_args(argv)
    prepare("cpu", 1)
    data = images(SHAPE, 1_024, arguments.samples)
    net, step = _trained(data)
    epoch = step * TRAINED
    score(net, data.validation, data, NUMBERS)
    plain = statistics.median(
        _seconds(lambda: score(net, data.validation, data, NUMBERS)) for _ in range(arguments.rounds)
    )
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name, metric in METRICS.items():
            if not metric.on_request:
                continue
            measure: Objective = load(PluginKind.OBJECTIVE, name)()
            _measured(measure, net, data, Path(folder))  # imports what it needs
            seconds = statistics.median(_measured(measure, net, data, Path(folder)) for _ in range(arguments.rounds))
            rows.append((name, f"{seconds:.3f}", f"{seconds / plain:.2f}", f"{100 * seconds / epoch:.1f}"))
    Table(
        "measures",
        "Measures of explainability beside a plain validation pass, default parameters, CPU seconds of one thread",
        ("measure", "seconds", "plain passes", "% of an epoch"),
        rows,
        (
            f"nas-bench-201, cell {CELL!r} of {sorted(CELLS)}, {CHANNELS} channels, one cell a stage; "
            f"{SHAPE.height}x{SHAPE.width} images, {SHAPE.classes} classes, {arguments.samples:,} validation samples.",
            f"A plain pass takes {plain:.3f} s, an epoch of {TRAINED:,} images {epoch:.2f} s (scaled up from 1,024).",
            "Each by itself: measures of one explainer share its explanation, and those of live activations theirs; "
            "in a search, these also share the validation pass that is made anyway (1 plain pass less).",
            "Attribution measures explain 4 samples a class, so their cost does not grow with the validation split.",
            f"PyTorch {torch.__version__}, median of {arguments.rounds} rounds.",
        ),
    ).publish()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
