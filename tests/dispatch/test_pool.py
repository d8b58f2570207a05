"""The rules of protocol.md §6, one by one, with a virtual clock."""

from __future__ import annotations

import pytest

from xnas_core.dispatch import messages as m
from xnas_core.dispatch.interface import AttemptCompleted, AttemptFailed, FreeSlot, HeldAttempt, ProgressMade
from xnas_core.dispatch.leases import Close, Instruction, LookUp, Report, Send, parse_prefix
from xnas_core.dispatch.pool import Pool
from xnas_core.errors import IntegrityError
from xnas_core.tasks import (
    Assignment,
    EndReason,
    EvaluationConfig,
    Progress,
    TaskFailure,
    TaskResult,
    candidate_id,
)
from xnas_core.testing.assignments import assignment

CONFIG = EvaluationConfig(search_id="s", spec={}, spec_digest="0" * 64)
HEARTBEAT, GRACE = 1.0, 10.0


def make(number: int = 0, attempt: int = 1, deadline: int = 100) -> Assignment:
    return assignment(number, attempt, deadline_seconds=deadline)


def result_of(task: Assignment) -> TaskResult:
    return TaskResult(task_id=task.task_id, kind=task.kind, candidate_id=task.candidate_id, attempt=task.attempt)


def failure_of(task: Assignment, reason: EndReason = EndReason.EXCEPTION) -> TaskFailure:
    return TaskFailure(
        task_id=task.task_id,
        kind=task.kind,
        candidate_id=task.candidate_id,
        attempt=task.attempt,
        reason=reason,
        message="said so",
    )


def held(task: Assignment, evaluator: str = "e1", deadline: int = 100) -> HeldAttempt:
    return HeldAttempt(task.task_id, evaluator, task.prefix, deadline)


def failed(instructions: list[Instruction]) -> list[EndReason]:
    return [
        i.event.failure.reason for i in instructions if isinstance(i, Report) and isinstance(i.event, AttemptFailed)
    ]


def completed(instructions: list[Instruction]) -> list[TaskResult]:
    return [i.event.result for i in instructions if isinstance(i, Report) and isinstance(i.event, AttemptCompleted)]


def sent(instructions: list[Instruction], kind: type) -> list[object]:
    return [i.message for i in instructions if isinstance(i, Send) and isinstance(i.message, kind)]


@pytest.fixture
def pool() -> Pool:
    return Pool(CONFIG, heartbeat_seconds=HEARTBEAT, grace_seconds=GRACE)


def join(
    pool: Pool, name: str = "e1", slots: int = 1, stream: int = 1, now: float = 0.0, **more: object
) -> list[Instruction]:
    return pool.register(m.Register(name, slots, **more), stream, now)  # type: ignore[arg-type]


def given(pool: Pool, task: Assignment, slot: FreeSlot | None = None, now: float = 0.0) -> list[Instruction]:
    return pool.assign(slot or pool.free_slots()[0], task, now)


# --- §6.2, §6.3: leases ----------------------------------------------------------------------------------------------


def test_register_is_answered_by_the_lease(pool: Pool) -> None:
    assert join(pool) == [Send("e1", m.Welcome(HEARTBEAT, GRACE, CONFIG))]
    assert pool.free_slots() == (FreeSlot("e1", 0),)


def test_slots_are_offered_longest_free_first(pool: Pool) -> None:
    join(pool, "a", 2)
    join(pool, "b", 1, stream=2)
    given(pool, make(1), FreeSlot("a", 0))
    pool.completed("a", result_of(make(1)), 1.0)
    assert pool.free_slots() == (FreeSlot("a", 1), FreeSlot("b", 0), FreeSlot("a", 0))


def test_three_silent_intervals_close_the_stream_and_start_the_grace_period(pool: Pool) -> None:
    join(pool)
    given(pool, make())
    assert pool.tick(3 * HEARTBEAT) == []
    (closed,) = pool.tick(3 * HEARTBEAT + 0.01)
    assert isinstance(closed, Close)
    assert closed.stream == 1
    assert pool.free_slots() == ()
    assert not pool.evaluators()[0].connected


