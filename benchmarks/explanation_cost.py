"""The quickstart's evaluation time by part: what explanations and explainability metrics add to training.

Candidates of examples/quickstart.yaml are drawn by seed, trained, measured, finalised and explained by the evaluator's
own tasks. Every duration is the process's CPU time on one thread: it equals the wall-clock time of a candidate on an
idle machine, and bears neighbours on a busy one. Totals are those of the search: all its evaluations, and as many front
members as said. What a search without explainability would do is training, loading, checkpoints, accuracy and loss on
the validation and training splits, and the test split; everything else is what explainability adds.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from unittest.mock import patch

import torch

from benchmarks.results_table import Table
from xnas_core.api.spec import ArchitectureSearchSpec
from xnas_core.api.validate import load_search
from xnas_core.artifacts.keys import RESULT
from xnas_core.plugins import PluginKind, load
from xnas_core.spaces.base import DataShape, SearchSpace
from xnas_core.tasks import TaskKind, candidate_id, derived_seed, generator
from xnas_evaluator.evaluate import evaluate
from xnas_evaluator.finalise import finalise
from xnas_evaluator.networks.build import GraphNetwork
from xnas_evaluator.objectives.validation import score
from xnas_evaluator.resident import device_data
from xnas_evaluator.stored_checkpoint import read_checkpoint
from xnas_evaluator.testing import FolderContext, assignment
from xnas_evaluator.training.settings import arithmetic, prepare

QUICKSTART = Path(__file__).parent.parent / "examples" / "quickstart.yaml"
SHAPE = DataShape(1, 8, 8, 10)
GOAL = 0.15
PLAIN = ("data", "build", "train", "state", "checkpoint", "accuracy and loss", "load", "test")
"""Parts that a search on accuracy alone has, too."""
PICTURES = ("pictures", "diagnosis_pictures")
NOT_DEFAULT = ("explanations: saliency",)
IMPORT = "import of Captum"


def _contexts(spec: ArchitectureSearchSpec, root: Path, count: int) -> list[FolderContext]:
    """Return the evaluations of the first `count` different candidates that are drawn."""
    space: SearchSpace = load(PluginKind.SPACE, spec.search_space.name)(dict(spec.search_space.parameters), SHAPE)
    random = generator("candidates for benchmarks of cost", spec.seed)
    found: dict[str, FolderContext] = {}
    while len(found) < count:
        genes = tuple(int(random.integers(0, values)) for values in space.cardinalities)
        if not space.connected(genes):
            continue
        name = candidate_id(space.identity(genes))
        task = assignment(
            candidate=name,
            graph=space.graph(genes).to_document(),
            encoding=space.encoding(genes),
            seed=derived_seed(spec.seed, "training", name),
            fidelity=spec.training.epochs,
        )
        found[name] = FolderContext(task, spec, root, cache=root / ".cache")
    return list(found.values())


def _parts(timings: dict[str, float]) -> dict[str, float]:
    return {name.removesuffix("_seconds"): seconds for name, seconds in timings.items()}


def _evaluated(context: FolderContext) -> dict[str, float]:
    """Evaluate; return seconds by part, with the time for accuracy and loss alone taken out of the metrics."""
    result = evaluate(context)
    context.put(RESULT, result.model_dump_json().encode())
    parts = _parts(result.timings)
    digests = {a.name: a.sha256 for a in result.artifacts}
    kind = context.assignment.kind
    network = read_checkpoint("", digests, lambda name: context.get(kind, 1, name)).network
    plain = _plain_scores(context, network)
    parts["accuracy and loss"] = plain
    # Measures that were asked for have parts of their own.
    asked = sum(seconds for name, seconds in parts.items() if name.startswith("measure_"))
    parts["explainability metrics and latency"] = max(0.0, parts.pop("metrics") - plain - asked)
    return parts


def _plain_scores(context: FolderContext, network: GraphNetwork) -> float:
    """Return the seconds that validation and training accuracy take when no activation is looked at."""
    assert context.spec.dataset is not None
    numbers = arithmetic(context.device, context.spec.training.precision)
    data = device_data(context.spec.dataset, context.spec.seed, context.cache, context.device)
    network = network.to(memory_format=numbers.memory_format)
    started = time.perf_counter()
    for part in (data.validation, data.train):
        score(network, part, data, numbers)
    return time.perf_counter() - started


def _finalised(context: FolderContext) -> dict[str, float]:
    task = context.assignment
    again = assignment(
        TaskKind.FINALISE,
        candidate=task.candidate_id,
        graph=task.graph,
        encoding=task.encoding,
        fidelity=task.fidelity,
        source_attempt=1,
    )
    parts = _parts(finalise(FolderContext(again, context.spec, context.root, cache=context.cache)).timings)
    return {name.replace("explain_", "explanations: "): seconds for name, seconds in parts.items()}


def _mean(parts: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return mean seconds by part; the first is left out, which warms up what later ones find warm."""
    return {name: statistics.mean(p[name] for p in parts[1:]) for name in parts[0]}


