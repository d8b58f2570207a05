"""A search that is driven by hand: a real engine, made-up results, nothing trained. For tests of whatever shows it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

from xnas_core.api.change import spec_digest
from xnas_core.api.spec import ArchitectureSearchSpec
from xnas_core.search import events as ev
from xnas_core.search.engine import Engine
from xnas_core.search.ledger import TaskRef
from xnas_core.search.requests import TaskRequest, accept
from xnas_core.tasks import Artifact, EndReason, TaskKind, attempt_prefix, generator

START = 1_790_000_000.0
SHAPE = (1, 8, 8, 10)
_SECONDS = 7.0
_ARTIFACTS = ("checkpoint.json", "checkpoint.safetensors")


def spec_document(**fields: Any) -> dict[str, Any]:
    """Return a small search on digits with two objectives; top-level fields may be replaced."""
    document = {
        "seed": 11,
        "searchSpace": {"name": "nas-bench-201", "parameters": {"cellsPerStage": 1, "channels": 8}},
        "dataset": {"name": "digits"},
        "training": {"epochs": 2},
        "objectives": [
            {"name": "accuracy", "direction": "maximize"},
            {"name": "macs", "direction": "minimize", "reference": 1e8},
        ],
        "algorithm": {"populationSize": 6},
        "limits": {"maxEvaluations": 60},
        "artifacts": {"checkpoints": "all"},
    }
    return document | fields


class GrowingSearch:
    """One search and the results that it gets.

    Args:
        search_id: its identity.
        spec: its spec; `spec_document()` if None.
        changed: called after each change.
        put: stores an object of the search by key.
    """

    def __init__(
        self,
        search_id: str,
        spec: Mapping[str, Any] | None = None,
        *,
        changed: Callable[[], None] = lambda: None,
        put: Callable[[str, bytes], None] = lambda _key, _data: None,
    ) -> None:
        document = ArchitectureSearchSpec.model_validate(spec or spec_document(), strict=False).to_document()
        self._time = START
        self._changed = changed
        self._put = put
        started = ev.Started(
            time=self._tick(),
            search_id=search_id,
            spec=document,
            spec_digest=spec_digest(document),
            data_shape=SHAPE,
            versions={"xnas": "test"},
        )
        self.events: list[ev.Event] = [started]
        """All events so far, as a journal would hold them."""
        self.engine = Engine(started)

    def replayed(self) -> Engine:
        """Return an engine made from the events: what a restarted process would have."""
        first = self.events[0]
        assert isinstance(first, ev.Started)
        engine = Engine(first)
        for event in self.events[1:]:
            engine.handle(event)
        return engine

    def restart(self) -> None:
        """Go on with a replayed engine."""
        self.engine = self.replayed()

    def propose(self) -> int:
        """Let the engine decide as much as it can; return the number of candidates proposed."""
        before = len(self.engine.candidates)
        while decisions := self.engine.decide(0, self._tick()):
            for decision in decisions:
                self._handle(decision)
        self._changed()
        return len(self.engine.candidates) - before

    def finish(self, count: int, *, fail: bool = False) -> list[str]:
        """Let so many tasks run and succeed, one after another, or (`fail`) fail for good; return the candidates' ids.

        Fewer where the search ends before.
        """
        done: list[str] = []
        while len(done) < count:
            self.propose()
            runnable = self.engine.runnable(1)
            if not runnable:
                break
            self._run(runnable[0], fail=fail)
            self._changed()
            done.append(runnable[0].candidate)
        if done:
            self.propose()
        return done

    def start(self, count: int) -> list[str]:
        """Let so many attempts begin, without an end; return the candidates' ids."""
        self.propose()
        refs = self.engine.runnable(count)
        for ref in refs:
            self._begin(ref)
        self._changed()
        return [ref.candidate for ref in refs]

    def complete(self) -> None:
        """Go on to the end of the search."""
        while self.finish(64):
            pass

    def change(self, spec: Mapping[str, Any]) -> None:
        """Take a changed spec."""
        document = ArchitectureSearchSpec.model_validate(spec, strict=False).to_document()
        self._handle(ev.LimitsChanged(time=self._tick(), spec=document))
        self._changed()

    def request(self, kind: TaskKind, candidate: str, parameters: Mapping[str, Any]) -> None:
        """Ask for a task; raise InvalidInputError where it is not possible."""
        event = accept(self.engine, TaskRequest(kind, candidate, parameters), self._tick())
        if event is not None:
            self._handle(event)
            self._changed()

    def _run(self, ref: TaskRef, *, fail: bool) -> None:
        attempt, where = self._begin(ref)
        if fail:
            # A reason that is final: no retry.
            reason, message = EndReason.NON_FINITE, "the loss is nan"
            self._handle(ev.AttemptEnded(time=self._tick(), reason=reason, message=message, **where))
            return
        rng = generator("growing", ref.candidate, ref.kind)
        prefix = attempt_prefix(ref.candidate, ref.kind, attempt)
        names = _ARTIFACTS if ref.kind in (TaskKind.EVALUATE, TaskKind.REFINE) else ("explanations/gradCam.png",)
        artifacts = tuple(self._store(prefix, name) for name in names)
        metrics = {"accuracy": float(rng.uniform(0.2, 0.99)), "loss": float(rng.uniform(0.1, 2.0))}
        self._handle(
            ev.Succeeded(
                time=self._tick(),
                metrics=metrics if ref.kind is TaskKind.EVALUATE else _late_metrics(ref.kind, metrics["accuracy"]),
                errors={"accuracy": 0.01},
                timings={"train_seconds": 3.5},
                artifacts=artifacts,
                environment={"device": "cpu"},
                **where,
            )
        )

    def _begin(self, ref: TaskRef) -> tuple[int, dict[str, Any]]:
        assignment = self.engine.assignment(ref)
        where = {"task": ref.kind, "candidate": ref.candidate, "attempt": assignment.attempt}
        self._handle(ev.AttemptStarted(time=self._tick(), evaluator="evaluator-0", task_id=assignment.task_id, **where))
        return assignment.attempt, where

    def _store(self, prefix: str, name: str) -> Artifact:
        content = f"content of {prefix}{name}\n".encode() * 100
        self._put(prefix + name, content)
        return Artifact(name=name, size=len(content), sha256=hashlib.sha256(content).hexdigest())

    def _handle(self, event: ev.Event) -> None:
        self.events.append(event)
        self.engine.handle(event)

    def _tick(self) -> float:
        self._time += _SECONDS
        return self._time


def _late_metrics(kind: TaskKind, value: float) -> dict[str, float]:
    name = {TaskKind.REFINE: "refined_accuracy", TaskKind.CONFIRM: "confirmed_accuracy_mean"}.get(kind, "test_accuracy")
    return {name: value}
