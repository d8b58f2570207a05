"""Tasks that someone asks for: what is possible, and what a request becomes (protocol.md §3). Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from xnas_core.api.class_pairs import resolve_pairs
from xnas_core.api.explainer_parameters import EXPLAINER_PARAMETERS, by_name, merged, read_built_in
from xnas_core.api.spec import Checkpoints
from xnas_core.api.suggest import unknown_name
from xnas_core.api.task_parameters import ExplainParameters, NoParameters, RefineParameters, read_parameters
from xnas_core.artifacts import keys
from xnas_core.errors import InvalidInputError, UnknownNameError
from xnas_core.search.candidates import Candidate
from xnas_core.search.events import TaskRequested
from xnas_core.search.ledger import Task, TaskRef
from xnas_core.search.view import CandidateState, SearchState, TaskState
from xnas_core.tasks import EndReason, TaskKind, attempt_prefix

if TYPE_CHECKING:
    from xnas_core.search.engine import Engine

_SHOWN = 8


@dataclass(frozen=True, slots=True)
class TaskRequest:
    """What someone asks for. `parameters` are those of the kind, as JSON."""

    kind: TaskKind
    candidate: str
    parameters: Mapping[str, Any] = field(default_factory=dict)

    @property
    def ref(self) -> TaskRef:
        """The task that is meant."""
        return TaskRef(self.kind, self.candidate)


def accept(
    engine: Engine, request: TaskRequest, now: float, *, explainers: Collection[str] | None = None
) -> TaskRequested | None:
    """Return the event that a request becomes, or None where the same task is open already.

    Args:
        engine: the search as it is.
        request: what is asked for.
        now: seconds since the epoch.
        explainers: names that the evaluators know; None where nobody can tell.

    Raises:
        UnknownNameError: the search has no such candidate.
        InvalidInputError: the task is not possible; the sentence says why.
    """
    candidate = engine.by_id.get(request.candidate)
    if candidate is None:
        known = list(engine.by_id)
        more = [f"and {len(known) - _SHOWN} more"] if len(known) > _SHOWN else []
        raise UnknownNameError("candidate", request.candidate[:80], [*known[:_SHOWN], *more])
    parameters = _parameters(engine, request, explainers)
    task = engine.ledger.tasks.get(request.ref)
    if task is not None and task.state is TaskState.OPEN and (task.requested or request.kind is not TaskKind.EVALUATE):
        if request.kind in (TaskKind.EXPLAIN, TaskKind.REFINE) and task.parameters != parameters:
            raise InvalidInputError(
                f"{request.kind} of {candidate.id} is under way with other parameters; wait for its end, then ask again"
            )
        return None
    if request.kind is TaskKind.EVALUATE:
        _check_retry(candidate, task)
    elif request.kind in (TaskKind.EXPLAIN, TaskKind.REFINE):
        _check_trained(engine, request.kind, candidate)
    else:
        parameters = _again(request.kind, candidate, task)
    return TaskRequested(time=now, task=request.kind, candidate=candidate.id, parameters=parameters)


def checkpoint_key(engine: Engine, request: TaskRequest) -> str | None:
    """Return the key of the object without which the task can't be done; None: it needs none."""
    source = engine.ledger.tasks.get(TaskRef(TaskKind.EVALUATE, request.candidate))
    attempt = source.succeeded_attempt() if source is not None else None
    if request.kind in (TaskKind.EVALUATE, TaskKind.CONFIRM) or attempt is None:
        return None
    return attempt_prefix(request.candidate, TaskKind.EVALUATE, attempt) + keys.CHECKPOINT_MANIFEST


def gone(request: TaskRequest) -> InvalidInputError:
    """Return the error for a checkpoint that is not in the store."""
    return InvalidInputError(
        f"{request.kind} of {request.candidate} is not possible: its checkpoint was not kept; with "
        "artifacts.checkpoints: all a search keeps those of candidates that are not on the front, too"
    )


