"""A really trained candidate in a folder as `xnas run` leaves it, for tests of everything that comes after training."""

from __future__ import annotations

import time
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

from xnas_core.api.spec import ArchitectureSearchSpec, DatasetSpec
from xnas_core.artifacts.keys import RESULT
from xnas_core.journal import Journal
from xnas_core.local.folder import OutputFolder
from xnas_core.search.acceptance import first_event
from xnas_core.search.events import AttemptStarted, Event, Proposed, Succeeded, TaskRequested
from xnas_core.search.recovery import recover
from xnas_core.spaces.base import DataShape
from xnas_core.spaces.nas_bench_201 import NasBench201
from xnas_core.tasks import DataDescription, TaskKind, TaskResult, candidate_id
from xnas_evaluator.evaluate import evaluate
from xnas_evaluator.resident import device_data
from xnas_evaluator.testing import FolderContext, assignment

MIXED = "|nor_conv_3x3~0|+|skip_connect~0|nor_conv_1x1~1|+|avg_pool_3x3~0|none~1|nor_conv_3x3~2|"
DIGITS = DataShape(1, 8, 8, 10)
PARAMETERS = {"cellsPerStage": 1, "channels": 8}


@dataclass(frozen=True)
class TrainedFolder:
    """A folder with one evaluated candidate.

    Attributes:
        result: of the evaluation, attempt 1; also stored.
    """

    root: Path
    candidate: str
    encoding: str
    graph: dict[str, Any]
    spec: ArchitectureSearchSpec
    result: TaskResult

    def context(self, kind: TaskKind, **changes: Any) -> FolderContext:
        """Return the world of a task on the candidate; `spec` and fields of the assignment may be replaced."""
        spec = changes.pop("spec", self.spec)
        parameters = changes.pop("parameters", {})
        given = {"candidate": self.candidate, "graph": self.graph, "encoding": self.encoding, "source_attempt": 1}
        task = assignment(kind, **{**given, **changes}).model_copy(update={"parameters": parameters})
        return FolderContext(task, spec, self.root, cache=self.root.parent / "cache")


def digits_spec(epochs: int = 3, **fields: Any) -> ArchitectureSearchSpec:
    """Return a search on scikit-learn's digits as small as the quickstart's; top-level fields may be replaced."""
    document = {
        "seed": 3,
        "searchSpace": {"name": "nas-bench-201", "parameters": PARAMETERS},
        "dataset": {"name": "digits"},
        "training": {"epochs": epochs, "batchSize": 64},
        "objectives": [
            {"name": "accuracy", "direction": "maximize"},
            {"name": "introspectability", "direction": "maximize"},
        ],
        "explanations": {"methods": ["integratedGradients", "saliency", "gradCam"]},
    }
    return ArchitectureSearchSpec.model_validate({**document, **fields}, strict=False)


def trained_folder(root: Path, encoding: str = MIXED, device: str = "cpu", **fields: Any) -> TrainedFolder:
    """Train a cell of nas-bench-201 on digits (a second or two) and leave what an evaluation leaves."""
    spec = digits_spec(**fields)
    identity = OutputFolder(root).claim("digits")
    space = NasBench201(PARAMETERS, DIGITS)
    genes = space.decode(encoding)
    candidate = candidate_id(space.identity(genes))
    graph = space.graph(genes).to_document()
    task = assignment(candidate=candidate, graph=graph, encoding=encoding, seed=5, fidelity=spec.training.epochs)
    context = FolderContext(task, spec, root, device=device, cache=root.parent / "cache")
    result = evaluate(context)
    context.put(RESULT, result.model_dump_json().encode())
    data = device_data(DatasetSpec(name="digits"), spec.seed, context.cache, "cpu")
    described = DataDescription(shape=astuple(DIGITS), class_names=data.class_names, digest=data.digest)
    folder = TrainedFolder(root, candidate, encoding, graph, spec, result)
    start = first_event(spec, identity.search_id, described)
    proposed = Proposed(
        time=start.time, number=0, candidate=candidate, genes=genes, encoding=encoding, generation=0, parents=(),
        operators=(), parameters=None, macs=None,
    )  # fmt: skip
    Journal(context.store).append([start, proposed, *_events(folder.context(TaskKind.EVALUATE), result)])
    return folder


def journal_result(context: FolderContext, result: TaskResult) -> None:
    """Store a result of another task and write it into the journal, as if the engine had asked for it."""
    context.put(RESULT, result.model_dump_json().encode())
    _, journal = recover(context.store)
    asked = TaskRequested(time=time.time(), task=result.kind, candidate=result.candidate_id, parameters={})
    journal.append([asked, *_events(context, result)])


def _events(context: FolderContext, result: TaskResult) -> list[Event]:
    where: dict[str, Any] = {"task": result.kind, "candidate": result.candidate_id, "attempt": result.attempt}
    return [
        AttemptStarted(time=time.time(), evaluator="test", task_id=context.assignment.task_id, **where),
        Succeeded(
            time=time.time(), metrics=result.metrics, errors=result.errors, timings=result.timings,
            artifacts=result.artifacts, environment=result.environment, **where,
        ),
    ]  # fmt: skip
