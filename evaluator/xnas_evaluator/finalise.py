"""The tasks `finalise` and `explain` (protocol.md §3): the test split, once, explanations and diagnosis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from xnas_core.api.base import ParameterValue
from xnas_core.api.explainer_parameters import by_name, merged
from xnas_core.api.explaining import ExplanationScope
from xnas_core.api.spec import ArchitectureSearchSpec
from xnas_core.api.task_parameters import ExplainParameters, read_parameters
from xnas_core.errors import InvalidInputError
from xnas_core.tasks import TaskKind, TaskResult
from xnas_evaluator.context import TaskContext
from xnas_evaluator.diagnosis.make import Diagnosed, diagnose
from xnas_evaluator.evaluate import check_fit, environment
from xnas_evaluator.explain.configured import check
from xnas_evaluator.explain.make import Made, make
from xnas_evaluator.objectives.validation import score
from xnas_evaluator.resident import search_data
from xnas_evaluator.source_checkpoint import source_checkpoint
from xnas_evaluator.timings import Timings
from xnas_evaluator.training.settings import arithmetic, prepare


@dataclass(frozen=True)
class Wanted:
    """What is to be explained.

    Attributes:
        methods: names of explainers.
        samples_per_class: validation samples of each class.
        parameters: of the explainers that have any, by name.
    """

    methods: Sequence[str]
    samples_per_class: int
    parameters: Mapping[str, Mapping[str, ParameterValue]]


def finalise(context: TaskContext) -> TaskResult:
    """Load the trained network of `assignment.source_attempt`; score and explain it.

    `finalise` scores the test split (`test_accuracy`, `test_loss`) and explains as the spec says. `explain` never
    looks at the test split, as it may be asked for while the search still selects; its parameters (`ExplainParameters`)
    take the place of the spec's. Both diagnose the network on the validation and training splits
    (`diagnosis.make`) wherever something is explained.

    Raises:
        InvalidInputError: there is nothing to load, or a parameter is wrong (final).
        IntegrityError: the checkpoint is torn or altered; the message names the object.
        NoExplanationError: every method failed.
        NonFiniteError: a class score is NaN or infinite (final).
        TaskCancelledError: the attempt is not wanted any more.
        StoreError: the store refused.
    """
    timings = Timings()
    assignment, spec = context.assignment, context.spec
    if spec.dataset is None:
        raise InvalidInputError("a candidate can be explained only where there is a data set; the search has none")
    wanted = _wanted(assignment.kind, spec, assignment.parameters)
    prepare(context.device, context.threads)
    numbers = arithmetic(context.device, spec.training.precision)
    with timings.part("data_seconds"):
        data = search_data(context)
    with timings.part("load_seconds"):
        network = check_fit(source_checkpoint(context).network, data)
        network = network.to(numbers.device).to(memory_format=numbers.memory_format)
    metrics: dict[str, float] = {}
    errors: dict[str, float] = {}
    if assignment.kind is TaskKind.FINALISE:
        context.progress(0, 1, "scoring the test split")
        with timings.part("test_seconds"):
            scores = score(network, data.test, data, numbers)
        metrics |= {"test_accuracy": scores.accuracy, "test_loss": scores.loss}
        errors |= {"test_accuracy": scores.accuracy_error, "test_loss": scores.loss_error}
    made, diagnosed = Made(), Diagnosed()
    if wanted is not None:
        made = make(context, network, data, wanted.methods, wanted.samples_per_class, wanted.parameters)
        diagnosed = diagnose(context, network, data, numbers)
    return assignment.result(
        metrics | made.metrics | diagnosed.metrics,
        errors=errors | diagnosed.errors,
        timings=timings.seconds | made.timings | diagnosed.timings,
        artifacts=(*made.artifacts, *diagnosed.artifacts),
        environment=environment(context, numbers) | made.environment(),
    )


def _wanted(kind: TaskKind, spec: ArchitectureSearchSpec, parameters: Mapping[str, Any]) -> Wanted | None:
    """Return what to explain, or None."""
    given, explainers = spec.explanations, by_name(spec.explainers)
    if kind is TaskKind.FINALISE:
        if given.scope is ExplanationScope.NONE:
            return None
        return Wanted(given.methods, given.samples_per_class, explainers)
    if kind is not TaskKind.EXPLAIN:
        raise InvalidInputError(f"finalise can't do a task of the kind {kind.value!r}")
    asked = read_parameters("explain", ExplainParameters, parameters)
    changed = by_name(asked.explainers or ())
    explainers = merged(explainers, changed)
    for name in changed:
        check(name, explainers[name])
    return Wanted(asked.methods or given.methods, asked.samples_per_class or given.samples_per_class, explainers)
