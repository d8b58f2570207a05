"""`python -m xnas_evaluator.measure`: what one evaluation costs on this machine, for `xnas plan`.

Reads {"spec": accepted spec, "graphs": {name: graph document}, "device": "auto" | "cpu" | "cuda", "slots": n} from
standard input. Prints {"device", "threads", "startSeconds", "networks": {name: {"trainSeconds", "metricsSeconds",
"explainSeconds", "memoryBytes", "deviceMemoryBytes"}}}; on an error {"error", "reason"} with exit code 1.

Each network is trained for a few real steps and measured by the code that evaluations run; what takes long is done on a
part of the data and scaled up. Memory is the peak of this process, which holds what a worker holds; so give the graphs
from the smallest to the largest.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from xnas_core.api.explainer_parameters import by_name
from xnas_core.api.explaining import ExplanationScope
from xnas_core.api.spec import ArchitectureSearchSpec
from xnas_core.errors import InvalidInputError
from xnas_core.graph import Graph
from xnas_core.tasks import Artifact, Assignment, TaskKind
from xnas_evaluator.answering import answer
from xnas_evaluator.datasets.cache import default_cache

ENOUGH_SECONDS = 2.0
"""How long each part is measured; a single step may take longer."""
FEW = 256
"""Samples of the part that long passes are measured on."""
MANY_SECONDS = 10.0
"""What takes longer is done only once."""
WARM_UP = 32
"""Samples of the step that only warms up."""
_DIGEST = "0" * 64


@dataclass
class DiscardingContext:
    """A task's world that keeps nothing (`TaskContext`)."""

    assignment: Assignment
    spec: ArchitectureSearchSpec
    device: str
    threads: int
    cache: Path = field(default_factory=default_cache)

    def progress(self, epoch: int, epochs: int, step: str = "", metrics: Mapping[str, float] | None = None) -> None:
        """Nobody listens."""

    def put(self, name: str, data: bytes) -> Artifact:
        """Forget the object."""
        return Artifact(name=name, size=len(data), sha256=_DIGEST)

    def get(self, kind: TaskKind, attempt: int, name: str) -> bytes | None:
        """There is nothing."""
        del kind, attempt, name
        return None

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Nobody else computes here."""
        yield


def measure_costs(document: dict[str, Any]) -> dict[str, Any]:
    """Return what the module's docstring says.

    Raises:
        InvalidInputError: the question, the data or a network cannot be used.
    """
    from xnas_evaluator.agent.machine import cores
    from xnas_evaluator.resident import device_data
    from xnas_evaluator.training.settings import arithmetic, prepare

    began = time.perf_counter()
    try:
        spec = ArchitectureSearchSpec.model_validate_json(json.dumps(document["spec"]))
        graphs = {str(name): Graph.from_document(graph) for name, graph in document["graphs"].items()}
        slots = int(document["slots"])
        device = _device(str(document["device"]))
    except (KeyError, TypeError, ValueError, ValidationError) as error:
        raise InvalidInputError(f"not a question about costs: {error}") from error
    if spec.dataset is None:
        raise InvalidInputError("the search trains nothing, so there is nothing to measure")
    threads = spec.training.threads or max(1, cores() // max(1, slots))
    prepare(device, threads)
    arithmetic(device, spec.training.precision)
    device_data(spec.dataset, spec.seed, default_cache(), device)
    context = DiscardingContext(_assignment(), spec, device, threads)
    start = time.perf_counter() - began
    return {
        "device": device,
        "threads": threads,
        "startSeconds": start,
        "networks": {name: _cost(context, graph) for name, graph in graphs.items()},
    }


def _device(asked: str) -> str:
    import torch

    if asked not in ("auto", "cpu", "cuda"):
        raise InvalidInputError(f"unknown device {asked!r}: use auto, cpu or cuda")
    cuda = torch.cuda.is_available()
    if asked == "cuda" and not cuda:
        raise InvalidInputError("there is no CUDA device here; use --device cpu or auto")
    return "cuda" if cuda and asked != "cpu" else "cpu"


def _cost(context: DiscardingContext, graph: Graph) -> dict[str, Any]:
    import torch

    from xnas_evaluator.evaluate import check_fit
    from xnas_evaluator.networks.build import build
    from xnas_evaluator.resident import device_data
    from xnas_evaluator.training.settings import arithmetic

    spec = context.spec
    if spec.dataset is None:
        raise InvalidInputError("the search trains nothing, so there is nothing to measure")
    numbers = arithmetic(context.device, spec.training.precision)
    data = device_data(spec.dataset, spec.seed, context.cache, context.device)
    cuda = context.device == "cuda"
    if cuda:
        torch.cuda.reset_peak_memory_stats()
    network = check_fit(build(graph, context.assignment.seed), data)
    train = _train_seconds(context, network, data, numbers)
    metrics = _metrics_seconds(context, network, data, numbers)
    explain = _explain_seconds(context, network, data, numbers)
    return {
        "trainSeconds": train,
        "metricsSeconds": metrics,
        "explainSeconds": explain,
        "memoryBytes": _peak_memory(),
        "deviceMemoryBytes": int(torch.cuda.max_memory_allocated()) if cuda else None,
    }


def _train_seconds(context: DiscardingContext, network: Any, data: Any, numbers: Any) -> float:
    """Return the seconds of all epochs: a small step to warm up, then enough whole ones, scaled by samples."""
    from xnas_evaluator.training.device_data import DevicePart
    from xnas_evaluator.training.loop import Trainer

    training, seed = context.spec.training, context.assignment.seed
    batch = min(training.batch_size, len(data.train))

    def epoch(samples: int) -> float:
        # A constant, small rate: weights of a network that is trained on so little must not run away.
        part = DevicePart(data.train.images[:samples], data.train.labels[:samples])
        gentle = training.model_copy(
            update={"optimizer": training.optimizer.model_copy(update={"learning_rate": 1e-5}), "epochs": 1}
        )
        return _timed(Trainer(network, replace(data, train=part), gentle, seed, numbers).run_epoch)

    # The first whole step also gets its memory from the kernel, which can double its time; but a step of a large
    # network takes many seconds, and then once has to do.
    epoch(min(batch, WARM_UP))
    once = epoch(batch)
    if once < MANY_SECONDS:
        once = min(once, epoch(batch))
    steps = int(min(64, ENOUGH_SECONDS / 2 / max(once, 1e-4)))
    samples = min(len(data.train), batch * max(1, steps))
    # The better of two: what else the machine does for a moment is no property of the network.
    seconds = once if samples == batch else min(epoch(samples), epoch(samples))
    return seconds / samples * len(data.train) * training.epochs


def _metrics_seconds(context: DiscardingContext, network: Any, data: Any, numbers: Any) -> float:
    """Return the seconds of all metrics: measured whole where that is quick, else on FEW samples and scaled."""
    from xnas_evaluator.objectives.latency import latency_ms
    from xnas_evaluator.objectives.measure import GAP_SAMPLES, Measured, measure, plan
    from xnas_evaluator.training.device_data import DevicePart

    wanted = plan(context.spec)

    def few(part: Any) -> Any:
        return DevicePart(part.images[:FEW], part.labels[:FEW])

    small = replace(data, train=few(data.train), validation=few(data.validation))
    latency = _timed(lambda: latency_ms(network, numbers, wanted.latency))
    found: list[Measured] = []
    on_few = _timed(lambda: found.append(measure(context, wanted, network, small, numbers, 1.0)))
    if found[-1].fixed_seconds > 0:
        # The first time imports Captum, once for each worker.
        on_few = _timed(lambda: found.append(measure(context, wanted, network, small, numbers, 1.0)))
    fixed = latency + found[-1].fixed_seconds
    whole = len(data.validation) + min(len(data.train), GAP_SAMPLES)
    scaled = fixed + max(0.0, on_few - fixed) * whole / (len(small.validation) + len(small.train))
    if scaled > 2 * ENOUGH_SECONDS:
        return scaled
    return _timed(lambda: measure(context, wanted, network, data, numbers, 1.0))


def _explain_seconds(context: DiscardingContext, network: Any, data: Any, numbers: Any) -> float:
    """Return the seconds of the test split, the explanations (one sample a class scaled up) and the diagnosis."""
    from xnas_evaluator.explain.make import make
    from xnas_evaluator.objectives.validation import score
    from xnas_evaluator.training.device_data import DevicePart

    part = DevicePart(data.test.images[:FEW], data.test.labels[:FEW])
    test = _timed(lambda: score(network, part, data, numbers)) / len(part) * len(data.test)
    wanted, given = context.spec.explanations, by_name(context.spec.explainers)
    if wanted.scope is ExplanationScope.NONE:
        return test
    # Measured the second time: the first one imports Captum and matplotlib, once for each worker. Where that is little
    # beside the work itself, the first method is not done again.
    first, others = wanted.methods[:1], wanted.methods[1:]
    seconds = _timed(lambda: make(context, network, data, first, 1, given))
    if seconds < 2 * ENOUGH_SECONDS:
        seconds, others = 0.0, wanted.methods
    if others:
        seconds += _timed(lambda: make(context, network, data, others, 1, given))
    return test + seconds * wanted.samples_per_class + _diagnosis_seconds(context, network, data, numbers)


def _diagnosis_seconds(context: DiscardingContext, network: Any, data: Any, numbers: Any) -> float:
    """Return the seconds of the diagnosis: measured whole where that is quick, else on FEW samples and scaled."""
    from xnas_evaluator.diagnosis.gather import MAX_SAMPLES
    from xnas_evaluator.diagnosis.make import diagnose
    from xnas_evaluator.training.device_data import DevicePart

    def few(part: Any) -> Any:
        return DevicePart(part.images[:FEW], part.labels[:FEW])

    small = replace(data, train=few(data.train), validation=few(data.validation))
    on_few = _timed(lambda: diagnose(context, network, small, numbers))
    whole = sum(min(len(part), MAX_SAMPLES) for part in (data.train, data.validation))
    scaled = on_few * whole / (len(small.train) + len(small.validation))
    return scaled if scaled > 2 * ENOUGH_SECONDS else _timed(lambda: diagnose(context, network, data, numbers))


def _timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _peak_memory() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _assignment() -> Assignment:
    return Assignment(
        task_id="0" * 24,
        kind=TaskKind.EVALUATE,
        candidate_id="c000000000000",
        fidelity=1,
        attempt=1,
        encoding="",
        graph=None,
        seed=1,
        deadline_seconds=3600,
    )


if __name__ == "__main__":
    sys.exit(answer(measure_costs))
