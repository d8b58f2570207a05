"""A made-up search that looks like a real one, for tests of tables, report and command line.

Nothing is trained. Parameters and multiply-accumulates follow NAS-Bench-201's exact formulas (Dong & Yang 2020,
network of five cells a stage, 16 channels, 32x32 input); accuracy and introspectability are smooth functions of the
cell with noise that is seeded by the architecture, chosen so that the two conflict, as they do in measurements. The
candidates come from a small evolution, so parents, generations and front fit together.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean, stdev

import moocore
import numpy as np

from xnas_core.api.spec import ArchitectureSearchSpec
from xnas_core.artifacts.keys import SIDE_BY_SIDE, explanation
from xnas_core.objectives import to_minimise
from xnas_core.plugins import PluginKind, load
from xnas_core.search.view import (
    AttemptRecord,
    CandidateRecord,
    CandidateState,
    HypervolumePoint,
    SearchState,
    SearchView,
    StoredArtifact,
)
from xnas_core.spaces.base import DataShape, SearchSpace
from xnas_core.tasks import TaskKind, attempt_prefix, candidate_id, generator
from xnas_core.testing.sample_panel import panel

_OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
_EDGES = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))
_PATHS = ((3,), (0, 4), (1, 5), (0, 2, 5))
_START = 1_790_000_000.0
_SECONDS = 41.0
_METHODS = ("integratedGradients", "gradCam")
_OBJECTIVES = {
    "accuracy": {"name": "accuracy", "direction": "maximize"},
    "introspectability": {"name": "introspectability", "direction": "maximize", "reference": 0.0},
    "macs": {"name": "macs", "direction": "minimize"},
    "latency_ms": {"name": "latency_ms", "direction": "minimize"},
}
_REFERENCE = {"accuracy": 0.1, "introspectability": 0.0, "macs": 240e6, "latency_ms": 40.0}
_FAILURES = (
    ("NonFinite", "the loss became NaN in epoch 3 of 12"),
    ("OutOfMemory", "the worker went over its memory limit of 4.0 GiB"),
    ("DeadlineExceeded", "evaluationDeadlineSeconds (3600) passed in epoch 9 of 12"),
)

Operations = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class SampleSearch:
    """A made-up search: the view, and `read`, which gives the content of an artifact by its key."""

    view: SearchView
    read: Callable[[str], bytes]


@dataclass(slots=True)
class _Run:
    """The evolution while it is made up."""

    spec: ArchitectureSearchSpec
    space: SearchSpace
    reference: tuple[float, ...]
    records: list[CandidateRecord] = field(default_factory=list)
    cells: dict[str, Operations] = field(default_factory=dict)
    points: list[tuple[float, ...]] = field(default_factory=list)
    """Objectives of the front so far, in the sign under which smaller is better."""
    members: list[int] = field(default_factory=list)
    history: list[HypervolumePoint] = field(default_factory=list)
    volume: float = 0.0
    contents: dict[str, bytes] = field(default_factory=dict)


def sample_search(
    candidates: int = 500,
    *,
    objectives: Sequence[str] = ("accuracy", "introspectability"),
    seed: int = 7,
    population: int = 32,
    state: SearchState = SearchState.COMPLETE,
    finished: bool = True,
    benchmark: bool = False,
    confirmed: int = 0,
) -> SampleSearch:
    """Return a made-up search; the same arguments give the same search.

    Args:
        candidates: how many were proposed; at most 15,000.
        objectives: any of accuracy, introspectability, macs, latency_ms.
        seed: of everything random.
        population: candidates in a generation.
        state: of the search; anything but Complete leaves the last three candidates unfinished and explains none.
        finished: False: no candidate has finished yet.
        benchmark: a search on a table: no attributions, no training.
        confirmed: seeds with which front members were trained again.
    """
    if not 0 <= candidates <= 15_000:
        raise ValueError(f"candidates must be 0 to 15,000, not {candidates}")
    shape = DataShape(3, 32, 32, 10)
    spec = _spec(objectives, seed, candidates, population, benchmark)
    space: SearchSpace = load(PluginKind.SPACE, spec.search_space.name)(spec.search_space.parameters, shape)
    run = _Run(spec, space, tuple(_REFERENCE[name] for name in objectives))
    for number in range(candidates):
        pending = not finished or (state is not SearchState.COMPLETE and number >= candidates - 3)
        _add(run, number, population, pending=pending)
    _finalise(run, explained=state is SearchState.COMPLETE and not benchmark)
    _confirm(run, confirmed)
    return SampleSearch(_view(run, state, shape), run.contents.__getitem__)


def _spec(
    objectives: Sequence[str], seed: int, candidates: int, population: int, benchmark: bool
) -> ArchitectureSearchSpec:
    document = {
        "seed": seed,
        "searchSpace": {"name": "nas-bench-201", "parameters": {"cellsPerStage": 5, "channels": 16}},
        "objectives": [_OBJECTIVES[name] for name in objectives],
        "algorithm": {"populationSize": population, "mutation": {"probability": 0.17}},
        "limits": {"maxEvaluations": max(1, candidates)},
    }
    if benchmark:
        document["benchmark"] = {"table": "nb201.csv.gz"}
    else:
        document["dataset"] = {"name": "cifar10"}
        document["training"] = {"epochs": 12, "augmentation": ["crop", "flip", "cutout"]}
    # By way of JSON, as from a file: strict models take enum values from there only.
    return ArchitectureSearchSpec.model_validate(document, strict=False)


def _add(run: _Run, number: int, population: int, *, pending: bool) -> None:
    rng = generator(run.spec.seed, "sample", number)
    parents, operators, cell = _propose(run, number - number % population, rng)
    identity = candidate_id(_encoding(cell))
    run.cells[identity] = cell
    benchmark = run.spec.benchmark is not None
    evaluated = _metrics(cell, benchmark)
    state, failed, retried = _fate(number, rng.random(), pending)
    done = state is CandidateState.SUCCEEDED
    started = _START + _SECONDS * number
    history = _history(started, number, failed, retried, pending, benchmark)
    metrics = {name: value for name, value in evaluated.items() if done or name in ("parameters", "macs")}
    accuracy = evaluated["accuracy"]
    record = CandidateRecord(
        id=identity,
        number=number,
        genes=run.space.decode(_encoding(cell)),
        arch=_encoding(cell),
        generation=number // population,
        parents=parents,
        operators=operators,
        state=state,
        attempts=len(history),
        metrics=metrics,
        errors={"accuracy": math.sqrt(accuracy * (1 - accuracy) / 5000)} if done else {},
        objectives=tuple(metrics.get(objective.name) if done else None for objective in run.spec.objectives),
        violation=0.0,
        on_front=False,
        timings={"train_seconds": evaluated["train_seconds"], "metrics_seconds": 2.25} if done else {},
        artifacts=_evaluated_artifacts(run, identity, len(history)) if done else (),
        environment={"device": "cpu", "torch": "2.15.0", "threads": "2"} if done else {},
        history=history,
        failure=f"{history[-1].outcome}: {history[-1].message}" if failed else "",
        proposed_at=started,
        finished_at=history[-1].ended if done or failed else None,
    )
    run.records.append(record)
    if done or failed:
        _score(run, record)


def _fate(number: int, chance: float, pending: bool) -> tuple[CandidateState, bool, bool]:
    """Return the state of a candidate, whether it failed for good, and whether an attempt of it was retried."""
    if pending:
        return (CandidateState.RUNNING if number % 3 else CandidateState.PROPOSED), False, False
    if chance < 0.012:
        return CandidateState.FAILED, True, False
    return CandidateState.SUCCEEDED, False, chance < 0.05


def _propose(run: _Run, start: int, rng: np.random.Generator) -> tuple[tuple[str, ...], tuple[str, ...], Operations]:
    """Return parents, operators and a connected cell that is new; `start`: number of the generation's first."""
    parents: tuple[str, ...] = ()
    operators: tuple[str, ...] = ()
    recent = [r for r in run.records[max(0, start - 48) : start] if r.state is CandidateState.SUCCEEDED]
    pool = [run.records[i] for i in run.members if i < start] + recent
    for tries in range(10_000):
        cell = tuple(int(g) for g in rng.integers(0, 5, 6))
        if start and len(pool) > 1 and tries < 40:
            left, right = (pool[int(i)] for i in rng.choice(len(pool), 2, replace=False))
            mask = rng.random(6) < 0.5
            crossed = np.where(mask, run.cells[left.id], run.cells[right.id])
            cell = tuple(int(g) for g in np.where(rng.random(6) < 0.25, cell, crossed))
            parents, operators = (left.id, right.id), ("uniform", "mutation")
        elif start:
            parents, operators = (), ("random",)
        connected = any(all(cell[edge] for edge in path) for path in _PATHS)
        if connected and candidate_id(_encoding(cell)) not in run.cells:
            return tuple(dict.fromkeys(parents)), operators, cell
    raise ValueError("the space is used up; ask for fewer candidates")


