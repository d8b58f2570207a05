"""A search whose candidates come from the workshop: the engine in this process, without journal and dispatch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.experiments.setting import PLAIN, Setting, Variant, document
from benchmarks.experiments.workshop import Trained, Workshop
from xnas_core.search.engine import Engine
from xnas_core.search.events import AttemptStarted, Started, Succeeded
from xnas_core.search.front import FrontArchive
from xnas_core.tasks import TaskKind

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Arm:
    """One way to search.

    Attributes:
        title: in tables and figures.
        objectives: metrics that the search maximises.
        most_futile: largest `futile_share` that a candidate may have; None: no constraint.
    """

    title: str
    objectives: tuple[str, ...] = ("accuracy", "introspectability")
    algorithm: str = "nsga2"
    variant: Variant = PLAIN
    most_futile: float | None = None


@dataclass(frozen=True)
class Found:
    """A finished search: its candidates in the order in which they were evaluated, and its front."""

    arm: Arm
    seed: int
    candidates: tuple[Trained, ...]
    front: tuple[Trained, ...]

    def values(self, name: str) -> Floats:
        """Return a metric of all candidates; NaN where it is undefined."""
        return np.array([candidate.metrics.get(name, np.nan) for candidate in self.candidates])


def search(workshop: Workshop, arm: Arm, seed: int) -> Found:
    """Run one search to its end.

    Raises:
        SittingOverError: the sitting's time is used up; the same call goes on where it was.
    """
    setting = workshop.setting
    started = Started(
        time=0.0,
        search_id=f"{arm.title}-{seed}",
        spec=_spec(setting, arm, seed),
        spec_digest="",
        data_shape=astuple(setting.shape),
        versions={},
    )
    engine = Engine(started)
    while engine.finished is None:
        for decision in engine.decide(1, 0.0):
            engine.handle(decision)
        for ref in engine.runnable(1):
            place: dict[str, Any] = {"time": 0.0, "task": ref.kind, "candidate": ref.candidate, "attempt": 1}
            metrics = {}
            if ref.kind is TaskKind.EVALUATE:
                metrics = dict(workshop.trained(arm.variant, engine.by_id[ref.candidate].genes).metrics)
            engine.handle(AttemptStarted(**place, evaluator="workshop", task_id=f"{ref.kind}-{ref.candidate}"))
            engine.handle(Succeeded(**place, metrics=metrics))
    trained = [workshop.trained(arm.variant, candidate.genes) for candidate in engine.candidates]
    return Found(arm, seed, tuple(trained), tuple(trained[number] for number in engine.archive.keys))


def hypervolumes(found: Found, objectives: Sequence[str], reference: Sequence[float]) -> Floats:
    """Return the hypervolume of all candidates evaluated so far, after each of them; all metrics are maximised."""
    archive = FrontArchive(len(objectives))
    archive.set_reference(-np.array(reference, dtype=np.float64))
    volumes = []
    for number, candidate in enumerate(found.candidates):
        point = np.array([candidate.metrics.get(name, np.nan) for name in objectives])
        if not np.isnan(point).any():
            archive.insert(number, -point)
        volumes.append(archive.hypervolume)
    return np.array(volumes)


def _spec(setting: Setting, arm: Arm, seed: int) -> dict[str, Any]:
    references = {"introspectability": 0.0, "introspectability_live": 0.0}
    objectives = [
        {"name": name, "direction": "maximize", **({"reference": references[name]} if name in references else {})}
        for name in arm.objectives
    ]
    whole = document(setting, arm.variant)
    further = [metric for metric in whole.get("metrics", ()) if metric["name"] not in arm.objectives]
    return {
        **whole,
        "metrics": further,
        "seed": seed,
        "objectives": objectives,
        "constraints": [] if arm.most_futile is None else [{"metric": "futile_share", "max": arm.most_futile}],
        "algorithm": {"name": arm.algorithm, "populationSize": setting.population},
        "limits": {"maxEvaluations": setting.evaluations},
        "explanations": {"scope": "none"},
    }