def _parameters(engine: Engine, request: TaskRequest, explainers: Collection[str] | None) -> dict[str, Any]:
    """Return the parameters, defaults written out."""
    if request.kind is TaskKind.EXPLAIN:
        wanted = read_parameters("explain", ExplainParameters, request.parameters)
        _check_explainers(engine, wanted, explainers)
        return wanted.to_document()
    if request.kind is TaskKind.REFINE:
        asked = read_parameters("refine", RefineParameters, request.parameters)
        if engine.started.class_names:
            resolve_pairs(asked.pairs, engine.started.class_names)
        return asked.to_document()
    return read_parameters(request.kind.value, NoParameters, request.parameters).to_document()


def _check_explainers(engine: Engine, wanted: ExplainParameters, known: Collection[str] | None) -> None:
    methods = wanted.methods or engine.spec.explanations.methods
    explainers = wanted.explainers or []
    given = [explainer.name for explainer in explainers]
    for name in (*(wanted.methods or ()), *given):
        if known is not None and name not in known:
            raise InvalidInputError(unknown_name("explainer", name, known)[0])
        if given.count(name) > 1:
            raise InvalidInputError(f"{name} is in explainers twice; put all its parameters into one")
        if name not in methods:
            raise InvalidInputError(f"there are parameters of {name}, which is not asked for; add it to the methods")
    # Together, as the evaluator will have them: two that are right alone may contradict each other.
    for name, parameters in merged(by_name(engine.spec.explainers), by_name(explainers)).items():
        if name in given and name in EXPLAINER_PARAMETERS:
            read_built_in(name, parameters)


def _check_retry(candidate: Candidate, task: Task | None) -> None:
    if candidate.state is CandidateState.SUCCEEDED:
        raise InvalidInputError(f"{candidate.id} was scored; a retry is for candidates that failed for good")
    if candidate.state is not CandidateState.FAILED or task is None:
        raise InvalidInputError(
            f"{candidate.id} has not failed for good: the search itself tries again, backoffLimit says how often"
        )
    if task.attempts and task.attempts[-1].outcome == EndReason.NON_FINITE.value:
        raise InvalidInputError(
            f"{candidate.id} failed of a value that is not finite; a retry has the same seed and would end the same way"
        )


def _check_trained(engine: Engine, kind: TaskKind, candidate: Candidate) -> None:
    if engine.problem.benchmark:
        raise InvalidInputError(f"{kind} is not possible: a table answers in this search, so there is no network")
    if engine.problem.graph_only:
        raise InvalidInputError(f"{kind} is not possible: this search trains nothing, so there is no network")
    if candidate.state is CandidateState.FAILED:
        raise InvalidInputError(f"{kind} is not possible: {candidate.id} failed ({candidate.failure}); retry it first")
    if candidate.state is not CandidateState.SUCCEEDED:
        raise InvalidInputError(f"{kind} is not possible: {candidate.id} is not trained yet")
    given_up = (
        engine.state is SearchState.COMPLETE
        and engine.spec.artifacts.checkpoints is Checkpoints.FRONT
        and candidate.number not in engine.archive.keys
    )
    request = TaskRequest(kind, candidate.id)
    key = checkpoint_key(engine, request)
    if given_up or key not in {artifact.key for artifact in candidate.artifacts}:
        raise gone(request)


def _again(kind: TaskKind, candidate: Candidate, task: Task | None) -> dict[str, Any]:
    """Return the parameters of a task of the search's own that is to be done again."""
    if task is None:
        raise InvalidInputError(
            f"{kind} can't be asked for: the search itself does it at its end; it can be repeated where it has failed"
        )
    if task.state is not TaskState.FAILED:
        raise InvalidInputError(f"{kind} of {candidate.id} has succeeded; it can be repeated only where it has failed")
    return dict(task.parameters)