def _encoding(cell: Operations) -> str:
    parts = [f"{_OPERATIONS[op]}~{edge[0]}" for op, edge in zip(cell, _EDGES, strict=True)]
    return f"|{parts[0]}|+|{parts[1]}|{parts[2]}|+|{parts[3]}|{parts[4]}|{parts[5]}|"


def _metrics(cell: Operations, benchmark: bool) -> dict[str, float]:
    ones, threes, pools = cell.count(2), cell.count(3), cell.count(4)
    live = [path for path in _PATHS if all(cell[edge] for edge in path)]
    convolutions = max(sum(cell[edge] in (2, 3) for edge in path) for path in live)
    rng = generator("sample-noise", _encoding(cell))
    quality = 0.9 * threes + 0.45 * ones + 0.5 * convolutions + 0.35 * len(live) - 0.4 * pools
    accuracy = min(0.941, 0.93 - 0.62 * math.exp(-0.62 * max(0.0, quality)) + rng.normal(0, 0.006))
    spread = 0.62 - 0.085 * threes - 0.03 * ones - 0.05 * len(live) + 0.05 * (convolutions == 1)
    metrics = {
        "accuracy": accuracy,
        "introspectability": max(0.02, spread + rng.normal(0, 0.03)),
        "parameters": 73_306 + 28_000 * ones + 243_040 * threes,
        "macs": round(1e6 * (7.78305 + 3.93216 * ones + 35.38944 * threes)),
        "train_seconds": 14 + 3.1 * ones + 9.4 * threes + 1.2 * pools + rng.gamma(2, 0.6),
    }
    if not benchmark:
        metrics["loss"] = 0.11 + 2.1 * (1 - accuracy) ** 1.1
        metrics["latency_ms"] = 6 + 1.9 * ones + 4.4 * threes + rng.gamma(2, 0.15)
        metrics["generalization_gap"] = 0.012 + 0.02 * threes / 6 + rng.normal(0, 0.004)
    return {name: float(value) for name, value in metrics.items()}