@pytest.mark.parametrize("word", ["heartbeat", "progress", "draining", "failed"])
def test_any_word_is_a_sign_of_life(pool: Pool, word: str) -> None:
    join(pool)
    {
        "heartbeat": lambda: pool.heartbeat("e1", (), 2.5),
        "progress": lambda: pool.progress("e1", Progress(task_id="x", epoch=0, epochs=1), 2.5),
        "draining": lambda: pool.draining("e1", 2.5),
        "failed": lambda: pool.failed("e1", failure_of(make()), 2.5),
    }[word]()
    assert pool.tick(5.0) == []


def test_attempts_stay_the_evaluators_for_the_grace_period_then_are_lost(pool: Pool) -> None:
    join(pool)
    given(pool, make())
    pool.disconnected("e1", 1, 5.0)
    assert pool.tick(5.0 + GRACE - 0.01) == []
    (look,) = pool.tick(5.0 + GRACE)
    assert look == LookUp(make().task_id, ((make().task_id, make().prefix),))
    assert failed(pool.looked_up(make().task_id, None)) == [EndReason.LOST]
    assert pool.evaluators() == ()


def test_an_evaluator_that_comes_back_in_time_keeps_its_attempt(pool: Pool) -> None:
    join(pool, slots=2)
    given(pool, make(), FreeSlot("e1", 1))
    pool.disconnected("e1", 1, 5.0)
    out = join(pool, slots=2, stream=2, now=9.0, running=((make().task_id, 1),))
    assert len(out) == 1
    assert pool.free_slots() == (FreeSlot("e1", 0),)
    assert pool.tick(9.0) == []
    pool.heartbeat("e1", (make().task_id,), 30.0)
    assert pool.tick(30.0) == []
    assert completed(pool.completed("e1", result_of(make()), 31.0)) == [result_of(make())]


def test_an_idle_evaluator_that_goes_is_forgotten_at_once(pool: Pool) -> None:
    join(pool)
    pool.disconnected("e1", 1, 1.0)
    assert pool.evaluators() == ()
    assert pool.free_slots() == ()


def test_a_second_stream_replaces_the_first_whose_end_then_changes_nothing(pool: Pool) -> None:
    join(pool)
    given(pool, make())
    out = join(pool, stream=2, running=((make().task_id, 0),))
    assert isinstance(out[0], Close)
    assert out[0].stream == 1
    assert pool.disconnected("e1", 1, 1.0) == []
    assert pool.evaluators()[0].connected


def test_an_assignment_that_the_evaluator_does_not_know_is_sent_again(pool: Pool) -> None:
    join(pool, slots=2)
    given(pool, make(), FreeSlot("e1", 1))
    pool.disconnected("e1", 1, 1.0)
    out = join(pool, slots=2, stream=2, now=2.0)
    assert sent(out, m.Assign) == [m.Assign.of(1, make())]
    assert pool.free_slots() == (FreeSlot("e1", 0),)


def test_an_assignment_for_which_there_is_no_slot_any_more_is_preempted(pool: Pool) -> None:
    join(pool, slots=2)
    given(pool, make(1))
    given(pool, make(2))
    pool.disconnected("e1", 1, 1.0)
    out = join(pool, slots=1, stream=2, now=2.0, running=((make(1).task_id, 0),))
    (look,) = [i for i in out if isinstance(i, LookUp)]
    assert look.asked_for == make(2).task_id
    assert failed(pool.looked_up(make(2).task_id, None)) == [EndReason.CANCELLED]


# --- §6.4, §6.5: ends and acknowledgements --------------------------------------------------------------------------


def test_an_end_is_acknowledged_only_when_it_is_durable(pool: Pool) -> None:
    join(pool)
    given(pool, make())
    assert sent(pool.completed("e1", result_of(make()), 1.0), m.Ack) == []
    assert pool.acknowledge(make().task_id) == [Send("e1", m.Ack(make().task_id))]
    assert pool.acknowledge(make().task_id) == []


def test_a_result_repeated_before_it_is_durable_is_reported_once(pool: Pool) -> None:
    join(pool)
    given(pool, make())
    assert len(completed(pool.completed("e1", result_of(make()), 1.0))) == 1
    assert pool.completed("e1", result_of(make()), 1.1) == []
    assert pool.acknowledge(make().task_id) == [Send("e1", m.Ack(make().task_id))]


