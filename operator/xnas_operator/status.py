"""The status of a search from what is known of it.

The size has a bound for any number of candidates: the front is cut to FRONT_LIMIT members and FRONT_BYTES, messages to
MESSAGE_BYTES each.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from xnas_core.api.spec import ArchitectureSearchSpec
from xnas_core.api.status import (
    ArchitectureSearchStatus,
    Condition,
    ConditionReason,
    ConditionStatus,
    ConditionType,
    EvaluationsStatus,
    EvaluatorsStatus,
    FrontMember,
    StateWord,
)
from xnas_core.artifacts import keys
from xnas_core.search.stopping import proposal_bound
from xnas_core.search.view import SearchState
from xnas_operator.conditions import Finding, Pool, evaluators_ready, merge_conditions, read_conditions
from xnas_operator.facts import EngineFacts

STATUS_BYTES = 32 * 1024
"""A status stays below this, whatever happens."""
FRONT_BYTES = 14 * 1024
"""Of the front in a status, as JSON."""

_SUSPENDED = "spec.suspend is true; set it to false to go on"


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why a search cannot go on.

    Attributes:
        reason: one CamelCase word (an XnasError's `reason`, or a ConditionReason).
        message: a sentence for people.
        final: no retry helps; otherwise the operator tries again by itself.
    """

    reason: str
    message: str
    final: bool = False


@dataclass(frozen=True, slots=True)
class Situation:
    """All that a status is made from.

    Attributes:
        spec: the spec as it is now.
        generation: metadata.generation that `spec` has.
        accepted: the Accepted condition. False is a refusal; Unknown, not known yet.
        pool: the evaluators.
        engine: None until the search was accepted and its journal read.
        trouble: what stands in the way, if anything.
        changed_fields: fields of the spec that differ from what the search goes on with and may not change.
        artifacts_uri: where the artifacts lie; None until there are any.
        report_uri: where the report lies; None until it was written.
    """

    spec: ArchitectureSearchSpec
    generation: int | None
    accepted: Finding
    pool: Pool
    engine: EngineFacts | None = None
    trouble: Trouble | None = None
    changed_fields: Sequence[str] = ()
    artifacts_uri: str | None = None
    report_uri: str | None = None

    @property
    def needs_evaluators(self) -> bool:
        """Whether anything is trained or looked up at all."""
        return self.spec.dataset is not None or self.spec.benchmark is not None

    @property
    def finished(self) -> bool:
        """Whether the engine has come to its end."""
        return self.engine is not None and self.engine.finished_at is not None

    @property
    def failure(self) -> Trouble | None:
        """What the search has failed of, or None."""
        if self.engine is not None and self.engine.state is SearchState.FAILED:
            return Trouble(self.engine.reason, self.engine.message, True)
        if self.finished:
            return None
        if self.accepted.status is ConditionStatus.FALSE:
            return Trouble(self.accepted.reason, self.accepted.message, True)
        return self.trouble if self.trouble is not None and self.trouble.final else None

    @property
    def suspended(self) -> bool:
        """Whether nothing new starts because someone wants it so."""
        if self.finished or self.failure is not None:
            return False
        return self.spec.suspend if self.engine is None else self.engine.state is SearchState.SUSPENDED


def make_status(old: Mapping[str, Any] | None, here: Situation, now: datetime) -> ArchitectureSearchStatus:
    """Return the status of a search.

    Args:
        old: the status document that the resource has; its conditions' transition times are kept.
        here: what is known.
        now: aware; fractions of a second are dropped.
    """
    engine = here.engine
    ready = _ready(here)
    return ArchitectureSearchStatus(
        observed_generation=here.generation,
        conditions=_conditions(read_conditions((old or {}).get("conditions")), here, ready, now),
        state=_word(here),
        evaluations=_evaluations(here),
        generation=engine.progress.generation + 1 if engine is not None and engine.progress.proposed else 0,
        hypervolume=None if engine is None or engine.hypervolume is None else float(f"{engine.hypervolume:.6g}"),
        evaluators=EvaluatorsStatus(desired=here.pool.desired, ready=here.pool.connected),
        front=_fitting(engine.front) if engine is not None else [],
        front_size=engine.progress.front_size if engine is not None else 0,
        artifacts_uri=here.artifacts_uri,
        report_uri=here.report_uri,
        start_time=_time(engine.started_at) if engine is not None else None,
        completion_time=_time(engine.finished_at) if engine is not None and engine.finished_at is not None else None,
    )


def store_uris(bucket: str, root: str) -> tuple[str, str]:
    """Return where a search's artifacts and its report lie.

    Args:
        bucket: of the store.
        root: key prefix of the search, with or without "/" at its end.
    """
    base = f"s3://{bucket}/{root.strip('/')}/"
    return base, base + keys.REPORT


