"""The engine: events in, decisions and work out. Pure and deterministic (protocol.md §1, §5.8).

`handle` is the only place where state changes, for a live search and for a replay alike. `decide` makes decisions as
events and changes nothing: whoever runs the engine journals them and gives them back to `handle`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from xnas_core import plugins
from xnas_core.plugins import PluginKind
from xnas_core.search import algorithms, stopping
from xnas_core.search import events as ev
from xnas_core.search.candidates import Candidate
from xnas_core.search.clockwork import Stopwatch
from xnas_core.search.front import FrontArchive
from xnas_core.search.ledger import Ledger, Task, TaskRef, TaskState
from xnas_core.search.problem import Problem, parse_spec
from xnas_core.search.proposals import Choice, Proposer
from xnas_core.search.view import CandidateState, SearchProgress, SearchState, StoredArtifact
from xnas_core.spaces.base import DataShape, SearchSpace
from xnas_core.tasks import Assignment, TaskKind, attempt_prefix, derived_seed, task_id

STATE_SCHEMA = 1


class Engine:
    """One search. Made from its first event; see the module.

    Args:
        started: the first event.
        space: the search space; None: the one that the spec names.

    Raises:
        InvalidInputError: the space does not accept its parameters.
    """

    def __init__(self, started: ev.Started, space: SearchSpace | None = None) -> None:
        self.started = started
        self.spec_document: Mapping[str, Any] = started.spec
        self.spec = parse_spec(started.spec)
        self.data_shape = DataShape(*started.data_shape)
        self.space: SearchSpace = space or plugins.load(PluginKind.SPACE, self.spec.search_space.name)(
            self.spec.search_space.parameters, self.data_shape
        )
        self.problem = Problem(self.spec, self.data_shape, started.references)
        self.algorithm = algorithms.make(self.spec.algorithm, self.space.cardinalities)
        self.candidates: list[Candidate] = []
        self.by_id: dict[str, Candidate] = {}
        self.ledger = Ledger()
        self.archive = FrontArchive(len(self.spec.objectives))
        self.arrivals: list[int] = []
        """Numbers of finished candidates, in the order in which they finished."""
        self.hypervolumes: list[float] = []
        """Hypervolume after each arrival."""
        self.front_sizes: list[int] = []
        self.stopped: ev.Stopped | None = None
        self.finished: ev.Finished | None = None
        self.suspended = self.spec.suspend
        self.watch = Stopwatch(0.0, started.time)
        self._untold: list[int] = []
        self._ahead: algorithms.Algorithm | None = None  # what `_with_untold` found, until something else arrives
        self._told_generations = 0
        self._prefix = 0
        self._failed_in_prefix = 0
        self._failed = 0
        self._proposer = Proposer(self.problem, self.space, self.by_id)
        self._set_known_reference()

    # --- events ---------------------------------------------------------------------------------------------------

    def handle(self, event: ev.Event) -> None:
        """Change the state as the event says. Late and repeated results are ignored (protocol.md §6.5)."""
        counts = not (self.suspended or self.finished or isinstance(event, ev.Resumed))
        self.watch.advance(event.time, counts=counts)
        match event:
            case ev.Proposed():
                self._proposed(event)
            case ev.AttemptStarted():
                ref = TaskRef(event.task, event.candidate)
                self.ledger.start(ref, event.attempt, event.task_id, event.evaluator, event.time)
            case ev.Succeeded():
                self._succeeded(event)
            case ev.AttemptEnded():
                self._attempt_ended(event)
            case ev.LimitsChanged():
                self.spec_document, self.spec = event.spec, parse_spec(event.spec)
                self.suspended = self.spec.suspend
                self.stopped = self.finished = None
            case ev.Suspended():
                self.suspended = True
            case ev.Resumed():
                self.suspended = self.spec.suspend
            case ev.TaskRequested():
                ref = TaskRef(event.task, event.candidate)
                order = self.by_id[event.candidate].number
                self.ledger.open(ref, order, self.problem.fidelity, event.parameters)
                self.finished = None
            case ev.Stopped():
                self.stopped = event
            case ev.Finished():
                self.finished = event
            case ev.Ticked() | ev.Started():
                pass
        if self.stopped is not None and self.finished is None:
            self._open_finalisation()

    def _proposed(self, event: ev.Proposed) -> None:
        if self._untold:
            self.algorithm, self._ahead, self._untold = self._with_untold(), None, []
        candidate = Candidate(
            event.number, event.candidate, event.genes, event.encoding, event.generation, event.parents,
            event.operators, event.parameters, event.macs, event.time,
        )  # fmt: skip
        self.candidates.append(candidate)
        self.by_id[candidate.id] = candidate
        if self.problem.graph_only:
            candidate.state = CandidateState.SUCCEEDED
            self._score(candidate)
            self._finish(candidate, event.time)
            candidate.seal()
        else:
            self.ledger.open(TaskRef(TaskKind.EVALUATE, candidate.id), candidate.number, self.problem.fidelity)

    def _succeeded(self, event: ev.Succeeded) -> None:
        if not self.ledger.succeed(TaskRef(event.task, event.candidate), event.attempt, event.time):
            return
        candidate = self.by_id[event.candidate]
        candidate.metrics.update(event.metrics)
        candidate.errors.update(event.errors)
        candidate.environment.update(event.environment)
        prefix = attempt_prefix(candidate.id, event.task, event.attempt)
        candidate.artifacts.extend(StoredArtifact(prefix + a.name, a.size, a.sha256) for a in event.artifacts)
        if event.task is TaskKind.EVALUATE:
            candidate.timings.update(event.timings)
            candidate.state = CandidateState.SUCCEEDED
            self._score(candidate)
            self._finish(candidate, event.time)
        else:
            candidate.timings.update({f"{event.task.value}_{name}": value for name, value in event.timings.items()})
        candidate.seal()

    def _score(self, candidate: Candidate) -> None:
        metrics = candidate.all_metrics()
        candidate.values = self.problem.values(metrics)
        candidate.violation = self.problem.violation(metrics)
        if not candidate.eligible:
            candidate.failure = "an objective or a constrained metric is undefined for this network"

    def _attempt_ended(self, event: ev.AttemptEnded) -> None:
        ref = TaskRef(event.task, event.candidate)
        limit = self.spec.backoff_limit
        if not self.ledger.end(ref, event.attempt, event.reason, event.message, event.time, limit):
            return
        candidate = self.by_id[event.candidate]
        failure = f"{event.reason.value}: {event.message}"
        if event.task is TaskKind.EVALUATE:
            candidate.state, candidate.failure = CandidateState.FAILED, failure
            self._failed += 1
            self._finish(candidate, event.time)
        else:
            candidate.environment[f"{event.task.value}.failed"] = failure[:4000]
        candidate.seal()

    def _finish(self, candidate: Candidate, time: float) -> None:
        candidate.finished_at = time
        self.arrivals.append(candidate.number)
        while self._prefix < len(self.candidates) and self.candidates[self._prefix].finished:
            self._failed_in_prefix += self.candidates[self._prefix].state is CandidateState.FAILED
            self._prefix += 1
        if self.problem.generational:
            self._tell_generations()
        elif candidate.eligible:
            self._untold.append(candidate.number)
            self._ahead = None
        self._archive(candidate)
        if self.archive.reference is None and self._prefix >= self.problem.population_size:
            self._fix_reference()

    def _tell_generations(self) -> None:
        """Tell each complete generation, in candidate order, whatever the order of results was."""
        size = self.problem.population_size
        while self._prefix >= (self._told_generations + 1) * size:
            first = self._told_generations * size
            self.algorithm.tell([c for c in self.candidates[first : first + size] if c.eligible])
            self._told_generations += 1

    # --- front ----------------------------------------------------------------------------------------------------

    def _archive(self, candidate: Candidate) -> None:
        if candidate.feasible and candidate.values is not None:
            self.archive.insert(candidate.number, np.asarray(candidate.values, dtype=np.float64))
        self.hypervolumes.append(self.archive.hypervolume)
        self.front_sizes.append(len(self.archive.keys))

    def _set_known_reference(self) -> None:
        known = self.problem.known_reference
        if all(value is not None for value in known):
            self.archive.set_reference(np.asarray(known, dtype=np.float64))

    def _fix_reference(self) -> None:
        """Take the first population's worst values where nothing else says; then measure the past again."""
        first = [c.values for c in self.candidates[: self.problem.population_size] if c.values is not None]
        if not first:
            return
        worst = np.asarray(first, dtype=np.float64).max(axis=0)
        known = self.problem.known_reference
        reference = [w if k is None else k for k, w in zip(known, worst, strict=True)]
        self.archive = FrontArchive(len(known))
        self.archive.set_reference(np.asarray(reference, dtype=np.float64))
        self.hypervolumes, self.front_sizes = [], []
        for number in self.arrivals:
            self._archive(self.candidates[number])

    # --- decisions ------------------------------------------------------------------------------------------------

    def decide(self, free_slots: int, now: float) -> Sequence[ev.Event]:
        """Return the next decisions as events; none while there is only to wait. Changes nothing.

        Args:
            free_slots: slots that nothing waits for; only steadyState asks.
            now: seconds since the epoch.
        """
        if self.finished is not None or self.suspended:
            return ()
        if self.stopped is None:
            stop = self._stop(now, exhausted=False)
            if stop is None:
                wanted, choices = self._choices(free_slots)
                if choices:
                    return self._as_events(choices, now)
                if wanted and self._settled():
                    stop = self._stop(now, exhausted=True)
            if stop is not None:
                return (ev.Stopped(time=now, state=stop.state, reason=stop.reason, message=stop.message),)
            return ()
        failed = self.stopped.state == "Failed"
        if failed or (self._settled() and not any(self.ledger.open_count(kind) for kind in _LATE)):
            stopped = self.stopped
            return (ev.Finished(time=now, state=stopped.state, reason=stopped.reason, message=stopped.message),)
        return ()

    def _stop(self, now: float, *, exhausted: bool) -> stopping.Stop | None:
        here = stopping.Standing(
            len(self.candidates), len(self.arrivals), self._prefix, self._failed_in_prefix, self._settled(),
            self.watch.active_at(now), exhausted, lambda count: self.hypervolumes[count - 1] if count else 0.0,
        )  # fmt: skip
        return stopping.decide(self.problem, self.spec.limits, here)

    def _choices(self, free_slots: int) -> tuple[bool, list[Choice]]:
        """Return whether more may be proposed now, and what."""
        proposed, size = len(self.candidates), self.problem.population_size
        bound = stopping.proposal_bound(self.spec.limits, size)
        room = size if bound is None else bound - proposed
        if self.problem.generational:
            # A generation that a limit had cut short goes on where it was: the same draws, less what was proposed.
            if self._told_generations < proposed // size:
                return False, []
            room = min(room, size - proposed % size)
            place, bred = proposed // size, size
        else:
            waiting = self.ledger.open_count(TaskKind.EVALUATE) - self.ledger.running_count(TaskKind.EVALUATE)
            room = min(room, size if self.problem.graph_only else free_slots - waiting)
            place, bred = proposed, max(room, 4)
        if room <= 0:
            return False, []
        if proposed < size:
            return True, self._proposer.initial(min(room, size - proposed), size)
        algorithm = self.algorithm if not self._untold else self._with_untold()
        return True, self._proposer.offspring(room, place, lambda rng: algorithm.breed(rng, bred), size)

    def _with_untold(self) -> algorithms.Algorithm:
        """Return the algorithm as it will be once the next Proposed has been handled."""
        if self._ahead is None:
            self._ahead = algorithms.make(self.spec.algorithm, self.space.cardinalities)
            self._ahead.restore([self.candidates[number] for number in self.algorithm.members()])
            self._ahead.tell([self.candidates[number] for number in self._untold])
        return self._ahead

    def _as_events(self, choices: Sequence[Choice], now: float) -> list[ev.Event]:
        first, size = len(self.candidates), self.problem.population_size
        # Values are ours, so pydantic need not look at them again: this is the engine's hot path.
        return [
            ev.Proposed.model_construct(
                time=now, number=number, candidate=choice.id, genes=choice.sketch.genes,
                encoding=self.space.encoding(choice.sketch.genes), generation=number // size,
                parents=choice.sketch.parents, operators=choice.sketch.operators,
                parameters=choice.parameters, macs=choice.macs,
            )
            for number, choice in enumerate(choices, start=first)
        ]  # fmt: skip

    def _settled(self) -> bool:
        """Return whether no evaluation is open that is still wanted."""
        if self._prefix == len(self.candidates):
            return True
        return not any(self.wanted(task) for task in self.ledger.open_tasks(TaskKind.EVALUATE))

    def _open_finalisation(self) -> None:
        if not self.problem.finalised or self.stopped is None or self.stopped.state == "Failed":
            return
        if not self._settled():
            return
        if self.archive.reference is None:
            self._fix_reference()
        numbers = [c.number for c in self.candidates if c.eligible] if self.problem.finalise_all else self.archive.keys
        for number in sorted(numbers):
            ref = TaskRef(TaskKind.FINALISE, self.candidates[number].id)
            if ref not in self.ledger.tasks:
                self.ledger.open(ref, number, self.problem.fidelity)

    # --- work -----------------------------------------------------------------------------------------------------

    def wanted(self, task: Task) -> bool:
        """Return whether a task's result would still be used."""
        if task.state is not TaskState.OPEN:
            return False
        if self.stopped is not None and self.stopped.state == "Failed":
            return False
        if task.ref.kind is not TaskKind.EVALUATE:
            return True
        limit = self.spec.limits.max_evaluations
        if limit is not None and task.order >= limit:
            return False
        return self.stopped is None or self.stopped.reason == stopping.STAGNATED

    def runnable(self, limit: int) -> list[TaskRef]:
        """Return at most `limit` tasks that wait for a slot, the most urgent first."""
        return [] if self.suspended or self.finished else self.ledger.waiting(limit, self.wanted)

    def unwanted(self) -> list[str]:
        """Return the task ids of running attempts that nobody waits for any more."""
        limit = self.spec.limits.max_evaluations
        if self.stopped is None and (limit is None or len(self.candidates) <= limit):
            # Then only a late attempt at a task that has ended can be unwanted, and the ledger knows those.
            tasks = self.ledger.running_in_vain()
        else:
            tasks = (task for task in self.ledger.running() if not self.wanted(task))
        return [attempt.task_id for task in tasks if (attempt := task.running()) is not None]

    def assignment(self, ref: TaskRef) -> Assignment:
        """Return the next attempt at a task, as an evaluator gets it."""
        task, candidate = self.ledger.tasks[ref], self.by_id[ref.candidate]
        attempt = len(task.attempts) + 1
        source = self.ledger.tasks.get(TaskRef(TaskKind.EVALUATE, ref.candidate))
        return Assignment(
            task_id=task_id(self.started.search_id, ref.kind, ref.candidate, task.fidelity, attempt),
            kind=ref.kind,
            candidate_id=ref.candidate,
            fidelity=task.fidelity,
            attempt=attempt,
            encoding=candidate.encoding,
            graph=None if self.problem.benchmark else self.space.graph(candidate.genes).to_document(),
            seed=derived_seed(self.spec.seed, "train", candidate.id),
            previous_attempts=tuple(range(attempt - 1, 0, -1)),
            source_attempt=source.succeeded_attempt() if source and ref.kind is not TaskKind.EVALUATE else None,
            deadline_seconds=self.spec.limits.evaluation_deadline_seconds,
            parameters=task.parameters,
        )

    def progress(self) -> SearchProgress:
        """Return how far the search is."""
        finalise = [t for t in self.ledger.tasks.values() if t.ref.kind is TaskKind.FINALISE] if self.stopped else []
        return SearchProgress(
            proposed=len(self.candidates),
            running=self.ledger.running_count(TaskKind.EVALUATE),
            succeeded=len(self.arrivals) - self._failed,
            failed=self._failed,
            max_evaluations=stopping.proposal_bound(self.spec.limits, self.problem.population_size),
            generation=self.generation,
            front_size=len(self.archive.keys),
            hypervolume=self.archive.hypervolume,
            finalising=len(finalise),
            finalised=sum(task.state is not TaskState.OPEN for task in finalise),
        )

    @property
    def generation(self) -> int:
        """Generation of the newest candidate, from 0."""
        return self.candidates[-1].generation if self.candidates else 0

    @property
    def state(self) -> SearchState:
        """One word."""
        if self.finished is not None:
            return SearchState(self.finished.state)
        if self.suspended:
            return SearchState.SUSPENDED
        return SearchState.FINALISING if self.stopped else SearchState.RUNNING

    # --- snapshots ------------------------------------------------------------------------------------------------

    def to_document(self) -> dict[str, Any]:
        """Return the whole state as a JSON document, for `orjson.dumps` (protocol.md §5.5)."""
        return {
            "schema": STATE_SCHEMA,
            "started": self.started.model_dump(),
            "spec": self.spec_document,
            "candidates": [candidate.to_document() for candidate in self.candidates],
            "ledger": self.ledger.to_document(),
            "preempted": self.ledger.preempted_attempts,
            "population": self.algorithm.members(),
            "untold": self._untold,
            "told": self._told_generations,
            "arrivals": self.arrivals,
            "hypervolumes": self.hypervolumes,
            "frontSizes": self.front_sizes,
            "front": self.archive.keys,
            "reference": None if self.archive.reference is None else self.archive.reference.tolist(),
            "stopped": self.stopped.model_dump() if self.stopped else None,
            "finished": self.finished.model_dump() if self.finished else None,
            "suspended": self.suspended,
            "active": [self.watch.active_seconds, self.watch.last_time],
        }

    @staticmethod
    def from_document(document: Mapping[str, Any], space: SearchSpace | None = None) -> Engine:
        """Read what `to_document` wrote, parsed again.

        Raises:
            ValueError, KeyError, TypeError: it is not such a document, or of another schema.
        """
        if document["schema"] != STATE_SCHEMA:
            raise ValueError(f"state schema {document['schema']!r}, this version reads {STATE_SCHEMA}")
        engine = Engine(ev.Started.model_validate(document["started"]), space)
        engine.spec_document, engine.spec = document["spec"], parse_spec(document["spec"])
        engine.candidates = [Candidate.from_document(row) for row in document["candidates"]]
        engine.by_id.update((candidate.id, candidate) for candidate in engine.candidates)
        engine.ledger = Ledger.from_document(document["ledger"], document["preempted"])
        engine.algorithm.restore([engine.candidates[number] for number in document["population"]])
        engine._untold = document["untold"]
        engine._told_generations = document["told"]
        engine.arrivals = document["arrivals"]
        if document["reference"] is not None:
            engine.archive.set_reference(np.asarray(document["reference"], dtype=np.float64))
        for number in document["front"]:
            engine.archive.insert(number, np.asarray(engine.candidates[number].values, dtype=np.float64))
        engine.hypervolumes, engine.front_sizes = document["hypervolumes"], document["frontSizes"]
        engine.stopped = ev.Stopped.model_validate(document["stopped"]) if document["stopped"] else None
        engine.finished = ev.Finished.model_validate(document["finished"]) if document["finished"] else None
        engine.suspended = document["suspended"]
        engine.watch = Stopwatch(*document["active"])
        while engine._prefix < len(engine.candidates) and engine.candidates[engine._prefix].finished:
            engine._failed_in_prefix += engine.candidates[engine._prefix].state is CandidateState.FAILED
            engine._prefix += 1
        engine._failed = sum(candidate.state is CandidateState.FAILED for candidate in engine.candidates)
        return engine


_LATE = (TaskKind.FINALISE, TaskKind.EXPLAIN, TaskKind.REFINE)