def test_a_result_repeated_after_the_acknowledgement_got_lost_is_acknowledged_again(pool: Pool) -> None:
    join(pool)
    given(pool, make())
    pool.completed("e1", result_of(make()), 1.0)
    pool.acknowledge(make().task_id)
    # The engine ignores the repeated one, and acknowledges it as it does every end.
    assert len(completed(pool.completed("e1", result_of(make()), 2.0))) == 1
    assert pool.acknowledge(make().task_id) == [Send("e1", m.Ack(make().task_id))]


def test_a_result_is_not_lost_with_the_stream_it_came_on(pool: Pool) -> None:
    join(pool)
    given(pool, make())
    pool.completed("e1", result_of(make()), 1.0)
    pool.disconnected("e1", 1, 1.1)
    assert pool.acknowledge(make().task_id) == []
    out = join(pool, stream=2, now=2.0, unacknowledged=(make().task_id,))
    assert sent(out, m.Cancel) == []
    assert len(completed(pool.completed("e1", result_of(make()), 2.1))) == 1
    assert pool.acknowledge(make().task_id) == [Send("e1", m.Ack(make().task_id))]


def test_a_late_result_of_an_attempt_that_was_given_up_still_reaches_the_engine(pool: Pool) -> None:
    join(pool)
    given(pool, make())
    pool.disconnected("e1", 1, 0.0)
    pool.tick(GRACE)
    assert failed(pool.looked_up(make().task_id, None)) == [EndReason.LOST]
    join(pool, "e2", stream=2, now=20.0)
    given(pool, make(0, attempt=2), now=20.0)
    join(pool, "e1", stream=3, now=21.0, unacknowledged=(make().task_id,))
    assert completed(pool.completed("e1", result_of(make()), 21.0)) == [result_of(make())]


def test_a_result_that_arrives_while_it_is_looked_for_is_reported_once(pool: Pool) -> None:
    join(pool)
    given(pool, make())
    pool.disconnected("e1", 1, 0.0)
    pool.tick(GRACE)
    join(pool, stream=2, now=GRACE, unacknowledged=(make().task_id,))
    assert len(completed(pool.completed("e1", result_of(make()), GRACE))) == 1
    assert pool.looked_up(make().task_id, result_of(make())) == []


def test_a_failure_is_reported_and_acknowledged_when_durable(pool: Pool) -> None:
    join(pool)
    given(pool, make())
    assert failed(pool.failed("e1", failure_of(make(), EndReason.NON_FINITE), 1.0)) == [EndReason.NON_FINITE]
    assert pool.failed("e1", failure_of(make()), 1.1) == []
    assert pool.acknowledge(make().task_id) == [Send("e1", m.Ack(make().task_id))]


def test_a_failure_of_an_attempt_that_has_ended_is_acknowledged_and_ignored(pool: Pool) -> None:
    join(pool)
    assert pool.failed("e1", failure_of(make()), 1.0) == [Send("e1", m.Ack(make().task_id))]


def test_everyone_who_sent_an_end_is_told_when_it_is_durable(pool: Pool) -> None:
    join(pool, "e1")
    join(pool, "e2", stream=2)
    pool.completed("e1", result_of(make()), 1.0)
    pool.completed("e2", result_of(make()), 1.0)
    assert pool.acknowledge(make().task_id) == [Send("e1", m.Ack(make().task_id)), Send("e2", m.Ack(make().task_id))]


def test_a_result_sent_by_another_than_the_holder_cancels_the_holder(pool: Pool) -> None:
    join(pool, "e1")
    join(pool, "e2", stream=2)
    given(pool, make(), FreeSlot("e1", 0))
    out = pool.completed("e2", result_of(make()), 1.0)
    assert out[0] == Send("e1", m.Cancel(make().task_id))
    assert completed(out) == [result_of(make())]
    # The holder's slot is its own until it says that it has stopped.
    assert pool.free_slots() == (FreeSlot("e2", 0),)
    pool.failed("e1", failure_of(make(), EndReason.CANCELLED), 1.5)
    assert set(pool.free_slots()) == {FreeSlot("e1", 0), FreeSlot("e2", 0)}


def test_a_result_that_names_another_candidate_fails_the_attempt(pool: Pool) -> None:
    join(pool)
    given(pool, make())
    wrong = result_of(make()).model_copy(update={"candidate_id": candidate_id("other")})
    assert failed(pool.completed("e1", wrong, 1.0)) == [EndReason.BAD_RESULT]
    assert pool.free_slots() == (FreeSlot("e1", 0),)