def _word(here: Situation) -> StateWord:
    if here.failure is not None:
        return StateWord.FAILED
    if here.suspended:
        return StateWord.SUSPENDED
    return StateWord.PENDING if here.engine is None else StateWord(here.engine.state.value)


def _evaluations(here: Situation) -> EvaluationsStatus:
    if here.engine is None:
        most, finished = proposal_bound(here.spec.limits, here.spec.algorithm.population_size), 0
        return EvaluationsStatus(progress=_progress(finished, most))
    progress = here.engine.progress
    finished = progress.succeeded + progress.failed
    return EvaluationsStatus(
        proposed=progress.proposed,
        running=progress.running,
        succeeded=progress.succeeded,
        failed=progress.failed,
        finished=finished,
        progress=_progress(finished, progress.max_evaluations),
        preempted_attempts=here.engine.preempted_attempts,
    )


def _progress(finished: int, most: int | None) -> str:
    return str(finished) if most is None else f"{finished}/{most}"


def _fitting(front: Sequence[FrontMember]) -> list[FrontMember]:
    """Return as many of the first members as fit: eight objectives with long names make a member large."""
    fitting: list[FrontMember] = []
    room = FRONT_BYTES
    for member in front:
        room -= len(json.dumps(member.to_document())) + 2
        if room < 0:
            break
        fitting.append(member)
    return fitting


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(int(seconds), UTC)


def _conditions(old: Sequence[Condition], here: Situation, ready: Finding, now: datetime) -> list[Condition]:
    found = {
        ConditionType.ACCEPTED: here.accepted,
        ConditionType.EVALUATORS_READY: ready,
        ConditionType.PROGRESSING: _progressing(here, ready),
        ConditionType.COMPLETE: _complete(here),
        ConditionType.FAILED: _failed(here),
        ConditionType.SUSPENDED: _suspended(here),
        ConditionType.SPEC_CHANGED: _spec_changed(here.changed_fields),
    }
    return merge_conditions(old, found, here.generation, now.replace(microsecond=0))


def _ready(here: Situation) -> Finding:
    if here.engine is not None and here.engine.late_work:
        return evaluators_ready(here.pool)
    if here.failure is not None or here.finished:
        return Finding.false(ConditionReason.NOT_NEEDED, "the search is over, so there are no evaluators")
    if not here.needs_evaluators:
        text = "every objective follows from the network's graph, so there is nothing to train and no evaluator"
        return Finding.false(ConditionReason.NOT_NEEDED, text)
    if here.suspended:
        return Finding.false(ConditionReason.SUSPENDED, f"evaluators go while the search is suspended: {_SUSPENDED}")
    return evaluators_ready(here.pool)


def _progressing(here: Situation, ready: Finding) -> Finding:
    failure, engine = here.failure, here.engine
    if failure is not None:
        return Finding.false(failure.reason, failure.message)
    if engine is not None and here.finished:
        return Finding.false(ConditionReason.FINISHED, engine.message)
    if here.trouble is not None:
        return Finding.false(here.trouble.reason, here.trouble.message)
    if here.suspended:
        return Finding.false(ConditionReason.SUSPENDED, _SUSPENDED)
    # Whatever keeps evaluators away keeps everything: kubectl's WHY column says it in one word.
    if here.needs_evaluators and ready.status is not ConditionStatus.TRUE:
        return Finding.false(ready.reason, ready.message)
    if engine is None:
        return Finding.false(here.accepted.reason, here.accepted.message)
    if engine.state is SearchState.FINALISING:
        return Finding.true(ConditionReason.FINALISING, f"{engine.message}; the front is being finalised")
    return Finding.true(ConditionReason.EVALUATING, "candidates are being proposed and evaluated")


def _complete(here: Situation) -> Finding:
    if here.engine is not None and here.engine.state is SearchState.COMPLETE:
        return Finding.true(here.engine.reason, here.engine.message)
    text = "the search has failed" if here.failure is not None else "the search goes on"
    return Finding.false(ConditionReason.NOT_FINISHED, text)


def _failed(here: Situation) -> Finding:
    if here.failure is not None:
        return Finding.true(here.failure.reason, here.failure.message)
    return Finding.false(ConditionReason.NOT_FAILED, "the search has not failed")


def _suspended(here: Situation) -> Finding:
    if not here.suspended:
        return Finding.false(ConditionReason.NOT_SUSPENDED, "the search is not suspended")
    return Finding.true(ConditionReason.SUSPENDED, _SUSPENDED)


def _spec_changed(fields: Sequence[str]) -> Finding:
    if not fields:
        return Finding.false(ConditionReason.SPEC_UNCHANGED, "the spec is the accepted one")
    text = f"the search goes on with what it accepted; put back, or start a new search for: {', '.join(fields)}"
    return Finding.true(ConditionReason.IMMUTABLE_FIELD_CHANGED, text)