def _totals(spec: ArchitectureSearchSpec, candidates: int, explained: int, front: int) -> dict[str, float]:
    """Return the search's seconds by part."""
    started = time.perf_counter()
    importlib.import_module("captum.attr")
    captum = time.perf_counter() - started
    with tempfile.TemporaryDirectory() as folder:
        contexts = _contexts(spec, Path(folder), candidates)
        evaluation = _mean([_evaluated(context) for context in contexts])
        final = _mean([_finalised(context) for context in contexts[:explained]])
    assert spec.limits.max_evaluations is not None
    totals = {name: seconds * spec.limits.max_evaluations for name, seconds in evaluation.items()}
    for name, seconds in final.items():
        totals[name] = totals.get(name, 0.0) + seconds * front
    # Once for each worker process, whatever it explains.
    totals[IMPORT] = captum * spec.evaluators.slots_per_evaluator
    return totals


def _table(spec: ArchitectureSearchSpec, totals: Mapping[str, float], front: int) -> Table:
    plain = sum(totals[name] for name in PLAIN)
    pictures = sum(totals[name] for name in PICTURES)
    beyond = {name: seconds for name, seconds in totals.items() if name not in (*PLAIN, *PICTURES)}
    rest = sum(beyond.values()) - sum(beyond[name] for name in NOT_DEFAULT if name in beyond)
    rows = [
        (name, f"{seconds:.2f}", f"{100 * seconds / plain:.2f}", _counts(name))
        for name, seconds in sorted(totals.items(), key=lambda item: (item[0] not in PLAIN, -item[1]))
    ]
    return Table(
        "explanation_cost",
        "Cost of explainability: the quickstart's evaluation time by part, CPU seconds of one thread",
        ("part", "seconds", "% of a plain search", "counts as"),
        rows,
        (
            f"A search on accuracy alone takes {plain:.1f} s; explainability adds {rest:.1f} s, "
            f"{100 * rest / plain:.1f} %, and pictures {pictures:.1f} s.",
            f"Goal: default explanations and metrics add at most {GOAL:.0%}, pictures not counted: "
            f"{'met' if rest <= GOAL * plain else 'missed'}.",
            f"{spec.limits.max_evaluations} evaluations, {front} front members explained, 20 images each: as many as "
            "its population, more than its front usually has. "
            "Saliency is the quickstart's third method and not a default.",
            f"PyTorch {torch.__version__}, Captum {importlib.metadata.version('captum')}.",
        ),
    )


def _counts(name: str) -> str:
    if name in PLAIN:
        return "plain search"
    return "not counted" if name in (*PICTURES, *NOT_DEFAULT) else "explainability"


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print and write the table; return 0."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--candidates", type=int, default=12, help="candidates that are trained (default 12)")
    parser.add_argument("--explained", type=int, default=8, help="of them, finalised and explained (default 8)")
    parser.add_argument("--front", type=int, default=12, help="front members of the search (default 12)")
    arguments = parser.parse_args(argv)
    prepare("cpu", 1)
    spec = load_search(QUICKSTART).spec
    # Tasks time themselves by perf_counter, which a neighbour's load would distort.
    with patch.object(time, "perf_counter", time.process_time):
        totals = _totals(spec, arguments.candidates, arguments.explained, arguments.front)
    _table(spec, totals, arguments.front).publish()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
