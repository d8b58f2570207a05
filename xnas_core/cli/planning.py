"""What a search is up to: its space, its data, and what an evaluation costs on this machine."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xnas_core.api import ArchitectureSearchSpec, load_search, resolve_paths
from xnas_core.api.spec import Checkpoints
from xnas_core.cli.evaluator_side import require_evaluator
from xnas_core.errors import XnasError
from xnas_core.local.describe import DatasetDescription, ask_evaluator, describe_dataset
from xnas_core.plugins import PluginKind, load
from xnas_core.search.acceptance import BENCHMARK_SHAPE
from xnas_core.spaces.base import DataShape, SearchSpace
from xnas_core.spaces.survey import SpaceSurvey, SurveyedNetwork, survey

SIZES = ("smallest", "median", "largest")
_BYTES_PER_PARAMETER = 4
_RESULT_BYTES = 18_000
"""Folders, result.json, table row and share of the journal of one candidate, on a disk with blocks of 4 KiB.

Measured, as the sizes below, with `du` in searches on digits, Fashion-MNIST and a table.
"""
_ROW_BYTES = 19_000
"""The same where a table answers: every evaluation ends a turn, so each has its segments of the journal."""
_GRAPH_BYTES = 1_000
"""The same where the graph answers: no folders, and whole batches in a segment."""
_PANEL_BYTES = 4_500
"""One sample's share of a method's PNG panel; it is stored twice, the second time in the report."""
_REPORT_BYTES = 600_000


@dataclass(frozen=True, slots=True)
class Cost:
    """One evaluation of one network on this machine.

    Attributes:
        train_seconds: all epochs.
        metrics_seconds: the validation pass and the other metrics.
        explain_seconds: test split and explanations, if it ends on the front.
        memory_bytes: peak of the worker process; device_memory_bytes: peak on the accelerator, None on the CPU.
    """

    train_seconds: float
    metrics_seconds: float
    explain_seconds: float
    memory_bytes: int
    device_memory_bytes: int | None

    @property
    def seconds(self) -> float:
        """One evaluation."""
        return self.train_seconds + self.metrics_seconds


@dataclass(frozen=True, slots=True)
class Measured:
    """Costs by size, and what they were measured on.

    Attributes:
        start_seconds: until a worker has loaded its libraries and the data.
    """

    costs: Mapping[str, Cost]
    device: str
    threads: int
    start_seconds: float


@dataclass(frozen=True, slots=True)
class Plan:
    """A search before it starts.

    Attributes:
        evaluations: how many there will be at most; None where the limits do not say.
        seconds: the whole search, from the median network's cost; None where it was not measured or has no end.
        longest_seconds: the same were every network the largest.
        disk_bytes: what the output folder will hold at most, roughly.
    """

    name: str
    spec: ArchitectureSearchSpec
    shape: DataShape
    data: DatasetDescription | None
    survey: SpaceSurvey
    slots: int
    evaluations: int | None
    measured: Measured | None
    seconds: float | None
    longest_seconds: float | None
    disk_bytes: int | None

    def network(self, size: str) -> SurveyedNetwork:
        """Return the smallest, median or largest network."""
        found: SurveyedNetwork = getattr(self.survey, size)
        return found


def make_plan(file: Path, *, slots: int | None, device: str, measure: bool) -> Plan:
    """Look at a search; train three of its networks for a moment if asked.

    Raises:
        InvalidInputError: the file, the data or the device cannot be used.
        XnasError: the measurement failed.
    """
    search = load_search(file)
    spec = resolve_paths(search.spec, file.resolve().parent)
    side_by_side = slots or spec.evaluators.slots_per_evaluator
    if spec.dataset is not None:
        require_evaluator()
    data = describe_dataset(spec)
    shape = data.shape if data else BENCHMARK_SHAPE
    space: SearchSpace = load(PluginKind.SPACE, spec.search_space.name)(spec.search_space.parameters, shape)
    surveyed = survey(space, spec.seed)
    measured = _measure(spec, space, surveyed, side_by_side, device) if measure and spec.dataset is not None else None
    evaluations = evaluation_limit(spec, surveyed.networks)
    median = measured.costs["median"] if measured else None
    largest = measured.costs["largest"] if measured else None
    return Plan(
        name=search.metadata.name,
        spec=spec,
        shape=shape,
        data=data,
        survey=surveyed,
        slots=side_by_side,
        evaluations=evaluations,
        measured=measured,
        seconds=_whole(spec, median, measured, evaluations, side_by_side),
        longest_seconds=_whole(spec, largest, measured, evaluations, side_by_side),
        disk_bytes=disk_estimate(spec, shape, surveyed.median.parameters, evaluations),
    )


def evaluation_limit(spec: ArchitectureSearchSpec, networks: int | None) -> int | None:
    """Return how many evaluations the limits and the space allow; None where only time or stagnation ends it."""
    limits = spec.limits
    generations = limits.max_generations
    bounds = [
        limits.max_evaluations,
        generations * spec.algorithm.population_size if generations is not None else None,
        networks if any((limits.max_evaluations, generations)) else None,
    ]
    known = [bound for bound in bounds if bound is not None]
    return min(known) if known else None


def front_guess(evaluations: int, objectives: int) -> int:
    """Return a size of the final front to reckon with: the square root of the evaluations, more with more objectives.

    Seen in searches on NAS-Bench-201: 48 evaluations gave 5 to 9 members, 1,000 gave 20 to 35.
    """
    return min(evaluations, max(1, round(math.sqrt(evaluations) * max(1, objectives - 1))))


def confirming_trainings(spec: ArchitectureSearchSpec, evaluations: int | None) -> int | None:
    """Return how many trainings it will take, roughly, to train the final front again with other seeds."""
    seeds = spec.confirmation.seeds if spec.confirmation is not None and spec.dataset is not None else 0
    if evaluations is None:
        return None if seeds else 0
    return seeds * front_guess(evaluations, len(spec.objectives))


def disk_estimate(
    spec: ArchitectureSearchSpec, shape: DataShape, parameters: int, evaluations: int | None
) -> int | None:
    """Return the bytes that the output folder will hold at the end, roughly.

    Args:
        parameters: of a network like those that will be kept.
    """
    if evaluations is None:
        return None
    if spec.dataset is None:
        return _REPORT_BYTES + evaluations * (_ROW_BYTES if spec.benchmark is not None else _GRAPH_BYTES)
    front = front_guess(evaluations, len(spec.objectives))
    kept = evaluations if spec.artifacts.checkpoints is Checkpoints.ALL else front
    explained = {"front": front, "all": evaluations, "none": 0}[spec.explanations.scope.value]
    samples = shape.classes * spec.explanations.samples_per_class
    pixels = shape.channels * shape.height * shape.width
    # Stored for each sample: the image (1 byte a value) and its attributions (4); the report holds panels as base64.
    method = samples * (5 * pixels + _PANEL_BYTES + _PANEL_BYTES * 4 // 3)
    return (
        _REPORT_BYTES
        + evaluations * _RESULT_BYTES
        + kept * parameters * _BYTES_PER_PARAMETER
        + explained * len(spec.explanations.methods) * method
    )


def plan_document(plan: Plan) -> dict[str, Any]:
    """Return the plan as a JSON document. Seconds and bytes."""
    costs = plan.measured.costs if plan.measured else {}
    document: dict[str, Any] = {
        "name": plan.name,
        "space": {
            "name": plan.spec.search_space.name,
            "encodings": plan.survey.size,
            "networks": plan.survey.networks,
            "connectedShare": plan.survey.connected_share,
            "exhaustive": plan.survey.exhaustive,
        },
        "data": None,
        "slots": plan.slots,
        "evaluations": plan.evaluations,
        "confirmingTrainings": confirming_trainings(plan.spec, plan.evaluations),
        "networks": {size: _network_document(plan.network(size), costs.get(size)) for size in SIZES},
        "measuredOn": None,
        "searchSeconds": plan.seconds,
        "searchSecondsIfAllLargest": plan.longest_seconds,
        "diskBytes": plan.disk_bytes,
    }
    if plan.data is not None:
        document["data"] = {
            "channels": plan.shape.channels,
            "height": plan.shape.height,
            "width": plan.shape.width,
            "classes": list(plan.data.class_names),
            "train": plan.data.train,
            "validation": plan.data.validation,
            "test": plan.data.test,
            "digest": plan.data.digest,
        }
    if plan.measured is not None:
        document["measuredOn"] = {"device": plan.measured.device, "threads": plan.measured.threads}
    return document


def _network_document(network: SurveyedNetwork, cost: Cost | None) -> dict[str, Any]:
    document: dict[str, Any] = {
        "arch": network.encoding,
        "parameters": network.parameters,
        "macs": network.macs,
        "evaluation": None,
    }
    if cost is not None:
        document["evaluation"] = {
            "trainSeconds": cost.train_seconds,
            "metricsSeconds": cost.metrics_seconds,
            "explainSeconds": cost.explain_seconds,
            "memoryBytes": cost.memory_bytes,
            "deviceMemoryBytes": cost.device_memory_bytes,
        }
    return document


def _whole(
    spec: ArchitectureSearchSpec, cost: Cost | None, measured: Measured | None, evaluations: int | None, slots: int
) -> float | None:
    """Return the seconds of the whole search, were every network like this one."""
    if cost is None or measured is None or evaluations is None:
        return None
    trained = evaluations + (confirming_trainings(spec, evaluations) or 0)
    explained = {"front": front_guess(evaluations, len(spec.objectives)), "all": evaluations, "none": 0}
    work = trained * cost.seconds + explained[spec.explanations.scope.value] * cost.explain_seconds
    return measured.start_seconds + work / min(slots, evaluations)


def _measure(
    spec: ArchitectureSearchSpec, space: SearchSpace, surveyed: SpaceSurvey, slots: int, device: str
) -> Measured:
    networks: dict[str, SurveyedNetwork] = {size: getattr(surveyed, size) for size in SIZES}
    question = {
        "spec": spec.to_document(),
        "graphs": {size: space.graph(network.genes).to_document() for size, network in networks.items()},
        "device": device,
        "slots": slots,
    }
    answer = ask_evaluator("xnas_evaluator.measure", question)
    try:
        costs = {
            size: Cost(
                float(found["trainSeconds"]),
                float(found["metricsSeconds"]),
                float(found["explainSeconds"]),
                int(found["memoryBytes"]),
                None if found["deviceMemoryBytes"] is None else int(found["deviceMemoryBytes"]),
            )
            for size, found in answer["networks"].items()
        }
        return Measured(costs, str(answer["device"]), int(answer["threads"]), float(answer["startSeconds"]))
    except (KeyError, TypeError, ValueError) as error:
        raise XnasError(f"the evaluator described its measurement in an unknown way: {error}") from error
