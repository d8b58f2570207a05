"""The status: words and conditions for every state, a bound on its size, and the smallest patch."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, SupportsIndex

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xnas_core.api import ArchitectureSearchSpec
from xnas_core.api.status import (
    FRONT_LIMIT,
    ArchitectureSearchStatus,
    ConditionStatus,
    ConditionType,
    FrontMember,
    StateWord,
)
from xnas_core.search.engine import Engine
from xnas_core.search.events import Started
from xnas_core.search.problem import parse_spec
from xnas_core.search.view import SearchProgress, SearchState
from xnas_core.search.viewing import view
from xnas_operator.conditions import Finding, Pool
from xnas_operator.facts import EngineFacts, engine_facts
from xnas_operator.status import STATUS_BYTES, Situation, Trouble, make_status, store_uris

NOW = datetime(2026, 3, 1, 10, 0, 0, 250_000, tzinfo=UTC)
STARTED = datetime(2026, 3, 1, 9, tzinfo=UTC).timestamp()
ACCEPTED = Finding.true("Accepted", "the spec is accepted")
UNKNOWN = Finding.unknown("AwaitingEvaluators", "no evaluator has declared its data sets yet")
REFUSED = Finding.false("InvalidSpec", "searchSpace.name: unknown search space 'nb'")


def spec(**changes: Any) -> ArchitectureSearchSpec:
    document = {
        "searchSpace": {"name": "nas-bench-201", "parameters": {"cellsPerStage": 1, "channels": 4}},
        "dataset": {"name": "digits"},
        "objectives": [{"name": "accuracy", "direction": "maximize"}, {"name": "macs", "direction": "minimize"}],
        "limits": {"maxEvaluations": 64},
        "algorithm": {"populationSize": 8},
    }
    return parse_spec({**document, **changes})


GRAPH_ONLY = parse_spec(
    {
        "searchSpace": {"name": "nas-bench-201", "parameters": {"cellsPerStage": 1, "channels": 4}},
        "objectives": [{"name": "parameters", "direction": "minimize"}, {"name": "macs", "direction": "maximize"}],
        "limits": {"maxEvaluations": 600},
        "algorithm": {"populationSize": 50},
    }
)


def facts(state: SearchState = SearchState.RUNNING, **changes: Any) -> EngineFacts:
    over = state in (SearchState.COMPLETE, SearchState.FAILED)
    found = EngineFacts(
        progress=SearchProgress(20, 4, 11, 1, 64, 2, 3, 0.123456789, 0, 0),
        state=state,
        reason={SearchState.COMPLETE: "MaxEvaluations", SearchState.FAILED: "TooManyFailures"}.get(state, ""),
        message="64 evaluations have finished" if state is not SearchState.RUNNING else "",
        front=(FrontMember(id="c1", values={"accuracy": 0.9, "macs": 1e6}),),
        hypervolume=0.123456789,
        preempted_attempts=2,
        started_at=STARTED + 0.7,
        finished_at=STARTED + 100.9 if over else None,
    )
    return replace(found, **changes)


def situation(**changes: Any) -> Situation:
    known: dict[str, Any] = {"spec": spec(), "generation": 3, "accepted": ACCEPTED, "pool": Pool(2, 2)}
    return Situation(**{**known, **changes})


def conditions(status: ArchitectureSearchStatus) -> dict[str, tuple[str, str]]:
    return {c.type.value: (c.status.value, c.reason) for c in status.conditions}


SUSPENDED_SPEC = spec(suspend=True)
F, T, U = "False", "True", "Unknown"
STATES: list[tuple[str, Situation, StateWord, dict[str, tuple[str, str]]]] = [
    (
        "new",
        situation(accepted=UNKNOWN, pool=Pool(2, 0)),
        StateWord.PENDING,
        {"Accepted": (U, "AwaitingEvaluators"), "EvaluatorsReady": (F, "EvaluatorsStarting"),
         "Progressing": (F, "EvaluatorsStarting"), "Complete": (F, "NotFinished"), "Failed": (F, "NotFailed")},
    ),
    (
        "evaluators connected, not accepted yet",
        situation(accepted=UNKNOWN),
        StateWord.PENDING,
        {"EvaluatorsReady": (T, "EvaluatorsConnected"), "Progressing": (F, "AwaitingEvaluators")},
    ),
    (
        "refused",
        situation(accepted=REFUSED, pool=Pool(0, 0)),
        StateWord.FAILED,
        {"Accepted": (F, "InvalidSpec"), "Failed": (T, "InvalidSpec"), "Progressing": (F, "InvalidSpec"),
         "EvaluatorsReady": (F, "NotNeeded"), "Complete": (F, "NotFinished")},
    ),
    (
        "running",
        situation(engine=facts()),
        StateWord.RUNNING,
        {"Accepted": (T, "Accepted"), "EvaluatorsReady": (T, "EvaluatorsConnected"), "Progressing": (T, "Evaluating"),
         "Complete": (F, "NotFinished"), "Failed": (F, "NotFailed"), "Suspended": (F, "NotSuspended"),
         "SpecChanged": (F, "SpecUnchanged")},
    ),
    (
        "running, all evaluators gone",
        situation(engine=facts(), pool=Pool(2, 0)),
        StateWord.RUNNING,
        {"EvaluatorsReady": (F, "EvaluatorsStarting"), "Progressing": (F, "EvaluatorsStarting")},
    ),
    (
        "store away",
        situation(engine=facts(), trouble=Trouble("StoreUnavailable", "the store does not answer")),
        StateWord.RUNNING,
        {"Progressing": (F, "StoreUnavailable"), "Failed": (F, "NotFailed")},
    ),
    (
        "journal torn",
        situation(trouble=Trouble("JournalCorrupt", "journal/00000002.json is torn", final=True)),
        StateWord.FAILED,
        {"Progressing": (F, "JournalCorrupt"), "Failed": (T, "JournalCorrupt"), "EvaluatorsReady": (F, "NotNeeded")},
    ),
    (
        "suspended before it began",
        situation(spec=SUSPENDED_SPEC, pool=Pool(0, 0)),
        StateWord.SUSPENDED,
        {"Suspended": (T, "Suspended"), "Progressing": (F, "Suspended"), "EvaluatorsReady": (F, "Suspended")},
    ),
    (
        "suspended",
        situation(spec=SUSPENDED_SPEC, engine=facts(SearchState.SUSPENDED), pool=Pool(0, 0)),
        StateWord.SUSPENDED,
        {"Suspended": (T, "Suspended"), "Progressing": (F, "Suspended"), "Complete": (F, "NotFinished")},
    ),
    (
        "finalising",
        situation(engine=facts(SearchState.FINALISING)),
        StateWord.FINALISING,
        {"Progressing": (T, "Finalising"), "Complete": (F, "NotFinished")},
    ),
    (
        "complete, and the spec says suspend",
        situation(spec=SUSPENDED_SPEC, engine=facts(SearchState.COMPLETE), pool=Pool(0, 0)),
        StateWord.COMPLETE,
        {"Complete": (T, "MaxEvaluations"), "Failed": (F, "NotFailed"), "Progressing": (F, "Finished"),
         "EvaluatorsReady": (F, "NotNeeded"), "Suspended": (F, "NotSuspended")},
    ),
    (
        "complete, while the store is away",
        situation(engine=facts(SearchState.COMPLETE), trouble=Trouble("StoreUnavailable", "away", final=True)),
        StateWord.COMPLETE,
        {"Complete": (T, "MaxEvaluations"), "Failed": (F, "NotFailed")},
    ),
    (
        "failed",
        situation(engine=facts(SearchState.FAILED), pool=Pool(0, 0)),
        StateWord.FAILED,
        {"Failed": (T, "TooManyFailures"), "Complete": (F, "NotFinished"), "Progressing": (F, "TooManyFailures")},
    ),
    (
        "graph only",
        situation(spec=GRAPH_ONLY, engine=facts(), pool=Pool(0, 0)),
        StateWord.RUNNING,
        {"EvaluatorsReady": (F, "NotNeeded"), "Progressing": (T, "Evaluating")},
    ),
    (
        "an immutable field changed behind CEL's back",
        situation(engine=facts(), changed_fields=["searchSpace.parameters.channels"]),
        StateWord.RUNNING,
        {"SpecChanged": (T, "ImmutableFieldChanged"), "Progressing": (T, "Evaluating")},
    ),
]  # fmt: skip


@pytest.mark.parametrize(("here", "word", "expected"), [row[1:] for row in STATES], ids=[row[0] for row in STATES])
def test_words_and_conditions(here: Situation, word: StateWord, expected: dict[str, tuple[str, str]]) -> None:
    status = make_status(None, here, NOW)
    found = conditions(status)
    assert status.state is word
    assert {kind: found[kind] for kind in expected} == expected
    assert list(found) == [kind.value for kind in ConditionType], "all seven, in the fixed order"
    assert (found["Complete"][0], found["Failed"][0]) != (T, T)
    assert all(c.observed_generation == 3 for c in status.conditions)


def test_numbers() -> None:
    uris = store_uris("xnas", "searches/team-a/fashion/u1/")
    status = make_status(None, situation(engine=facts(), artifacts_uri=uris[0], report_uri=uris[1]), NOW)
    document = status.to_document()
    assert document["evaluations"] == {
        "proposed": 20, "running": 4, "succeeded": 11, "failed": 1, "finished": 12, "progress": "12/64",
        "preemptedAttempts": 2,
    }  # fmt: skip
    assert document["generation"] == 3, "the first population is 1"
    assert document["hypervolume"] == 0.123457
    assert document["evaluators"] == {"desired": 2, "ready": 2}
    assert document["front"] == [{"id": "c1", "values": {"accuracy": 0.9, "macs": 1e6}}]
    assert document["frontSize"] == 3
    assert document["artifactsUri"] == "s3://xnas/searches/team-a/fashion/u1/"
    assert document["reportUri"] == "s3://xnas/searches/team-a/fashion/u1/report.html"
    assert document["startTime"] == "2026-03-01T09:00:00Z"
    assert "completionTime" not in document
    over = make_status(None, situation(engine=facts(SearchState.COMPLETE)), NOW).to_document()
    assert over["completionTime"] == "2026-03-01T09:01:40Z"


def test_before_there_is_an_engine_the_limit_is_known() -> None:
    status = make_status(None, situation(accepted=UNKNOWN), NOW)
    assert status.evaluations.progress == "0/64"
    assert (status.generation, status.hypervolume, status.start_time) == (0, None, None)
    endless = situation(spec=spec(limits={"activeDeadlineSeconds": 60}), accepted=UNKNOWN)
    assert make_status(None, endless, NOW).evaluations.progress == "0"


def test_transition_times_are_kept_from_the_old_document() -> None:
    first = make_status(None, situation(engine=facts()), NOW)
    later = make_status(first.to_document(), situation(engine=facts(), generation=4), NOW + timedelta(hours=1))
    assert {c.last_transition_time for c in later.conditions} == {NOW.replace(microsecond=0)}
    ended = make_status(first.to_document(), situation(engine=facts(SearchState.COMPLETE)), NOW + timedelta(hours=1))
    moved = {c.type for c in ended.conditions if c.last_transition_time > NOW}
    assert moved == {ConditionType.COMPLETE, ConditionType.PROGRESSING, ConditionType.EVALUATORS_READY}


# --- from a real engine -----------------------------------------------------------------------------------------------


def engine(of: ArchitectureSearchSpec = GRAPH_ONLY) -> Engine:
    document = of.to_document()
    started = Started(
        time=STARTED, search_id="s", spec=document, spec_digest="", data_shape=(3, 32, 32, 10), versions={}
    )
    return Engine(started)


def run(it: Engine) -> Engine:
    now = STARTED
    while events := it.decide(1, now := now + 1):
        for event in events:
            it.handle(event)
    return it


@pytest.fixture(scope="module")
def finished() -> Engine:
    return run(engine())


def test_the_front_is_the_beginning_of_the_views_front(finished: Engine) -> None:
    whole, found = view(finished, "x"), engine_facts(finished)
    assert len(whole.front) > 3
    assert tuple(member.id for member in found.front) == whole.front[:FRONT_LIMIT]
    first = next(c for c in whole.candidates if c.id == found.front[0].id)
    assert found.front[0].values == {"parameters": first.objectives[0], "macs": first.objectives[1]}
    assert (found.state, found.reason) == (SearchState.COMPLETE, "MaxEvaluations")
    assert found.finished_at is not None
    assert found.started_at == STARTED
    assert found.hypervolume == finished.archive.hypervolume


def test_a_new_engine_has_no_hypervolume_and_no_generation() -> None:
    status = make_status(None, situation(spec=GRAPH_ONLY, engine=engine_facts(engine())), NOW)
    assert (status.hypervolume, status.generation, status.front_size) == (None, 0, 0)
    assert status.evaluations.progress == "0/600"


class Counted(list[Any]):
    """A list that counts looks at single items and refuses to be walked through."""

    looks = 0

    def __getitem__(self, index: SupportsIndex | slice) -> Any:
        assert not isinstance(index, slice)
        self.looks += 1
        return super().__getitem__(index)

    def __iter__(self) -> Any:
        raise AssertionError("looked at all candidates")


def test_only_the_front_is_looked_at() -> None:
    both_ways = GRAPH_ONLY.to_document()
    both_ways["objectives"][1]["direction"] = "minimize"
    it = run(engine(parse_spec(both_ways)))
    front, everyone = len(it.archive.keys), len(it.candidates)
    it.candidates = counted = Counted(it.candidates)
    engine_facts(it)
    assert counted.looks <= 3 * front + 2
    assert counted.looks < everyone / 4


# --- size and patch ---------------------------------------------------------------------------------------------------

TEXT = st.text(max_size=50).map(lambda text: text * 400)
COUNTS = st.integers(0, 2**53 - 1)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
LONG_NAMES = [f"{letter}{'x' * 61}{letter}" for letter in "abcdefgh"]
MEMBER = st.builds(
    lambda number, values: FrontMember(id=f"c{number:012x}", values=dict(zip(LONG_NAMES, values, strict=True))),
    st.integers(0, 2**48 - 1),
    st.lists(FLOATS, min_size=8, max_size=8),
)
ENGINES = st.builds(
    EngineFacts,
    progress=st.builds(
        SearchProgress, COUNTS, COUNTS, st.integers(0, 2**40), st.integers(0, 2**40), st.none() | COUNTS,
        st.integers(0, 2**40), COUNTS, FLOATS, COUNTS, COUNTS,
    ),
    state=st.sampled_from(SearchState),
    reason=st.sampled_from(["MaxEvaluations", "Stagnated"]),
    message=TEXT,
    front=MEMBER.map(lambda member: (member,) * FRONT_LIMIT),
    hypervolume=st.none() | st.floats(0, 1e300),
    preempted_attempts=COUNTS,
    started_at=st.floats(0, 4e9),
    finished_at=st.none() | st.floats(0, 4e9),
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(
    found=ENGINES | st.none(),
    accepted=st.sampled_from(ConditionStatus),
    text=TEXT,
    fields=st.lists(st.just("searchSpace.parameters.something"), max_size=300),
    trouble=st.booleans(),
)
def test_the_size_has_a_bound(
    found: EngineFacts | None, accepted: ConditionStatus, text: str, fields: list[str], trouble: bool
) -> None:
    waiting = {"metadata": {"uid": "u"}, "status": {"conditions": [
        {"type": "PodScheduled", "status": "False", "message": text}]}}  # fmt: skip
    here = situation(
        engine=found,
        accepted=Finding(accepted, "Accepted", text),
        pool=Pool(10_000, 0, {"spec": {}}, [waiting]),
        changed_fields=fields,
        trouble=Trouble("StoreUnavailable", text) if trouble else None,
        artifacts_uri="s3://" + "b" * 2000,
        report_uri="s3://" + "b" * 2000,
    )
    status = make_status(None, here, NOW)
    document = status.to_document()
    assert len(json.dumps(document)) < STATUS_BYTES
    assert make_status(document, here, NOW + timedelta(1)).to_document() == json.loads(json.dumps(document))


def test_short_names_leave_room_for_the_whole_limit() -> None:
    front = tuple(FrontMember(id=f"c{n:012x}", values={"accuracy": 0.123456789012345, "macs": 1e6}) for n in range(32))
    assert len(make_status(None, situation(engine=facts(front=front)), NOW).front) == FRONT_LIMIT


def test_whole_numbers_of_other_languages_are_equal() -> None:
    """JSON from Go has 1000000 where ours has 1000000.0."""
    new = make_status(None, situation(engine=facts()), NOW)
    old = json.loads(json.dumps(new.to_document()).replace("1000000.0", "1000000"))
    assert new.to_document() == old
