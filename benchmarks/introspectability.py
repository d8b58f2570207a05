"""Introspectability: time beside a plain validation pass and beside keeping all activations; peak memory.

What is timed is the process's CPU time: it equals the wall-clock time of one thread on an idle machine, and bears
neighbours on a busy one. Peak memory is that of a process of its own that holds 10,000 images and scores the first
1,000 or all of them.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from benchmarks.cells import CELLS, images, network
from benchmarks.results_table import Table
from xnas_core.api.spec import Precision, TrainingSpec
from xnas_core.spaces.base import DataShape
from xnas_evaluator.networks.build import GraphNetwork, Layers
from xnas_evaluator.objectives.introspectability import distances_of, mean_distance
from xnas_evaluator.objectives.validation import score
from xnas_evaluator.training.device_data import DeviceData, DevicePart
from xnas_evaluator.training.loop import Trainer
from xnas_evaluator.training.regulariser import captured
from xnas_evaluator.training.settings import arithmetic, prepare

SHAPE = DataShape(1, 28, 28, 10)
NUMBERS = arithmetic("cpu", Precision.FLOAT32)
LAYERS: Layers = "convolutionsAndActivations"
KEPT_SAMPLES = 200
WORST_GOAL, MIXED_GOAL, MEMORY_GOAL = 1.5, 1.2, 1.05


def _first(data: DeviceData, count: int) -> DevicePart:
    return DevicePart(data.validation.images[:count], data.validation.labels[:count])


@torch.inference_mode()
def _keep_everything(net: GraphNetwork, part: DevicePart, data: DeviceData) -> float | None:
    """The obvious way: one sample at a time, all activations kept, then means."""
    rows = []
    with captured(net.eval()) as outputs:
        for index in range(len(part)):
            net(data.normalise(part.images[index : index + 1]))
            rows.append(torch.cat([output.flatten() for output in outputs]))
            outputs.clear()
    kept = torch.stack(rows)
    means = torch.stack([kept[part.labels == label].mean(0) for label in range(SHAPE.classes)]).double()
    return mean_distance(distances_of(means @ means.T))


def _trained(cell: str, channels: int, data: DeviceData) -> GraphNetwork:
    """Return a network after one short epoch, so that its predictions are of several classes."""
    spec = TrainingSpec.model_validate({"epochs": 1, "batchSize": 64}, strict=False)
    trainer = Trainer(network(cell, channels, SHAPE), data, spec, 1, NUMBERS)
    trainer.run_epoch()
    return trainer.network


def _seconds(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def _row(cell: str, channels: int, samples: int, rounds: int) -> tuple[float, float, Sequence[str]]:
    """Return the ratio to the plain pass, the ratio of the two peaks, and the printed cells."""
    data = images(SHAPE, 256, samples)
    net, part = _trained(cell, channels, data), _first(data, samples)
    plain, streamed = [], []
    score(net, part, data, NUMBERS, LAYERS)
    for _ in range(rounds):
        plain.append(_seconds(lambda: score(net, part, data, NUMBERS)))
        streamed.append(_seconds(lambda: score(net, part, data, NUMBERS, LAYERS)))
    kept = _seconds(lambda: _keep_everything(net, _first(data, KEPT_SAMPLES), data)) * samples / KEPT_SAMPLES
    ratio = statistics.median(b / a for a, b in zip(plain, streamed, strict=True))
    few, many = (_peak_in_subprocess(cell, channels, count) for count in (1_000, 10_000))
    return (
        ratio,
        many / few,
        (
            cell,
            str(channels),
            f"{statistics.median(plain):.2f}",
            f"{statistics.median(streamed):.2f}",
            f"{ratio:.2f}",
            f"{kept / statistics.median(streamed):.1f}",
            f"{few:.0f}",
            f"{many:.0f}",
        ),
    )


def _peak_in_subprocess(cell: str, channels: int, count: int) -> float:
    command = [sys.executable, "-m", "benchmarks.introspectability", "--peak", cell, str(channels), str(count)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True, timeout=600).stdout)


def _peak(cell: str, channels: int, count: int) -> float:
    """Return this process's peak memory in MiB (Linux) after scoring `count` of 10,000 images."""
    data = images(SHAPE, 64, 10_000)
    score(network(cell, channels, SHAPE), _first(data, count), data, NUMBERS, LAYERS)
    # Not ru_maxrss: Linux hands the parent's peak down to a child.
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) / 1024


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print and write the table; return 0."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="passes of each kind (default 5)")
    parser.add_argument("--samples", type=int, default=1_000, help="samples of a timed pass (default 1000)")
    parser.add_argument("--peak", nargs=3, metavar=("CELL", "CHANNELS", "COUNT"), help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    prepare("cpu", 1)
    if arguments.peak:
        cell, channels, count = arguments.peak
        print(_peak(cell, int(channels), int(count)))
        return 0
    rows, ratios, peaks = [], {}, []
    for channels in (8, 16):
        for cell in CELLS:
            ratio, peak, row = _row(cell, channels, arguments.samples, arguments.rounds)
            ratios[cell, channels] = ratio
            peaks.append(peak)
            rows.append(row)
    worst = max(ratios.values())
    mixed = max(ratio for (cell, _), ratio in ratios.items() if cell == "mixed")
    Table(
        "introspectability",
        "Introspectability: one streaming pass, both groupings, 28x28 images, CPU seconds of one thread",
        (
            "cell",
            "channels",
            "plain pass (s)",
            "with introspectability (s)",
            "ratio",
            "keeping everything / ours",
            "peak at 1,000 (MiB)",
            "peak at 10,000 (MiB)",
        ),
        rows,
        (
            f"Goal: worst at most {WORST_GOAL}, mixed at most {MIXED_GOAL} plain passes; worst {worst:.2f}, "
            f"mixed {mixed:.2f}: {'met' if worst <= WORST_GOAL and mixed <= MIXED_GOAL else 'missed'}.",
            f"Goal: equal peak memory at 1,000 and 10,000 samples; largest ratio {max(peaks):.3f}: "
            f"{'met' if max(peaks) <= MEMORY_GOAL else 'missed'} (5 % allowed).",
            f"Keeping everything: one sample at a time, measured on {KEPT_SAMPLES} samples and scaled.",
            f"PyTorch {torch.__version__}, {arguments.samples} samples, median of {arguments.rounds} rounds.",
        ),
    ).publish()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