def test_a_failure_ends_the_attempt_under_the_names_of_our_own_books(pool: Pool) -> None:
    join(pool)
    given(pool, make())
    wrong = failure_of(make()).model_copy(update={"candidate_id": candidate_id("other"), "attempt": 7})
    (report,) = pool.failed("e1", wrong, 1.0)
    assert isinstance(report, Report)
    assert isinstance(report.event, AttemptFailed)
    assert report.event.failure.candidate_id == make().candidate_id
    assert report.event.failure.attempt == 1


def test_an_evaluator_cannot_fail_another_ones_attempt(pool: Pool) -> None:
    join(pool, "e1")
    join(pool, "e2", stream=2)
    given(pool, make(), FreeSlot("e1", 0))
    assert failed(pool.failed("e2", failure_of(make()), 1.0)) == []
    assert len(completed(pool.completed("e1", result_of(make()), 2.0))) == 1


# --- §6.6: results are looked for before anything is given up or done again ---


def test_earlier_attempts_are_looked_at_before_an_assignment_is_sent(pool: Pool) -> None:
    join(pool)
    out = given(pool, make(0, attempt=3))
    first, second = make(0, attempt=1), make(0, attempt=2)
    assert out == [LookUp(make(0, attempt=3).task_id, ((second.task_id, second.prefix), (first.task_id, first.prefix)))]
    assert sent(pool.looked_up(make(0, attempt=3).task_id, None), m.Assign) == [m.Assign.of(0, make(0, attempt=3))]


def test_a_found_result_is_taken_and_the_new_attempt_is_not_sent(pool: Pool) -> None:
    join(pool)
    given(pool, make(0, attempt=2))
    out = pool.looked_up(make(0, attempt=2).task_id, result_of(make(0, attempt=1)))
    assert completed(out) == [result_of(make(0, attempt=1))]
    assert failed(out) == [EndReason.CANCELLED]
    assert sent(out, m.Assign) == []
    assert pool.free_slots() == (FreeSlot("e1", 0),)


def test_an_evaluator_that_comes_back_while_earlier_results_are_looked_for_gets_its_assignment_once(pool: Pool) -> None:
    join(pool)
    task = make(0, attempt=2)
    given(pool, task)
    pool.disconnected("e1", 1, 1.0)
    out = join(pool, stream=2, now=2.0)
    assert sent(out, m.Assign) == []
    assert pool.free_slots() == ()
    assert sent(pool.looked_up(task.task_id, None), m.Assign) == [m.Assign.of(0, task)]


def test_a_result_in_the_store_counts_although_its_evaluator_is_gone(pool: Pool) -> None:
    join(pool)
    given(pool, make())
    pool.disconnected("e1", 1, 0.0)
    pool.tick(GRACE)
    out = pool.looked_up(make().task_id, result_of(make()))
    assert completed(out) == [result_of(make())]
    assert failed(out) == []


# --- §6.7: what the server does not hold is cancelled ---------------------------------------------------------------


def test_a_running_attempt_that_is_not_this_evaluators_is_cancelled(pool: Pool) -> None:
    out = join(pool, running=((make().task_id, 0),))
    assert sent(out, m.Cancel) == [m.Cancel(make().task_id)]
    assert pool.free_slots() == ()
    pool.failed("e1", failure_of(make(), EndReason.CANCELLED), 1.0)
    assert pool.free_slots() == (FreeSlot("e1", 0),)


def test_an_attempt_of_another_evaluator_is_cancelled_too(pool: Pool) -> None:
    join(pool, "e1")
    given(pool, make())
    out = join(pool, "e2", stream=2, running=((make().task_id, 0),))
    assert sent(out, m.Cancel) == [m.Cancel(make().task_id)]


def test_a_heartbeat_frees_a_slot_whose_attempt_ended_without_a_word(pool: Pool) -> None:
    join(pool, running=((make().task_id, 0),))
    pool.heartbeat("e1", (make().task_id,), 1.0)
    assert pool.free_slots() == ()
    pool.heartbeat("e1", (), 2.0)
    assert pool.free_slots() == (FreeSlot("e1", 0),)


def test_a_heartbeat_that_crosses_an_assignment_does_not_free_its_slot(pool: Pool) -> None:
    join(pool)
    given(pool, make())
    pool.heartbeat("e1", (), 1.0)
    assert pool.free_slots() == ()


