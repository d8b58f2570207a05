"""The exclusive moment as a state machine: one at a time, nobody waits for ever."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from xnas_evaluator.agent.exclusive import ExclusiveGate, Order


def test_a_lone_worker_enters_at_once() -> None:
    gate = ExclusiveGate(60)
    assert gate.start(0) == [Order(0, "start")]
    assert gate.want(0, 1.0) == [Order(0, "enter")]
    assert gate.leave(0, 2.0) == []


def test_others_are_paused_first_and_resumed_afterwards() -> None:
    gate = ExclusiveGate(60)
    gate.start(0)
    gate.start(1)
    assert gate.want(0, 1.0) == [Order(1, "pause", 1)]
    assert gate.waits(0)
    assert gate.paused(1, 1, 2.0) == [Order(0, "enter")]
    assert gate.waits(1)
    assert not gate.waits(0)
    assert gate.leave(0, 3.0) == [Order(1, "resume")]
    assert not gate.waits(1)


def test_an_attempt_that_would_start_in_the_moment_starts_after_it() -> None:
    gate = ExclusiveGate(60)
    gate.start(0)
    gate.want(0, 1.0)
    assert gate.start(1) == []
    assert gate.leave(0, 2.0) == [Order(1, "start")]


def test_whoever_does_not_pause_in_time_is_not_waited_for() -> None:
    gate = ExclusiveGate(60)
    gate.start(0)
    gate.start(1)
    gate.want(0, 0.0)
    assert gate.tick(59.9) == []
    assert gate.tick(60.0) == [Order(0, "enter")]


def test_a_late_answer_to_an_earlier_pause_does_not_count() -> None:
    gate = ExclusiveGate(60)
    gate.start(0)
    gate.start(1)
    gate.want(0, 0.0)
    assert gate.leave(0, 0.0) == [Order(1, "resume")]
    assert gate.want(0, 1.0) == [Order(1, "pause", 2)]
    assert gate.paused(1, 1, 1.0) == []
    assert gate.paused(1, 2, 1.0) == [Order(0, "enter")]


def test_two_that_want_it_get_it_one_after_the_other() -> None:
    gate = ExclusiveGate(60)
    gate.start(0)
    gate.start(1)
    gate.want(0, 0.0)
    assert gate.want(1, 0.0) == [Order(0, "enter")]
    # It was told to pause while it was asking, or is told now: then the other one has its turn.
    assert gate.leave(0, 1.0) == [Order(0, "pause", 2)]
    assert gate.paused(0, 2, 1.0) == [Order(1, "enter")]
    assert gate.leave(1, 2.0) == [Order(0, "resume"), Order(1, "resume")]


class Simulated:
    """Workers that obey, in any order and with any delay; checks that nobody computes in another's moment."""

    def __init__(self, slots: int) -> None:
        self.gate = ExclusiveGate(1e9)
        self.now = 0.0
        self.state = ["idle"] * slots
        self.pause: list[int | None] = [None] * slots

    def obey(self, orders: list[Order]) -> None:
        for order in orders:
            match order.what:
                case "start":
                    assert self.state[order.slot] == "deferred"
                    self.state[order.slot] = "computing"
                case "enter":
                    assert self.state[order.slot] == "wanting"
                    self.state[order.slot] = "inside"
                case "pause":
                    self.pause[order.slot] = order.number
                case "resume":
                    self.pause[order.slot] = None
                    if self.state[order.slot] == "paused":
                        self.state[order.slot] = "computing"
        inside = [slot for slot, state in enumerate(self.state) if state == "inside"]
        assert len(inside) <= 1
        if inside:
            assert "computing" not in self.state

    def step(self, slot: int, act: str) -> None:
        self.now += 1.0
        state = self.state[slot]
        if act == "life" and state == "computing" and self.pause[slot] is not None:
            self.state[slot] = "paused"
            self.obey(self.gate.paused(slot, self.pause[slot] or 0, self.now))
        elif act == "toggle" and state == "idle":
            self.state[slot] = "deferred"
            self.obey(self.gate.start(slot))
        elif act == "toggle" and state == "computing":
            self.state[slot] = "wanting"
            self.obey(self.gate.want(slot, self.now))
        elif act == "toggle" and state in ("inside", "wanting"):
            self.state[slot] = "computing" if self.pause[slot] is None else "paused"
            was = self.pause[slot]
            orders = self.gate.leave(slot, self.now)
            if was is not None:
                # The worker meets its old pause at the next sign of life and says so.
                self.state[slot] = "paused"
                self.obey(orders)
                if self.pause[slot] is not None:
                    self.obey(self.gate.paused(slot, self.pause[slot] or 0, self.now))
            else:
                self.state[slot] = "computing-until-life"
                self.obey(orders)
                self.state[slot] = "computing" if self.state[slot] == "computing-until-life" else self.state[slot]
                self.step(slot, "life")
        elif act == "end" and state != "idle":
            self.state[slot], self.pause[slot] = "idle", None
            self.obey(self.gate.ended(slot, self.now))

    def settle(self) -> None:
        """Let everybody give signs of life and leave: afterwards nobody may wait."""
        for _ in range(4 * len(self.state) + 4):
            for slot, state in enumerate(self.state):
                self.step(slot, "toggle" if state == "inside" else "life")
        assert "wanting" not in self.state
        assert "paused" not in self.state
        assert "deferred" not in self.state


@settings(max_examples=150, deadline=None)
@given(
    st.integers(1, 4),
    st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["life", "toggle", "end"])), max_size=60),
)
def test_nobody_computes_in_anothers_moment_and_nobody_waits_for_ever(slots: int, steps: list[tuple[int, str]]) -> None:
    simulated = Simulated(slots)
    for slot, act in steps:
        simulated.step(slot % slots, act)
    simulated.settle()
