"""Leader election: never two at once, and never nobody for long."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.operator import virtual_time
from xnas_core.testing.fake_api import ApiError, FakeApi, Fault
from xnas_core.testing.fake_api.kinds import LEASES as FAKE_LEASES
from xnas_core.testing.waiting import until
from xnas_operator.kube import LEASES, JsonObject, KubeClient, Resource, UnavailableError
from xnas_operator.kube.errors import error_for
from xnas_operator.lease import ElectionTimes, LeadershipLostError, LeaseElector, holder_identity
from xnas_operator.lease_label import ActiveLabel

TIMES = ElectionTimes()


@dataclass
class Network:
    """Carries one operator's requests about Leases to the storage of a fake API server, in virtual time."""

    storage: Any
    random: random.Random
    slow_s: float = 0.05
    loss: float = 0.0
    cut: bool = False

    async def _carry(self, work: Callable[[], JsonObject]) -> JsonObject:
        await asyncio.sleep(self.random.random() * self.slow_s)
        if self.cut or self.random.random() < self.loss / 2:
            await asyncio.sleep(self.random.random() * 30)
            raise UnavailableError("lost on the way there")
        try:
            item = work()
        except ApiError as error:
            raise error_for(error.code, error.reason, error.message) from error
        await asyncio.sleep(self.random.random() * self.slow_s)
        if self.cut or self.random.random() < self.loss / 2:
            await asyncio.sleep(self.random.random() * 30)
            raise UnavailableError("lost on the way back")
        return item

    async def get(self, resource: Resource, namespace: str, name: str) -> JsonObject:
        assert resource == LEASES
        return await self._carry(lambda: self.storage.get(FAKE_LEASES, namespace, name))

    async def create(self, resource: Resource, namespace: str, body: Mapping[str, Any]) -> JsonObject:
        assert resource == LEASES
        return await self._carry(lambda: self.storage.create(FAKE_LEASES, namespace, body))

    async def replace(self, resource: Resource, namespace: str, body: Mapping[str, Any]) -> JsonObject:
        assert resource == LEASES
        name = body["metadata"]["name"]
        return await self._carry(lambda: self.storage.update(FAKE_LEASES, namespace, name, body))


@dataclass
class Operator:
    """One candidate whose clock runs at its own rate from its own zero."""

    name: str
    network: Network
    rate: float = 1.0
    zero: float = 0.0
    times: ElectionTimes = TIMES
    starts: int = 0
    elector: LeaseElector = field(init=False)

    def __post_init__(self) -> None:
        self.restart()

    def clock(self) -> float:
        return self.zero + asyncio.get_running_loop().time() * self.rate

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(seconds, 0.0) / self.rate)

    def restart(self) -> None:
        self.starts += 1
        self.elector = LeaseElector(
            self.network,
            namespace="team",
            name="operator",
            identity=f"{self.name}_{self.starts}",
            times=self.times,
            clock=self.clock,
            sleep=self.sleep,
        )


class Election:
    """Several operators; every beginning of a leadership is checked against all others."""

    def __init__(self, operators: list[Operator]) -> None:
        self.operators = operators
        self.leads: list[tuple[float, str]] = []
        self.tasks: dict[str, asyncio.Task[None]] = {}

    def holders(self) -> list[str]:
        return [operator.name for operator in self.operators if operator.elector.held]

    def start(self, operator: Operator, give_back_after_s: float | None = None) -> None:
        async def work() -> None:
            assert self.holders() == [operator.name], f"two at once: {self.holders()}"
            self.leads.append((asyncio.get_running_loop().time(), operator.name))
            await asyncio.sleep(1e9 if give_back_after_s is None else give_back_after_s)

        async def live() -> None:
            while True:
                try:
                    await operator.elector.lead(work)
                except LeadershipLostError:
                    operator.restart()
                    continue
                return

        self.tasks[operator.name] = asyncio.create_task(live())

    async def kill(self, operator: Operator) -> None:
        """Without a chance to give anything back."""
        operator.network.cut = True
        task = self.tasks.pop(operator.name)
        task.cancel()
        await asyncio.wait((task,))
        operator.network.cut = False
        operator.restart()

    async def end(self) -> None:
        for task in self.tasks.values():
            if task.done() and not task.cancelled():
                task.result()
            task.cancel()
        await asyncio.wait(self.tasks.values())


def operators(rates: list[float], seed: int = 0, **network: Any) -> list[Operator]:
    api = FakeApi(namespaces=["team"])
    chance = random.Random(seed)
    return [
        Operator(f"op{number}", Network(api.storage, random.Random(chance.random()), **network), rate, number * 1000.0)
        for number, rate in enumerate(rates)
    ]


async def leader(election: Election, within_s: float) -> str:
    async with asyncio.timeout(within_s):
        while not election.holders():  # noqa: ASYNC110  (it is a function of the clock, not an event)
            await asyncio.sleep(0.1)
    return election.holders()[0]