# --- §6.8: cancel and drain -----------------------------------------------------------------------------------------


def test_cancel_is_reported_when_the_evaluator_says_so(pool: Pool) -> None:
    join(pool)
    given(pool, make())
    assert pool.cancel(make().task_id) == [Send("e1", m.Cancel(make().task_id))]
    assert pool.cancel(make().task_id) == []
    assert failed(pool.failed("e1", failure_of(make(), EndReason.CANCELLED), 1.0)) == [EndReason.CANCELLED]


def test_a_result_that_crosses_the_cancel_counts(pool: Pool) -> None:
    join(pool)
    given(pool, make())
    pool.cancel(make().task_id)
    assert completed(pool.completed("e1", result_of(make()), 1.0)) == [result_of(make())]


def test_cancel_of_an_attempt_whose_evaluator_is_away_is_reported_at_once_and_told_when_it_is_back(pool: Pool) -> None:
    join(pool)
    given(pool, make())
    pool.disconnected("e1", 1, 1.0)
    assert failed(pool.cancel(make().task_id)) == [EndReason.CANCELLED]
    out = join(pool, stream=2, now=2.0, running=((make().task_id, 0),))
    assert sent(out, m.Cancel) == [m.Cancel(make().task_id)]


def test_cancel_that_got_lost_with_the_stream_is_sent_again(pool: Pool) -> None:
    join(pool)
    given(pool, make())
    pool.cancel(make().task_id)
    pool.disconnected("e1", 1, 1.0)
    out = join(pool, stream=2, now=2.0, running=((make().task_id, 0),))
    assert sent(out, m.Cancel) == [m.Cancel(make().task_id)]


def test_a_cancelled_attempt_whose_evaluator_does_not_come_back_ends_as_cancelled(pool: Pool) -> None:
    join(pool)
    given(pool, make())
    pool.cancel(make().task_id)
    pool.disconnected("e1", 1, 1.0)
    pool.tick(1.0 + GRACE)
    assert failed(pool.looked_up(make().task_id, None)) == [EndReason.CANCELLED]


def test_cancel_before_the_assignment_was_sent_frees_the_slot(pool: Pool) -> None:
    join(pool)
    given(pool, make(0, attempt=2))
    assert failed(pool.cancel(make(0, attempt=2).task_id)) == [EndReason.CANCELLED]
    assert pool.free_slots() == (FreeSlot("e1", 0),)
    assert pool.looked_up(make(0, attempt=2).task_id, None) == []


def test_cancel_of_what_nobody_knows_is_harmless(pool: Pool) -> None:
    assert pool.cancel("0" * 24) == []


@pytest.mark.parametrize("who", ["server", "evaluator"])
def test_nothing_is_given_to_an_evaluator_that_drains(pool: Pool, who: str) -> None:
    join(pool, slots=2)
    given(pool, make())
    if who == "server":
        assert pool.drain("e1", 30.0) == [Send("e1", m.Drain(30.0))]
    else:
        pool.draining("e1", 1.0)
    assert pool.free_slots() == ()
    assert failed(pool.failed("e1", failure_of(make(), EndReason.DRAINED), 2.0)) == [EndReason.DRAINED]
    assert pool.free_slots() == ()


def test_an_assignment_that_crosses_the_end_of_its_slot_is_preempted(pool: Pool) -> None:
    join(pool)
    (slot,) = pool.free_slots()
    pool.draining("e1", 1.0)
    assert failed(pool.assign(slot, make(), 1.0)) == [EndReason.CANCELLED]
    pool.disconnected("e1", 1, 2.0)
    assert failed(pool.assign(slot, make(1), 2.0)) == [EndReason.CANCELLED]


def test_two_assignments_to_one_slot_do_not_both_run(pool: Pool) -> None:
    join(pool)
    (slot,) = pool.free_slots()
    pool.assign(slot, make(1), 0.0)
    assert failed(pool.assign(slot, make(2), 0.0)) == [EndReason.CANCELLED]


# --- deadlines, restart, evidence from outside ---------------------------------------------------------------------


