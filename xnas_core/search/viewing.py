"""The engine's state as a SearchView: what people, tables and reports see."""

from __future__ import annotations

from collections.abc import Callable

from xnas_core.search.candidates import Candidate
from xnas_core.search.engine import Engine
from xnas_core.search.ledger import TaskRef
from xnas_core.search.view import AttemptRecord, CandidateRecord, CandidateState, HypervolumePoint, SearchView
from xnas_core.tasks import TaskKind


def make_record(engine: Engine, candidate: Candidate, on_front: bool) -> CandidateRecord:
    """Return one candidate at this moment, by what is known of it."""
    tasks = [engine.ledger.tasks.get(TaskRef(kind, candidate.id)) for kind in TaskKind]
    history = tuple(
        AttemptRecord(task.ref.kind, a.number, a.evaluator, a.started, a.ended, a.outcome, a.message)
        for task in tasks
        if task is not None
        for a in task.attempts
    )
    evaluate = tasks[list(TaskKind).index(TaskKind.EVALUATE)]
    running = evaluate is not None and evaluate.running() is not None
    metrics = candidate.all_metrics()
    objectives: tuple[float | None, ...] = (None,) * len(engine.spec.objectives)
    if candidate.values is not None:
        objectives = engine.problem.own_sign(candidate.values)
        metrics = metrics | {
            o.name: v for o, v in zip(engine.spec.objectives, objectives, strict=True) if v is not None
        }
    return CandidateRecord(
        id=candidate.id,
        number=candidate.number,
        genes=candidate.genes,
        arch=candidate.encoding,
        generation=candidate.generation,
        parents=candidate.parents,
        operators=candidate.operators,
        state=CandidateState.RUNNING if running and not candidate.finished else candidate.state,
        attempts=len(evaluate.attempts) if evaluate else 0,
        metrics=metrics,
        errors=candidate.errors,
        objectives=objectives,
        violation=candidate.violation or 0.0,
        on_front=on_front,
        timings=candidate.timings,
        artifacts=tuple(candidate.artifacts),
        environment=candidate.environment,
        history=history,
        failure=candidate.failure,
        proposed_at=candidate.proposed_at,
        finished_at=candidate.finished_at,
        tasks={task.ref.kind: task.state for task in tasks if task is not None},
    )


def view(
    engine: Engine, name: str, make: Callable[[Engine, Candidate, bool], CandidateRecord] = make_record
) -> SearchView:
    """Return the search at this moment.

    Args:
        engine: its state.
        name: metadata.name of the resource.
        make: makes the record of a candidate; another one may know records made before.
    """
    on_front = set(engine.archive.keys)
    members = sorted(
        (engine.candidates[number] for number in engine.archive.keys), key=lambda c: (c.values or (), c.number)
    )
    reference = engine.archive.reference
    end = engine.finished or engine.stopped
    return SearchView(
        search_id=engine.started.search_id,
        name=name,
        spec=engine.spec,
        data_shape=engine.data_shape,
        state=engine.state,
        reason=end.reason if end else "",
        message=end.message if end else "",
        generation=engine.generation,
        candidates=tuple(make(engine, candidate, candidate.number in on_front) for candidate in engine.candidates),
        front=tuple(candidate.id for candidate in members),
        reference_point=None if reference is None else engine.problem.own_sign(tuple(reference.tolist())),
        hypervolume=engine.archive.hypervolume,
        history=tuple(
            HypervolumePoint(count, hypervolume, size)
            for count, (hypervolume, size) in enumerate(
                zip(engine.hypervolumes, engine.front_sizes, strict=True), start=1
            )
        ),
        started_at=engine.started.time,
        finished_at=engine.finished.time if engine.finished else None,
        versions=engine.started.versions,
    )


def record(engine: Engine, number: int) -> CandidateRecord:
    """Return one candidate at this moment, by its number."""
    return make_record(engine, engine.candidates[number], number in engine.archive.keys)
