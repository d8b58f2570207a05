"""The way from `kubectl apply` to the first evaluation, in parts that add up."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from itertools import pairwise

PARTS = (
    "apply to Job",
    "Job to pod",
    "pod to scheduled",
    "scheduled to container started",
    "container started to evaluator connected",
    "connected to accepted",
    "accepted to assigned",
    "assigned to working",
)
TOTAL = "apply to first evaluation running"


@dataclass(frozen=True)
class Moments:
    """Seconds since the epoch, in the order in which things happen."""

    asked: float
    job: float
    pod: float
    scheduled: float
    started: float
    connected: float
    accepted: float
    assigned: float
    working: float

    @property
    def seconds(self) -> Sequence[float]:
        """Duration of each of PARTS. Clocks of several machines can make one slightly negative."""
        times: tuple[float, ...] = astuple(self)
        return [after - before for before, after in pairwise(times)]

    @property
    def total(self) -> float:
        """Seconds from the command to work."""
        return self.working - self.asked


def rows(runs: Sequence[Moments]) -> list[list[str]]:
    """Return part, median and worst of each part and of the whole, in seconds."""
    columns = [*zip(*(run.seconds for run in runs), strict=True), tuple(run.total for run in runs)]
    return [
        [name, f"{statistics.median(values):.2f}", f"{max(values):.2f}"]
        for name, values in zip([*PARTS, TOTAL], columns, strict=True)
    ]