def test_the_server_ends_an_attempt_whose_evaluator_forgets_the_deadline(pool: Pool) -> None:
    join(pool)
    given(pool, make(deadline=20))
    pool.heartbeat("e1", (make().task_id,), 29.9)
    assert pool.tick(20 + GRACE - 0.01) == []
    out = pool.tick(20 + GRACE)
    assert sent(out, m.Cancel) == [m.Cancel(make().task_id)]
    assert failed(pool.looked_up(make().task_id, None)) == [EndReason.DEADLINE_EXCEEDED]
    assert pool.free_slots() == ()
    pool.failed("e1", failure_of(make(), EndReason.DEADLINE_EXCEEDED), 31.0)
    assert pool.free_slots() == (FreeSlot("e1", 0),)


def test_after_a_restart_the_evaluators_of_held_attempts_are_waited_for(pool: Pool) -> None:
    assert pool.hold([held(make())], 0.0) == []
    assert pool.tick(GRACE - 0.01) == []
    out = join(pool, now=GRACE - 0.01, running=((make().task_id, 0),))
    assert sent(out, m.Cancel) == []
    assert len(completed(pool.completed("e1", result_of(make()), 20.0))) == 1


def test_after_a_restart_attempts_whose_evaluator_stays_away_are_lost(pool: Pool) -> None:
    pool.hold([held(make())], 0.0)
    pool.tick(GRACE)
    assert failed(pool.looked_up(make().task_id, None)) == [EndReason.LOST]


def test_after_a_restart_attempts_of_the_stopped_runs_own_evaluator_end_at_once() -> None:
    pool = Pool(CONFIG, heartbeat_seconds=HEARTBEAT, grace_seconds=GRACE, local={"local-1"})
    (look,) = pool.hold([held(make(), "local-1")], 0.0)
    assert isinstance(look, LookUp)
    assert failed(pool.looked_up(make().task_id, None)) == [EndReason.RUN_STOPPED]


def test_after_a_restart_a_stored_result_of_the_stopped_run_counts() -> None:
    pool = Pool(CONFIG, heartbeat_seconds=HEARTBEAT, grace_seconds=GRACE, local={"local-1"})
    pool.hold([held(make(), "local-1")], 0.0)
    assert completed(pool.looked_up(make().task_id, result_of(make()))) == [result_of(make())]


def test_an_assignment_that_a_killed_server_never_sent_is_preempted(pool: Pool) -> None:
    pool.hold([held(make())], 0.0)
    out = join(pool, now=1.0)
    assert any(isinstance(i, LookUp) for i in out)
    assert failed(pool.looked_up(make().task_id, None)) == [EndReason.CANCELLED]
    assert pool.free_slots() == (FreeSlot("e1", 0),)


def test_holding_twice_is_harmless(pool: Pool) -> None:
    pool.hold([held(make())], 0.0)
    pool.hold([held(make())], 5.0)
    pool.tick(GRACE)
    assert failed(pool.looked_up(make().task_id, None)) == [EndReason.LOST]


OUTSIDE = [EndReason.EVICTED, EndReason.NODE_LOST, EndReason.SCALED_DOWN, EndReason.RUN_STOPPED, EndReason.LOST]


@pytest.mark.parametrize("reason", OUTSIDE)
def test_evidence_that_an_evaluator_is_gone_ends_its_attempts_at_once(pool: Pool, reason: EndReason) -> None:
    join(pool, slots=2)
    given(pool, make(1))
    given(pool, make(2))
    out = pool.report_end("e1", reason, "its pod is gone")
    assert isinstance(out[0], Close)
    ends = [failed(pool.looked_up(make(number).task_id, None)) for number in (1, 2)]
    assert ends == [[reason], [reason]]
    assert pool.evaluators() == ()


@pytest.mark.parametrize("reason", [reason for reason in OUTSIDE if reason is not EndReason.NODE_LOST])
def test_evidence_that_an_evaluator_will_go_takes_the_place_of_lost(pool: Pool, reason: EndReason) -> None:
    join(pool, slots=2)
    given(pool, make())
    assert pool.report_end("e1", reason, "its pod has DisruptionTarget", gone=False) == []
    assert pool.free_slots() == ()
    pool.disconnected("e1", 1, 1.0)
    join(pool, slots=2, stream=2, now=2.0, running=((make().task_id, 0),))
    assert pool.free_slots() == (), "an evaluator that will go takes nothing new, also after coming back"
    pool.disconnected("e1", 2, 3.0)
    pool.tick(3.0 + GRACE)
    assert failed(pool.looked_up(make().task_id, None)) == [reason]


