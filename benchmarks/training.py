"""Training speed: an epoch of our loop beside the bare loop on one batch, and beside a plain DataLoader.

All three train the same network in the same memory layout on one thread and see the same number of images; an epoch
of each is timed in turn, several times, and the ratio is the median over the rounds. What is timed is the process's
CPU time: it equals the wall-clock time of one thread on an idle machine, and bears neighbours on a busy one.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
import torchvision.transforms as T
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from benchmarks.cells import CELLS, images, network
from benchmarks.results_table import Table
from xnas_core.api.spec import Precision, TrainingSpec
from xnas_core.spaces.base import DataShape
from xnas_evaluator.training.device_data import DeviceData
from xnas_evaluator.training.loop import Trainer
from xnas_evaluator.training.settings import arithmetic, prepare

GOAL = 0.97


@dataclass(frozen=True)
class Setting:
    """Data and network size of a row."""

    name: str
    shape: DataShape
    channels: int
    batch_size: int
    samples: int


SETTINGS = (
    Setting("8x8x1, 8 channels", DataShape(1, 8, 8, 10), 8, 64, 1152),
    Setting("32x32x3, 16 channels", DataShape(3, 32, 32, 10), 16, 128, 1024),
)


class _Transformed(Dataset[tuple[Tensor, Tensor]]):
    """Images that torchvision crops, flips, normalises and erases one by one."""

    def __init__(self, data: DeviceData) -> None:
        self._part = data.train
        side = data.shape.height
        mean, std = (values.flatten() / 255 for values in (data.mean, data.std))
        self._transform = T.Compose(
            [
                T.ToPILImage(),
                T.RandomCrop(side, padding=side // 8),
                T.RandomHorizontalFlip(),
                T.ToTensor(),
                T.Normalize(mean.tolist(), std.tolist()),
                T.RandomErasing(p=1.0, scale=(0.01, 0.06)),
            ]
        )

    def __len__(self) -> int:
        return len(self._part)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self._transform(self._part.images[index]), self._part.labels[index]


def _epoch(net: nn.Module, optimiser: torch.optim.Optimizer, batches: Iterable[Sequence[Tensor]]) -> None:
    """Forward, backward and step on each batch: nothing else."""
    net.train()
    for pixels, labels in batches:
        optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(F.cross_entropy(net(pixels.contiguous(memory_format=torch.channels_last)), labels))
        optimiser.step()


def _contenders(cell: str, setting: Setting) -> dict[str, Callable[[], object]]:
    """Return one epoch of each way to train, by name."""
    data = images(setting.shape, setting.samples)
    spec = TrainingSpec.model_validate(
        {"epochs": 1000, "batchSize": setting.batch_size, "augmentation": ["crop", "flip", "cutout"]}, strict=False
    )
    trainer = Trainer(
        network(cell, setting.channels, setting.shape), data, spec, 1, arithmetic("cpu", Precision.FLOAT32)
    )
    bare, loaded = (network(cell, setting.channels, setting.shape) for _ in range(2))
    bare_optimiser, loaded_optimiser = (
        torch.optim.SGD(net.parameters(), 0.01, 0.9, weight_decay=0.0005, nesterov=True, fused=True)
        for net in (bare, loaded)
    )
    resident = data.normalise(data.train.images[: setting.batch_size]), data.train.labels[: setting.batch_size]
    steps = setting.samples // setting.batch_size
    loader = DataLoader(_Transformed(data), setting.batch_size, shuffle=True)
    return {
        "ours": trainer.run_epoch,
        "bare": lambda: _epoch(bare, bare_optimiser, [resident] * steps),
        "loader": lambda: _epoch(loaded, loaded_optimiser, loader),
    }


def measure(cell: str, setting: Setting, rounds: int) -> dict[str, list[float]]:
    """Return CPU seconds of an epoch, by contender, for each round."""
    contenders = _contenders(cell, setting)
    for epoch in contenders.values():
        epoch()
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(rounds):
        names = list(contenders)
        # Whoever comes first in a round differs, so that a machine that slows down is unfair to nobody.
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            started = time.process_time()
            contenders[name]()
            seconds[name].append(time.process_time() - started)
    return seconds


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print and write the table; return 0."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="epochs of each contender (default 5)")
    rounds = parser.parse_args(argv).rounds
    prepare("cpu", 1)
    rows, of_bare = [], []
    for setting in SETTINGS:
        for cell in CELLS:
            seconds = measure(cell, setting, rounds)
            rate = {name: setting.samples / statistics.median(times) for name, times in seconds.items()}
            ratio = {
                name: statistics.median(b / a for a, b in zip(seconds["ours"], seconds[name], strict=True))
                for name in ("bare", "loader")
            }
            of_bare.append(ratio["bare"])
            numbers = (f"{rate['ours']:.0f}", f"{rate['bare']:.0f}", f"{rate['loader']:.0f}")
            rows.append((setting.name, cell, *numbers, f"{ratio['bare']:.3f}", f"{ratio['loader']:.2f}"))
    met = "met" if min(of_bare) >= GOAL else "missed"
    Table(
        "training",
        "Training: images per CPU second, crop, flip and cut-out on, one thread",
        ("images and network", "cell", "XNAS", "bare loop", "DataLoader", "XNAS / bare", "XNAS / DataLoader"),
        rows,
        (
            f"Goal: at least {GOAL} of the bare loop; lowest {min(of_bare):.3f}, "
            f"median {statistics.median(of_bare):.3f}: {met}.",
            "Bare loop: forward, backward and step on one resident batch.",
            "DataLoader: torchvision transforms on PIL images, in the training process.",
            f"PyTorch {torch.__version__}, median of {rounds} rounds.",
        ),
    ).publish()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