async def until_holders(election: Election, names: list[str]) -> None:
    async with asyncio.timeout(100):
        while election.holders() != names:  # noqa: ASYNC110  (as above)
            await asyncio.sleep(0.05)


def test_one_leads_and_goes_on_leading() -> None:
    async def main() -> None:
        election = Election(operators([1.0, 1.0, 1.0]))
        for operator in election.operators:
            election.start(operator)
        first = await leader(election, 1)
        for _ in range(1000):
            await asyncio.sleep(1)
            assert election.holders() == [first]
        assert len(election.leads) == 1
        await election.end()

    virtual_time.run(main())


def test_a_leader_that_is_killed_is_replaced_after_the_duration() -> None:
    async def main() -> None:
        election = Election(operators([1.0, 1.0]))
        for operator in election.operators:
            election.start(operator)
        first = await leader(election, 1)
        await asyncio.sleep(100)
        killed = asyncio.get_running_loop().time()
        await election.kill(next(operator for operator in election.operators if operator.name == first))
        assert await leader(election, 20) != first
        assert 9 < asyncio.get_running_loop().time() - killed < 18
        await election.end()

    virtual_time.run(main())


def test_a_leader_that_stops_in_order_is_replaced_at_once() -> None:
    async def main() -> None:
        election = Election(operators([1.0, 1.0]))
        election.start(election.operators[0], give_back_after_s=50)
        await leader(election, 1)
        election.start(election.operators[1])
        await asyncio.sleep(50)
        stopped = asyncio.get_running_loop().time()
        await until_holders(election, ["op1"])
        assert asyncio.get_running_loop().time() - stopped < 5
        await election.end()

    virtual_time.run(main())


@pytest.mark.parametrize("moment_s", [0.0, 1.0, 2.0, 3.0, 4.0, 5.0])
def test_a_leader_that_is_cut_off_counts_itself_out_before_it_is_replaced(moment_s: float) -> None:
    async def main() -> None:
        election = Election(operators([0.91, 1.09]))
        slow, fast = election.operators
        election.start(slow)
        assert await leader(election, 1) == "op0"
        election.start(fast)
        await asyncio.sleep(100 + moment_s)
        slow.network.cut = True
        await until_holders(election, [])
        assert await leader(election, 20) == "op1"
        slow.network.cut = False
        await asyncio.sleep(200)
        assert election.holders() == ["op1"]
        await election.end()

    virtual_time.run(main())


def test_short_losses_do_not_end_a_leadership() -> None:
    async def main() -> None:
        election = Election(operators([1.0, 1.0]))
        for operator in election.operators:
            election.start(operator)
        first = await leader(election, 1)
        network = next(operator.network for operator in election.operators if operator.name == first)
        for _ in range(50):
            network.cut = True
            await asyncio.sleep(2)
            network.cut = False
            await asyncio.sleep(10)
        assert len(election.leads) == 1
        await election.end()

    virtual_time.run(main())


Act = tuple[str, int, float]


def trial(rates: list[float], seed: int, slow_s: float, loss: float, acts: list[Act]) -> None:
    async def main() -> None:
        election = Election(operators(rates, seed, slow_s=slow_s, loss=loss))
        for operator in election.operators:
            election.start(operator)
        for act, number, pause_s in acts:
            operator = election.operators[number % len(rates)]
            if act == "cutLeader" and election.holders():
                (name,) = election.holders()
                next(one for one in election.operators if one.name == name).network.cut = True
            elif act in ("cut", "heal"):
                operator.network.cut = act == "cut"
            elif act == "kill" and operator.name in election.tasks:
                await election.kill(operator)
            elif act == "start" and operator.name not in election.tasks:
                election.start(operator)
            await asyncio.sleep(pause_s)
            assert len(election.holders()) <= 1
        for operator in election.operators:  # all troubles end
            operator.network.cut, operator.network.loss, operator.network.slow_s = False, 0.0, 0.05
            if operator.name not in election.tasks:
                election.start(operator)
        await leader(election, 80)
        await asyncio.sleep(100)
        assert len(election.holders()) == 1
        await election.end()

    virtual_time.run(main())


@settings(max_examples=60, deadline=None)
@given(
    rates=st.lists(st.sampled_from([0.905, 1.0, 1.095]) | st.floats(0.905, 1.095), min_size=2, max_size=4),
    seed=st.integers(0, 2**32),
    slow_s=st.sampled_from([0.01, 0.5, 4.0, 12.0]),
    loss=st.sampled_from([0.0, 0.1, 0.4]),
    acts=st.lists(
        st.tuples(st.sampled_from(["cut", "cutLeader", "heal", "kill", "start"]), st.integers(0, 3), st.floats(0, 40)),
        max_size=25,
    ),
)
def test_never_two_at_once(rates: list[float], seed: int, slow_s: float, loss: float, acts: list[Act]) -> None:
    trial(rates, seed, slow_s, loss, acts)


