"""Explainers: time beside one backward pass over the same images, and what autograd keeps within the memory budget.

A backward pass is what the simplest of them needs: the gradient of the class scores with respect to the pixels. Both
are timed in turn, several times, as CPU time of one thread; the ratio is the median over the rounds.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from benchmarks.cells import network
from benchmarks.results_table import Table
from xnas_core.plugins import PluginKind, load, names
from xnas_core.spaces.base import DataShape
from xnas_core.spaces.mobile import Mobile
from xnas_evaluator.explain import NotApplicableError
from xnas_evaluator.explain.base import undisturbed
from xnas_evaluator.explain.budget import BUDGET_BYTES
from xnas_evaluator.networks.build import build
from xnas_evaluator.testing_memory import kept_by_autograd
from xnas_evaluator.training.settings import prepare

IMAGES = 20
_TIMED = 5
"""Backward passes that are timed together: one is too short for the clock."""


def _mobile(shape: DataShape) -> nn.Module:
    """Return a network with squeeze-excitation in every block."""
    space = Mobile({"stages": 2}, shape)
    return build(space.graph(space.decode("d2-w16-k3-e3-se/d2-w32-k3-e3-se")), 1)


def _networks() -> dict[str, tuple[nn.Module, DataShape]]:
    small, large = DataShape(1, 8, 8, 10), DataShape(3, 32, 32, 10)
    return {
        "mixed cell, 8 channels, 8x8x1": (network("mixed", 8, small), small),
        "mixed cell, 16 channels, 32x32x3": (network("mixed", 16, large), large),
        "mobile with squeeze-excitation, 32x32x3": (_mobile(large), large),
    }


def _backward(net: nn.Module, images: Tensor, classes: Tensor, times: int = 1) -> None:
    with undisturbed(net):
        for _ in range(times):
            leaf = images.detach().requires_grad_()
            torch.autograd.grad(net(leaf).gather(1, classes[:, None]).sum(), leaf)


def _seconds(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def _measured(method: str, net: nn.Module, images: Tensor, classes: Tensor, rounds: int) -> tuple[str, str]:
    """Return the ratio and MiB kept, as printed."""
    explainer = load(PluginKind.EXPLAINER, method)()
    try:
        with kept_by_autograd(net) as kept:
            explainer.explain(net, images, classes, 1)
    except NotApplicableError:
        return "not applicable", ""
    ratios = []
    for _ in range(rounds):
        single = _seconds(lambda: _backward(net, images, classes, _TIMED)) / _TIMED
        ratios.append(_seconds(lambda: explainer.explain(net, images, classes, 1)) / single)
    return f"{statistics.median(ratios):.1f}", f"{kept.peak_bytes / 2**20:.1f}"


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print and write the table; return 0."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="explanations by each method (default 5)")
    rounds = parser.parse_args(argv).rounds
    prepare("cpu", 1)
    cells: dict[str, list[str]] = {method: [] for method in names(PluginKind.EXPLAINER)}
    columns = ["method"]
    for name, (net, shape) in _networks().items():
        source = torch.Generator().manual_seed(0)
        images = torch.randn(IMAGES, shape.channels, shape.height, shape.width, generator=source)
        classes = torch.arange(IMAGES) % shape.classes
        _backward(net, images, classes)
        columns += [f"{name}: backward passes", f"{name}: kept (MiB)"]
        for method, row in cells.items():
            row.extend(_measured(method, net, images, classes, rounds))
    Table(
        "explainers",
        f"Explainers: time of {IMAGES} images in backward passes over the same images, CPU time of one thread",
        columns,
        [(method, *row) for method, row in cells.items()],
        (
            f"Kept: the most that autograd held at once, default budget {BUDGET_BYTES // 2**20} MiB.",
            f"PyTorch {torch.__version__}, default settings, median of {rounds} rounds.",
        ),
    ).publish()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
