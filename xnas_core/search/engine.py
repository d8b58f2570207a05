"""The engine: events in, decisions and work out. Pure and deterministic (protocol.md §1, §5.8).

`handle` is the only place where state changes, for a live search and for a replay alike. `decide` makes decisions as
events and changes nothing: whoever runs the engine journals them and gives them back to `handle`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from xnas_core import plugins
from xnas_core.api.spec import LimitsSpec
from xnas_core.plugins import PluginKind
from xnas_core.search import algorithms, snapshot, stopping, work
from xnas_core.search import events as ev
from xnas_core.search.candidates import Candidate
from xnas_core.search.clockwork import Stopwatch
from xnas_core.search.front import FrontArchive
from xnas_core.search.ledger import Ledger, Task, TaskRef
from xnas_core.search.outcomes import take_failure, take_result
from xnas_core.search.problem import Problem, parse_spec
from xnas_core.search.proposals import Choice, Proposer
from xnas_core.search.view import CandidateState, SearchProgress, SearchState
from xnas_core.spaces.base import DataShape, SearchSpace
from xnas_core.tasks import Assignment, TaskKind


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
        self.untold: list[int] = []
        """Finished candidates that the algorithm has not heard of yet; steadyState only."""
        self._ahead: algorithms.Algorithm | None = None  # what `_with_untold` found, until something else arrives
        self.told_generations = 0
        """Generations that the algorithm has heard of; generational only."""
        self._prefix = 0
        self._failed_in_prefix = 0
        self.failed = 0
        """Candidates that have failed for good, and still count as failed."""
        self._proposer = Proposer(self.problem, self.space, self.by_id)
        if None not in self.problem.known_reference:
            self.archive.set_reference(self.problem.reference(()))

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
                spec = parse_spec(event.spec)
                if not self._end_stands(spec.limits):
                    self.stopped = self.finished = None
                self.spec_document, self.spec, self.suspended = event.spec, spec, spec.suspend
            case ev.Suspended():
                self.suspended = True
            case ev.Resumed():
                self.suspended = self.spec.suspend
            case ev.TaskRequested():
                # A search that has finished stays so; `done` says whether there is still work.
                fidelity, order = work.task_fidelity(self, event), self.by_id[event.candidate].number
                ref = TaskRef(event.task, event.candidate)
                self.ledger.open(ref, order, fidelity, event.parameters, requested=True)
            case ev.Stopped():
                self.stopped = event
            case ev.Finished():
                self.finished = event
            case ev.Ticked() | ev.Started():
                pass
        if self.stopped is not None:
            self._open_finalisation()

    def _proposed(self, event: ev.Proposed) -> None:
        if self.untold:
            self.algorithm, self._ahead, self.untold = self._with_untold(), None, []
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
        else:
            self.ledger.open(TaskRef(TaskKind.EVALUATE, candidate.id), candidate.number, self.problem.fidelity)
        candidate.seal()

    def _succeeded(self, event: ev.Succeeded) -> None:
        if not self.ledger.succeed(TaskRef(event.task, event.candidate), event.attempt, event.time):
            return
        candidate = self.by_id[event.candidate]
        take_result(candidate, event)
        if event.task is TaskKind.EVALUATE:
            self._score(candidate)
            if candidate.finished:
                self._revise(candidate, event.time)
            else:
                candidate.state = CandidateState.SUCCEEDED
                self._finish(candidate, event.time)
        candidate.seal()

    def _revise(self, candidate: Candidate, time: float) -> None:
        """Take the result of a candidate that had failed for good: it counts from now on."""
        candidate.state, candidate.finished_at = CandidateState.SUCCEEDED, time
        self.failed -= 1
        self._failed_in_prefix -= candidate.number < self._prefix
        self._insert(candidate)
        self.hypervolumes[-1], self.front_sizes[-1] = self.archive.hypervolume, len(self.archive.keys)

    def _score(self, candidate: Candidate) -> None:
        metrics = candidate.all_metrics()
        candidate.values = self.problem.values(metrics)
        candidate.violation = self.problem.violation(metrics)
        undefined = candidate.values is None or candidate.violation is None
        candidate.failure = "an objective or a constrained metric is undefined for this network" if undefined else ""

    def _attempt_ended(self, event: ev.AttemptEnded) -> None:
        ref = TaskRef(event.task, event.candidate)
        limit = self.spec.backoff_limit
        if not self.ledger.end(ref, event.attempt, event.reason, event.message, event.time, limit):
            return
        candidate = self.by_id[event.candidate]
        take_failure(candidate, event)
        if event.task is TaskKind.EVALUATE and not candidate.finished:
            candidate.state = CandidateState.FAILED
            self.failed += 1
            self._finish(candidate, event.time)
        candidate.seal()

    def _finish(self, candidate: Candidate, time: float) -> None:
        candidate.finished_at = time
        self.arrivals.append(candidate.number)
        self.advance_prefix()
        if self.problem.generational:
            self._tell_generations()
        elif candidate.eligible:
            self.untold.append(candidate.number)
            self._ahead = None
        self._archive(candidate)
        if self.archive.reference is None and self._prefix >= self.problem.population_size:
            self._fix_reference()

    def advance_prefix(self) -> None:
        """Count on to the first candidate that has not finished."""
        while self._prefix < len(self.candidates) and self.candidates[self._prefix].finished:
            self._failed_in_prefix += self.candidates[self._prefix].state is CandidateState.FAILED
            self._prefix += 1

    def _tell_generations(self) -> None:
        """Tell each complete generation, in candidate order, whatever the order of results was.

        A candidate that was retried on request is left out: proposals are what they would be without (protocol.md §3).
        """
        size = self.problem.population_size
        while self._prefix >= (self.told_generations + 1) * size:
            generation = self.candidates[self.told_generations * size :][:size]
            self.algorithm.tell([c for c in generation if c.eligible and not self._retried(c)])
            self.told_generations += 1

    def _retried(self, candidate: Candidate) -> bool:
        task = self.ledger.tasks.get(TaskRef(TaskKind.EVALUATE, candidate.id))
        return task is not None and task.requested

    # --- front ----------------------------------------------------------------------------------------------------

    def _insert(self, candidate: Candidate) -> None:
        if candidate.feasible and candidate.values is not None:
            self.archive.insert(candidate.number, np.asarray(candidate.values, dtype=np.float64))

    def _archive(self, candidate: Candidate) -> None:
        self._insert(candidate)
        self.hypervolumes.append(self.archive.hypervolume)
        self.front_sizes.append(len(self.archive.keys))

    def _fix_reference(self) -> None:
        """Take the first population's worst values where nothing else says; then measure the past again."""
        first = [c.values for c in self.candidates[: self.problem.population_size] if c.values is not None]
        if not first:
            return
        self.archive = FrontArchive(len(self.spec.objectives))
        self.archive.set_reference(self.problem.reference(first))
        self.hypervolumes, self.front_sizes = [], []
        for number in self.arrivals:
            self._archive(self.candidates[number])

    # --- decisions ------------------------------------------------------------------------------------------------

    def decide(self, free_slots: int, now: float) -> Sequence[ev.Event]:
        """Return the next decisions as events; none while there is only to wait. Changes nothing.

        `free_slots` are those that nothing waits for (only steadyState asks), `now` is in seconds since the epoch.
        """
        if self.finished is not None or self.suspended:
            return ()
        if self.stopped is None:
            stop = self._stop(self.spec.limits, now, exhausted=False)
            if stop is None:
                wanted, choices = self._choices(free_slots)
                if choices:
                    return self._as_events(choices, now)
                if wanted and self._settled():
                    stop = self._stop(self.spec.limits, now, exhausted=True)
            if stop is not None:
                return (ev.Stopped(time=now, state=stop.state, reason=stop.reason, message=stop.message),)
            return ()
        failed = self.stopped.state == "Failed"
        if failed or (self._evaluated() and not any(self.ledger.open_count(kind) for kind in _LATE)):
            stopped = self.stopped
            return (ev.Finished(time=now, state=stopped.state, reason=stopped.reason, message=stopped.message),)
        return ()

    def stays_finished(self, spec_document: Mapping[str, Any]) -> bool:
        """Return whether the search has finished and would stay so with a changed spec; ask before LimitsChanged."""
        return self.finished is not None and self._end_stands(parse_spec(spec_document).limits)

    def _end_stands(self, limits: LimitsSpec) -> bool:
        """Return whether these limits leave a search that has ended where it is (protocol.md §3.1.6)."""
        if limits == self.spec.limits:
            return True
        if self.finished is None:
            return False
        # Time since the end does not count, so the clock stands where it was.
        stop = self._stop(limits, self.watch.last_time, exhausted=False)
        return stop is not None and stop.state == self.finished.state

    def _stop(self, limits: LimitsSpec, now: float, *, exhausted: bool) -> stopping.Stop | None:
        here = stopping.Standing(
            len(self.candidates), len(self.arrivals), self._prefix, self._failed_in_prefix, self._settled(),
            self.watch.active_at(now), exhausted, lambda count: self.hypervolumes[count - 1] if count else 0.0,
        )  # fmt: skip
        return stopping.decide(self.problem, limits, here)

    def _choices(self, free_slots: int) -> tuple[bool, list[Choice]]:
        """Return whether more may be proposed now, and what."""
        proposed, size = len(self.candidates), self.problem.population_size
        bound = stopping.proposal_bound(self.spec.limits, size)
        room = size if bound is None else bound - proposed
        if self.problem.generational:
            # A generation that a limit had cut short goes on where it was: the same draws, less what was proposed.
            if self.told_generations < proposed // size:
                return False, []
            room = min(room, size - proposed % size)
            place, bred = proposed // size, size
        else:
            waiting = self.ledger.waiting_count(TaskKind.EVALUATE)
            room = min(room, size if self.problem.graph_only else free_slots - waiting)
            place, bred = proposed, max(room, 4)
        if room <= 0:
            return False, []
        if proposed < size:
            return True, self._proposer.initial(min(room, size - proposed), size)
        algorithm = self.algorithm if not self.untold else self._with_untold()
        return True, self._proposer.offspring(room, place, lambda rng: algorithm.breed(rng, bred), size)

    def _with_untold(self) -> algorithms.Algorithm:
        """Return the algorithm as it will be once the next Proposed has been handled."""
        if self._ahead is None:
            self._ahead = algorithms.make(self.spec.algorithm, self.space.cardinalities)
            self._ahead.restore([self.candidates[number] for number in self.algorithm.members()])
            self._ahead.tell([self.candidates[number] for number in self.untold])
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
        return self._prefix == len(self.candidates) or self._evaluated()

    def _evaluated(self) -> bool:
        """Return whether no evaluation is open that is still wanted, retries on request included."""
        return not any(self.wanted(task) for task in self.ledger.open_tasks(TaskKind.EVALUATE))

    def _open_finalisation(self) -> None:
        if not self.problem.finalised or self.stopped is None or self.stopped.state == "Failed":
            return
        if not self._evaluated():
            return
        if self.archive.reference is None:
            self._fix_reference()
        numbers = [c.number for c in self.candidates if c.eligible] if self.problem.finalise_all else self.archive.keys
        for number in sorted(numbers):
            self._open_once(TaskKind.FINALISE, number)
        for number in sorted(self.archive.keys) if self.problem.confirmations else ():
            self._open_once(TaskKind.CONFIRM, number)

    def _open_once(self, kind: TaskKind, number: int) -> None:
        ref = TaskRef(kind, self.candidates[number].id)
        if ref not in self.ledger.tasks:
            self.ledger.open(ref, number, self.problem.fidelity, work.own_parameters(self, ref))

    # --- work -----------------------------------------------------------------------------------------------------

    def wanted(self, task: Task) -> bool:
        """Return whether a task's result would still be used."""
        return work.wanted(self, task)

    @property
    def done(self) -> bool:
        """Whether the search has finished and no task is open that is still wanted."""
        return self.finished is not None and not any(self.wanted(task) for task in self.ledger.all_open())

    @property
    def asked_for(self) -> bool:
        """Whether a task that someone asked for can be done now, or is being done."""
        return any(self.wanted(task) for task in self.ledger.asked_for())

    def runnable(self, limit: int, *, requested: bool = False) -> list[TaskRef]:
        """Return at most `limit` tasks that wait for a slot, the most urgent first.

        `requested`: only those that someone asked for, also while the search is suspended.
        """
        if requested:
            return self.ledger.waiting(limit, lambda task: task.requested and self.wanted(task))
        return [] if self.suspended else self.ledger.waiting(limit, self.wanted)

    def unwanted(self) -> list[str]:
        """Return the task ids of running attempts that nobody waits for any more."""
        return work.unwanted(self)

    def assignment(self, ref: TaskRef) -> Assignment:
        """Return the next attempt at a task, as an evaluator gets it."""
        return work.make_assignment(self, ref)

    def progress(self) -> SearchProgress:
        """Return how far the search is."""
        return work.make_progress(self)

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

    def to_document(self) -> Mapping[str, Any]:
        """Return the whole state as a JSON document, for `orjson.dumps` (protocol.md §5.5)."""
        return self.capture()()

    def capture(self) -> Callable[[], Mapping[str, Any]]:
        """Return what makes the document of the state as it is now, later and in any thread."""
        return snapshot.capture(self)

    @staticmethod
    def from_document(document: Mapping[str, Any], space: SearchSpace | None = None) -> Engine:
        """Read what `to_document` wrote, parsed again; raise ValueError, KeyError or TypeError for all else."""
        engine = Engine(ev.Started.model_validate(document["started"]), space)
        snapshot.restore(engine, document)
        return engine


_LATE = (TaskKind.FINALISE, TaskKind.EXPLAIN, TaskKind.REFINE, TaskKind.CONFIRM)
