"""The task `confirm` (protocol.md §3): train a candidate again with other seeds, one after the other.

A front that is picked from noisy scores flatters itself: these scores were picked by nobody.
"""

from __future__ import annotations

from xnas_core.artifacts.keys import CONFIRMATION
from xnas_core.confirmation import Confirmation, SeedResult, read, summary
from xnas_core.errors import IntegrityError, InvalidInputError
from xnas_core.graph import Graph
from xnas_core.tasks import Artifact, TaskResult
from xnas_evaluator.context import NonFiniteError, TaskContext
from xnas_evaluator.evaluate import check_fit, environment
from xnas_evaluator.networks.build import build
from xnas_evaluator.objectives.measure import Plan, measure, plan
from xnas_evaluator.resident import search_data
from xnas_evaluator.timings import Timings
from xnas_evaluator.training.device_data import DeviceData
from xnas_evaluator.training.loop import Trainer
from xnas_evaluator.training.resumable import Stretch, fingerprint_of, train
from xnas_evaluator.training.settings import Arithmetic, arithmetic, prepare


def confirm(context: TaskContext) -> TaskResult:
    """Train and score the candidate with each seed of `assignment.parameters["seeds"]`.

    A finished seed is stored at once, and the epochs of an unfinished one are too, so that another attempt goes on from
    there. A training that ends in NaN is a result like others: it is counted and has no values.

    Raises:
        InvalidInputError: the network, the data or an objective is not valid, or there are no seeds (final).
        NonFiniteError: every training ended in a value that is not finite (final).
        TaskCancelledError: the attempt is not wanted any more.
        StoreError: the store refused.
    """
    timings = Timings()
    assignment, spec = context.assignment, context.spec
    if assignment.graph is None or spec.dataset is None:
        raise InvalidInputError("a candidate can be trained only with a network and a data set; the search has none")
    seeds = _seeds(assignment.parameters.get("seeds"))
    prepare(context.device, context.threads)
    numbers = arithmetic(context.device, spec.training.precision)
    measured = plan(spec)
    with timings.part("data_seconds"):
        data = search_data(context)
    graph = Graph.from_document(assignment.graph)
    common = fingerprint_of(context, graph.digest, data, spec.training, "confirm")
    with timings.part("state_seconds"):
        known = _finished_before(context, common)
    results: list[SeedResult] = []
    artifact: Artifact | None = None
    for number, seed in enumerate(seeds):
        if seed not in known:
            stretch = Stretch(number * spec.training.epochs, len(seeds) * spec.training.epochs)
            known[seed] = _once(context, graph, data, numbers, measured, seed, stretch, timings)
        results.append(known[seed])
        document = Confirmation(fingerprint=common, results=tuple(results))
        artifact = context.put(CONFIRMATION, document.model_dump_json().encode())
    if all(result.failure for result in results):
        raise NonFiniteError(f"none of {len(seeds)} trainings ended well; the last one: {results[-1].failure}")
    metrics, errors = summary(results, [objective.name for objective in spec.objectives])
    return assignment.result(
        metrics,
        errors=errors,
        timings=timings.seconds,
        artifacts=(artifact,) if artifact else (),
        environment=environment(context, numbers),
    )


def _seeds(given: object) -> list[int]:
    if not isinstance(given, list) or not given or not all(isinstance(seed, int) for seed in given):
        raise InvalidInputError("the assignment has no seeds to confirm the candidate with")
    return [int(seed) for seed in given]


def _finished_before(context: TaskContext, fingerprint: str) -> dict[int, SeedResult]:
    """Return what earlier attempts of the same trainings have finished, by seed."""
    found: dict[int, SeedResult] = {}
    for attempt in context.assignment.previous_attempts:
        data = context.get(context.assignment.kind, attempt, CONFIRMATION)
        if data is None:
            continue
        try:
            document = read(data)
        except IntegrityError:
            continue
        if document.fingerprint == fingerprint:
            found = {result.seed: result for result in document.results} | found
    return found


def _once(
    context: TaskContext,
    graph: Graph,
    data: DeviceData,
    numbers: Arithmetic,
    measured: Plan,
    seed: int,
    stretch: Stretch,
    timings: Timings,
) -> SeedResult:
    """Train and measure with one seed."""
    training = context.spec.training
    trainer = Trainer(check_fit(build(graph, seed), data), data, training, seed, numbers)
    fingerprint = fingerprint_of(context, graph.digest, data, training, "confirm", seed)
    try:
        train(context, trainer, fingerprint, timings, stretch)
        with timings.part("metrics_seconds"):
            found = measure(context, measured, trainer.network, data, numbers, trainer.seconds)
    except NonFiniteError as error:
        return SeedResult(seed=seed, values={}, failure=str(error)[:500])
    names = {objective.name for objective in context.spec.objectives}
    return SeedResult(seed=seed, values={name: value for name, value in found.metrics.items() if name in names})