def _history(
    started: float, number: int, failed: bool, retried: bool, pending: bool, benchmark: bool
) -> tuple[AttemptRecord, ...]:
    length = 0.02 if benchmark else 38.5
    outcomes: list[tuple[str, str]] = []
    if failed:
        reason, message = _FAILURES[number % 3]
        outcomes = [(reason, message)] * (1 if reason == "NonFinite" else 4)
    elif retried:
        outcomes = [("WorkerCrashed", "the worker ended by signal 11 (SIGSEGV)") if number % 2 else ("RunStopped", "")]
    if not failed and not pending:
        outcomes.append(("succeeded", ""))
    if pending and number % 3:
        outcomes.append(("running", ""))
    return tuple(
        AttemptRecord(
            task=TaskKind.EVALUATE,
            attempt=index + 1,
            evaluator=f"evaluator-{number % 2}",
            started=started + index * length,
            ended=None if outcome == "running" else started + (index + 1) * length,
            outcome=outcome,
            message=message,
        )
        for index, (outcome, message) in enumerate(outcomes)
    )


def _score(run: _Run, record: CandidateRecord) -> None:
    """Bring front and hypervolume up to date with one more finished candidate."""
    directions = [objective.direction for objective in run.spec.objectives]
    values = [value for value in record.objectives if value is not None]
    if len(values) == len(directions):
        point = tuple(to_minimise(value, way) for value, way in zip(values, directions, strict=True))
        if not any(_dominates(other, point) or other == point for other in run.points):
            kept = [i for i, other in enumerate(run.points) if not _dominates(point, other)]
            run.points = [*(run.points[i] for i in kept), point]
            run.members = [*(run.members[i] for i in kept), record.number]
            reference = [to_minimise(value, way) for value, way in zip(run.reference, directions, strict=True)]
            run.volume = float(moocore.hypervolume(np.array(run.points), ref=reference))
    run.history.append(HypervolumePoint(len(run.history) + 1, run.volume, len(run.members)))