def test_an_evaluator_that_comes_back_was_not_on_a_lost_node(pool: Pool) -> None:
    """Its cluster may lose sight of a node for a while; without this the evaluator would be given nothing for good."""
    join(pool, slots=2)
    given(pool, make())
    pool.disconnected("e1", 1, 1.0)
    assert pool.report_end("e1", EndReason.NODE_LOST, "its node n1 is lost", gone=False) == []
    join(pool, slots=2, stream=2, now=2.0, running=((make().task_id, 0),))
    assert pool.free_slots() == (FreeSlot("e1", 1),)
    pool.disconnected("e1", 2, 3.0)
    pool.tick(3.0 + GRACE)
    assert failed(pool.looked_up(make().task_id, None)) == [EndReason.LOST]


def test_evidence_that_a_node_is_lost_takes_the_place_of_lost(pool: Pool) -> None:
    join(pool)
    given(pool, make())
    pool.disconnected("e1", 1, 1.0)
    pool.report_end("e1", EndReason.NODE_LOST, "its node n1 is lost", gone=False)
    pool.tick(1.0 + GRACE)
    assert failed(pool.looked_up(make().task_id, None)) == [EndReason.NODE_LOST]


def test_evidence_about_an_unknown_evaluator_is_harmless(pool: Pool) -> None:
    assert pool.report_end("nobody", EndReason.EVICTED, "") == []


def test_an_evaluator_that_goes_before_the_assignment_was_sent_has_not_failed(pool: Pool) -> None:
    join(pool)
    given(pool, make(0, attempt=2))
    out = pool.report_end("e1", EndReason.LOST, "gone")
    assert failed(out) == [EndReason.CANCELLED]


def test_an_assignment_that_cannot_be_sent_fails_the_candidate_for_good(pool: Pool) -> None:
    join(pool)
    given(pool, make())
    assert failed(pool.refuse_assignment(make().task_id, "too large")) == [EndReason.INVALID_TASK]
    assert pool.free_slots() == (FreeSlot("e1", 0),)


def test_progress_is_passed_on_for_attempts_that_are_held_only(pool: Pool) -> None:
    join(pool)
    given(pool, make())
    known = Progress(task_id=make().task_id, epoch=1, epochs=2)
    assert pool.progress("e1", known, 1.0) == [Report(ProgressMade(known))]
    assert pool.progress("e1", Progress(task_id="0" * 24, epoch=1, epochs=2), 1.0) == []


# --- §6.9: grants ---


def test_an_attempt_may_write_below_its_own_prefix_and_read_its_candidates(pool: Pool) -> None:
    join(pool)
    task = make(0, attempt=2)
    given(pool, task)
    folder = f"candidates/{task.candidate_id}/"
    pool.check_grant("e1", task.task_id, task.prefix + "state.safetensors", write=True)
    pool.check_grant("e1", task.task_id, folder + "evaluate-1/state.safetensors", write=False)
    for key, write in (
        (folder + "evaluate-1/state.safetensors", True),
        (folder + "evaluate-22/x", True),
        ("candidates/other/evaluate-1/x", False),
        ("journal/00000001.json", True),
        ("journal/00000001.json", False),
        (task.prefix, True),
    ):
        with pytest.raises(PermissionError):
            pool.check_grant("e1", task.task_id, key, write=write)


def test_grants_are_for_attempts_that_the_evaluator_holds(pool: Pool) -> None:
    join(pool, "e1")
    join(pool, "e2", stream=2)
    given(pool, make(), FreeSlot("e1", 0))
    key = make().prefix + "x"
    with pytest.raises(PermissionError):
        pool.check_grant("e2", make().task_id, key, write=True)
    with pytest.raises(LookupError):
        pool.check_grant("e3", make().task_id, key, write=True)
    pool.completed("e1", result_of(make()), 1.0)
    with pytest.raises(PermissionError):
        pool.check_grant("e1", make().task_id, key, write=True)


@pytest.mark.parametrize("prefix", ["", "x", "candidates/c/evaluate-1", "candidates/c/evaluate/", "candidates/c/a-1/"])
def test_an_odd_prefix_is_an_integrity_error(prefix: str) -> None:
    with pytest.raises(IntegrityError):
        parse_prefix(prefix)