@pytest.mark.parametrize("slow_s", [0.01, 2.0])
def test_never_two_at_once_whenever_a_leader_is_cut_off(slow_s: float) -> None:
    for seed in range(60):
        acts = [("heal", 0, 50.0 + seed % 7 * 0.7), ("cutLeader", 0, 40.0)]
        trial([0.905, 1.095], seed, slow_s, 0.0, acts)


class Careless(ElectionTimes):
    @property
    def give_up_s(self) -> float:
        return 1e6


def test_the_simulation_can_see_two_at_once() -> None:
    """A holder that never counts itself out is caught, so the property above can fail."""

    async def main() -> None:
        election = Election(operators([1.0, 1.0]))
        for operator in election.operators:
            operator.times = Careless()
            operator.restart()
        first, second = election.operators
        election.start(first)
        await leader(election, 1)
        election.start(second)
        await asyncio.sleep(30)
        first.network.cut = True
        await asyncio.sleep(60)
        assert election.tasks["op1"].done()
        with pytest.raises(AssertionError, match="two at once"):
            election.tasks["op1"].result()
        del election.tasks["op1"]
        await election.end()

    virtual_time.run(main())


def test_a_lease_removed_by_hand_is_not_taken_from_its_holder() -> None:
    async def main() -> None:
        election = Election(operators([1.0, 1.0]))
        for operator in election.operators:
            election.start(operator)
        first = await leader(election, 1)
        await asyncio.sleep(20)
        election.operators[0].network.storage.delete(FAKE_LEASES, "team", "operator")
        await asyncio.sleep(100)
        assert election.holders() == [first]
        await election.end()

    virtual_time.run(main())


def test_work_that_fails_gives_the_lease_back_and_says_why() -> None:
    async def main() -> None:
        (operator,) = operators([1.0])

        async def work() -> None:
            raise ValueError("broken")

        with pytest.raises(ValueError, match="broken"):
            await operator.elector.lead(work)
        lease = operator.network.storage.get(FAKE_LEASES, "team", "operator")
        assert lease["spec"]["holderIdentity"] == ""

    virtual_time.run(main())


def test_the_lease_is_kept_until_the_work_has_ended() -> None:
    async def main() -> None:
        election = Election(operators([1.0]))
        (operator,) = election.operators
        held: list[bool] = []

        async def work() -> None:
            try:
                await asyncio.sleep(1000)
            finally:
                await asyncio.sleep(60)  # a slow end, longer than the Lease
                held.append(operator.elector.held)

        leading = asyncio.create_task(operator.elector.lead(work))
        await asyncio.sleep(50)
        leading.cancel()
        await asyncio.wait((leading,))
        assert held == [True]
        assert not operator.elector.held

    virtual_time.run(main())


# On real HTTP


async def test_over_http_the_lease_says_who_holds_it(api: FakeApi, kube: KubeClient) -> None:
    elector = LeaseElector(kube, namespace="team", name="operator", identity=holder_identity("pod-0"))
    await elector.acquire()
    spec = api.get("leases", "team", "operator")["spec"]
    assert spec["holderIdentity"].startswith("pod-0_")
    assert (spec["leaseDurationSeconds"], spec["leaseTransitions"]) == (15, 0)
    await elector.release()
    assert api.get("leases", "team", "operator")["spec"]["holderIdentity"] == ""
    other = LeaseElector(kube, namespace="team", name="operator", identity=holder_identity("pod-1"))
    await other.acquire()
    assert api.get("leases", "team", "operator")["spec"]["leaseTransitions"] == 1
    assert {verb for verb, _, resource in api.rules() if resource == "leases"} == {"get", "create", "update"}


async def test_a_lost_answer_does_not_lose_the_lease(api: FakeApi, kube: KubeClient) -> None:
    times = ElectionTimes(duration_s=3, renew_s=0.05)
    elector = LeaseElector(kube, namespace="team", name="operator", identity="a", times=times)
    await elector.acquire()
    keeping = asyncio.create_task(elector.keep())
    fault = api.faults.add(Fault(verb="update", resource="leases", lost="after", times=3))
    await until(lambda: fault.hits == 3)
    await asyncio.sleep(0.2)
    assert elector.held
    assert not keeping.done()
    keeping.cancel()
    await asyncio.wait((keeping,))


async def test_the_service_leads_to_the_active_pod_alone(api: FakeApi, kube: KubeClient, tmp_path: Path) -> None:
    for name in ("pod-0", "pod-1"):
        labels = {"xnas.dev/active": "true"} if name == "pod-0" else {}
        metadata = {"name": name, "namespace": "team", "labels": labels}
        api.create({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {}})

    def active() -> list[str]:
        labelled = [item["metadata"] for item in api.items("pods", "team")]
        return [meta["name"] for meta in labelled if (meta.get("labels") or {}).get("xnas.dev/active") == "true"]

    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    label = ActiveLabel(kube, namespace="team", pod="pod-1", sleep=sleep)
    api.faults.add(Fault(code=403, verb="patch", resource="pods"))
    async with label.shown():
        assert active() == ["pod-1"]
    assert active() == []
    assert waits == [2.0]
    assert LEASES.plural not in {resource for _, _, resource in api.rules()}