def _dominates(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    return all(x <= y for x, y in zip(a, b, strict=True)) and a != b


def _stored(key: str, content: bytes) -> StoredArtifact:
    return StoredArtifact(key, len(content), hashlib.sha256(content).hexdigest())


def _evaluated_artifacts(run: _Run, identity: str, attempt: int) -> tuple[StoredArtifact, ...]:
    if run.spec.benchmark is not None:
        return ()
    prefix = attempt_prefix(identity, TaskKind.EVALUATE, attempt)
    # Only sizes and digests count here; the content itself is never read.
    return tuple(
        StoredArtifact(prefix + name, size, hashlib.sha256(f"{prefix}{name}".encode()).hexdigest())
        for name, size in (("checkpoint.json", 1_204), ("checkpoint.safetensors", 4_312_068))
    )


def _finalise(run: _Run, *, explained: bool) -> None:
    """Mark the front and, where the search is complete, add test scores and attributions."""
    for index in run.members:
        record = run.records[index]
        artifacts = list(record.artifacts)
        metrics = dict(record.metrics)
        errors = dict(record.errors)
        history = list(record.history)
        if explained:
            test = max(0.0, metrics["accuracy"] - 0.004)
            metrics["test_accuracy"], errors["test_accuracy"] = test, math.sqrt(test * (1 - test) / 10_000)
            metrics["completeness_delta"] = 0.0021
            prefix = attempt_prefix(record.id, TaskKind.FINALISE, 1)
            for offset, name in enumerate((*(explanation(method, ".png") for method in _METHODS), SIDE_BY_SIDE)):
                key = prefix + name
                run.contents[key] = panel(index * 3 + offset)
                artifacts.append(_stored(key, run.contents[key]))
            end = _START + _SECONDS * len(run.records)
            history.append(AttemptRecord(TaskKind.FINALISE, 1, "evaluator-0", end, end + 3, "succeeded", ""))
        run.records[index] = replace(
            record, on_front=True, artifacts=tuple(artifacts), metrics=metrics, errors=errors, history=tuple(history)
        )


def _confirm(run: _Run, seeds: int) -> None:
    """Add what front members gave with other seeds: a little worse on average, as a front is picked from noise."""
    for index in run.members if seeds else ():
        record = run.records[index]
        rng = generator("sample-confirm", record.id)
        metrics: dict[str, float] = {"confirmed_seeds": float(seeds)}
        errors: dict[str, float] = {}
        for objective, value in zip(run.spec.objectives, record.objectives, strict=True):
            values = [(value or 0.0) - 0.004 + float(rng.normal(0, 0.005)) for _ in range(seeds)]
            name = f"confirmed_{objective.name}"
            metrics |= {f"{name}_{k}": v for k, v in enumerate(values, start=1)} | {f"{name}_mean": fmean(values)}
            if seeds > 1:
                metrics[f"{name}_deviation"] = stdev(values)
                errors[f"{name}_mean"] = stdev(values) / math.sqrt(seeds)
        run.records[index] = replace(record, metrics={**record.metrics, **metrics}, errors={**record.errors, **errors})


def _view(run: _Run, state: SearchState, shape: DataShape) -> SearchView:
    directions = [objective.direction for objective in run.spec.objectives]

    def key(record: CandidateRecord) -> tuple[float, str]:
        return to_minimise(record.objectives[0] or 0.0, directions[0]), record.id

    reason, message = {
        SearchState.COMPLETE: ("MaxEvaluations", f"{len(run.history)} evaluations are done"),
        SearchState.FAILED: ("TooManyFailures", "51 candidates failed for good; maxFailedEvaluations is 50"),
        SearchState.SUSPENDED: ("Suspended", "suspended by the user; run the same command again to go on"),
    }.get(state, ("", ""))
    over = state in (SearchState.COMPLETE, SearchState.FAILED)
    return SearchView(
        search_id="3f0c2f5e-6d0a-4a53-9a0e-5f6f2b1f7c11",
        name="sample",
        spec=run.spec,
        data_shape=shape,
        state=state,
        reason=reason,
        message=message,
        generation=run.records[-1].generation if run.records else 0,
        candidates=tuple(run.records),
        front=tuple(record.id for record in sorted((run.records[i] for i in run.members), key=key)),
        reference_point=run.reference if run.history else None,
        hypervolume=run.volume,
        history=tuple(run.history),
        started_at=_START - 3,
        finished_at=_START + _SECONDS * len(run.records) + 12 if over else None,
        versions={"xnas": "0.1.0", "python": "3.11.9", "numpy": "2.3.1", "pymoo": "0.6.2", "torch": "2.15.0"},
    )
