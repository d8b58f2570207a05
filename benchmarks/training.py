"""Training speed: an epoch of our loop beside the bare loop on one batch, and beside a plain DataLoader.

All three train the same network in the same memory layout on one thread and see the same number of images; an epoch
of each is timed in turn, several times, and the ratio is the median over the rounds. On the CPU, what is timed is the
process's CPU time: it equals the wall-clock time of one thread on an idle machine, and bears neighbours on a busy one.
With `--device cuda` it is wall-clock time, until the device is idle.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
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
from xnas_evaluator.training.settings import Arithmetic, arithmetic, prepare

GOAL = 0.97


@dataclass(frozen=True)
class Setting:
    """Data and network size of a row."""

    name: str
    shape: DataShape
    channels: int
    batch_size: int
    samples: int
    cells_per_stage: int = 1


SETTINGS: Mapping[str, Sequence[Setting]] = {
    "cpu": (
        Setting("8x8x1, 8 channels", DataShape(1, 8, 8, 10), 8, 64, 1152),
        Setting("32x32x3, 16 channels", DataShape(3, 32, 32, 10), 16, 128, 1024),
    ),
    "cuda": (
        Setting("28x28x1, 8 channels", DataShape(1, 28, 28, 10), 8, 128, 12800),
        Setting("32x32x3, 16 channels, 5 cells a stage", DataShape(3, 32, 32, 10), 16, 256, 12800, 5),
    ),
}


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


def _epoch(
    net: nn.Module, optimiser: torch.optim.Optimizer, batches: Iterable[Sequence[Tensor]], numbers: Arithmetic
) -> None:
    """Forward, backward and step on each batch: nothing else."""
    net.train()
    for pixels, labels in batches:
        images_ = pixels.to(numbers.device, non_blocking=True).contiguous(memory_format=torch.channels_last)
        optimiser.zero_grad(set_to_none=True)
        with numbers.autocast():
            loss = F.cross_entropy(net(images_), labels.to(numbers.device, non_blocking=True))
        torch.autograd.backward(loss)
        optimiser.step()


def _contenders(cell: str, setting: Setting, device: str) -> dict[str, Callable[[], object]]:
    """Return one epoch of each way to train, by name."""
    data = images(setting.shape, setting.samples, device=device)
    numbers = arithmetic(device, Precision.AUTO)
    spec = TrainingSpec.model_validate(
        {"epochs": 1000, "batchSize": setting.batch_size, "augmentation": ["crop", "flip", "cutout"]}, strict=False
    )
    ours, bare, loaded = (
        network(cell, setting.channels, setting.shape, setting.cells_per_stage).to(device) for _ in range(3)
    )
    trainer = Trainer(ours, data, spec, 1, numbers)
    bare_optimiser, loaded_optimiser = (
        torch.optim.SGD(net.parameters(), 0.01, 0.9, weight_decay=0.0005, nesterov=True, fused=True)
        for net in (bare, loaded)
    )
    resident = data.normalise(data.train.images[: setting.batch_size]), data.train.labels[: setting.batch_size]
    steps = setting.samples // setting.batch_size
    # On a GPU the images are transformed in worker processes, as one would; on one core there is nobody else to do it.
    workers = 0 if device == "cpu" else 8
    loader = DataLoader(
        _Transformed(images(setting.shape, setting.samples)),
        setting.batch_size,
        shuffle=True,
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=device == "cuda",
    )
    return {
        "ours": trainer.run_epoch,
        "bare": lambda: _epoch(bare, bare_optimiser, [resident] * steps, numbers),
        "loader": lambda: _epoch(loaded, loaded_optimiser, loader, numbers),
    }


def measure(cell: str, setting: Setting, rounds: int, device: str) -> dict[str, list[float]]:
    """Return seconds of an epoch, by contender, for each round."""
    contenders = _contenders(cell, setting, device)
    for epoch in contenders.values():
        epoch()
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(rounds):
        names = list(contenders)
        # Whoever comes first in a round differs, so that a machine that slows down is unfair to nobody.
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            started = _now(device)
            contenders[name]()
            seconds[name].append(_now(device) - started)
    return seconds


def _now(device: str) -> float:
    """Return the seconds of this process on the CPU, or those of the clock once the GPU has done its work."""
    if device == "cpu":
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print and write the table; return 0."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="epochs of each contender (default 5)")
    parser.add_argument("--device", choices=sorted(SETTINGS), default="cpu")
    options = parser.parse_args(argv)
    rounds, device = options.rounds, options.device
    prepare(device, 1)
    rows, of_bare = [], []
    for setting in SETTINGS[device]:
        for cell in CELLS:
            seconds = measure(cell, setting, rounds, device)
            rate = {name: setting.samples / statistics.median(times) for name, times in seconds.items()}
            ratio = {
                name: statistics.median(b / a for a, b in zip(seconds["ours"], seconds[name], strict=True))
                for name in ("bare", "loader")
            }
            of_bare.append(ratio["bare"])
            numbers = (f"{rate['ours']:.0f}", f"{rate['bare']:.0f}", f"{rate['loader']:.0f}")
            rows.append((setting.name, cell, *numbers, f"{ratio['bare']:.3f}", f"{ratio['loader']:.2f}"))
    met = "met" if min(of_bare) >= GOAL else "missed"
    cuda = device == "cuda"
    place = f"images per second on {torch.cuda.get_device_name()}" if cuda else "images per CPU second, one thread"
    Table(
        "training_cuda" if cuda else "training",
        f"Training: {place}; crop, flip and cut-out on",
        ("images and network", "cell", "XNAS", "bare loop", "DataLoader", "XNAS / bare", "XNAS / DataLoader"),
        rows,
        (
            f"Goal: at least {GOAL} of the bare loop; lowest {min(of_bare):.3f}, "
            f"median {statistics.median(of_bare):.3f}: {met}.",
            "Bare loop: forward, backward and step on one resident batch.",
            f"DataLoader: torchvision transforms on PIL images, in {'8 worker processes' if cuda else 'this process'}.",
            f"Arithmetic: {arithmetic(device, Precision.AUTO).dtype}.",
            f"PyTorch {torch.__version__}, median of {rounds} rounds.",
        ),
    ).publish()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
