"""Several searches behind one TLS address, as on a cluster, with real agents (protocol.md §6.2, §6.11, §6.12)."""

from __future__ import annotations

import asyncio
import datetime
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from xnas_core import wire
from xnas_core.artifacts.folder import FolderStore
from xnas_core.dispatch.desk import SearchDesk
from xnas_core.dispatch.door import Admission, CallRefusedError, handlers
from xnas_core.dispatch.grants import FolderGrants
from xnas_core.dispatch.interface import AttemptCompleted, DispatchEvent, ProgressMade
from xnas_core.dispatch.listener import Listener
from xnas_core.tasks import EvaluationConfig
from xnas_core.testing.evaluator_contract import CONFIG, assignment
from xnas_core.testing.waiting import until

DIGITS = {"dataset": {"name": "digits", "validationFraction": 0.25}, "seed": 3, "objectives": [{"name": "accuracy"}]}


class Certificates:
    """A certificate that signs itself, for the name xnas.test."""

    def __init__(self) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "xnas.test")])
        now = datetime.datetime.now(datetime.UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(minutes=5))
            .not_valid_after(now + datetime.timedelta(hours=1))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName("xnas.test")]), critical=False)
            .sign(key, hashes.SHA256())
        )
        self.key = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        self.chain = certificate.public_bytes(serialization.Encoding.PEM)

    def current(self) -> tuple[bytes, bytes]:
        return self.key, self.chain


class ByMetadata:
    """Lets in whoever names a search and shows its name as the token."""

    def __init__(self, desks: Mapping[str, SearchDesk]) -> None:
        self.desks = desks
        self.seen: list[str] = []

    async def admit(self, peer: str, metadata: Mapping[str, str]) -> Admission:
        del peer
        name, token = metadata.get("xnas-search", ""), metadata.get("authorization", "")
        self.seen.append(token)
        if token != f"Bearer {name}-token":
            raise CallRefusedError("permissionDenied", f"this token may not serve {name}")
        return Admission(self.desks[name].service, f"{name.rpartition('/')[2]}-pod")


class Cluster:
    """The server, its desks, and agents that are made on demand."""

    def __init__(self, folder: Path, specs: Mapping[str, dict[str, object]]) -> None:
        self.folder = folder
        self.certificates = Certificates()
        self.desks = {
            name: SearchDesk(
                FolderStore(folder / name),
                EvaluationConfig(search_id=name, spec=dict(spec), spec_digest="0" * 64),
                grants=FolderGrants(folder / name),
            )
            for name, spec in specs.items()
        }
        self.door = ByMetadata(self.desks)
        self.listener = Listener(["127.0.0.1:0"], [(wire.SERVICE, handlers(self.door))], self.certificates)
        self.agents: list[asyncio.subprocess.Process] = []

    async def agent(self, search: str, identity: str, token: str) -> asyncio.subprocess.Process:
        (self.folder / "ca.crt").write_bytes(self.certificates.chain)
        (self.folder / f"{identity}.token").write_text(token)
        port = self.listener.bound[0].rpartition(":")[2]
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "xnas_evaluator.agent", "--connect", f"localhost:{port}", "--id", identity,
            "--server-name", "xnas.test", "--ca-file", str(self.folder / "ca.crt"), "--search", search,
            "--token-file", str(self.folder / f"{identity}.token"), "--device", "cpu",
            "--cache", str(self.folder / "cache"), "--tasks", "xnas_evaluator.testing_tasks:run",
            stderr=asyncio.subprocess.PIPE, start_new_session=True,
        )  # fmt: skip
        self.agents.append(process)
        return process


@asynccontextmanager
async def cluster(folder: Path, **specs: dict[str, object]) -> AsyncIterator[Cluster]:
    here = Cluster(folder, {name.replace("_", "/"): spec for name, spec in specs.items()})
    await here.listener.start()
    for desk in here.desks.values():
        desk.open()
    try:
        yield here
    finally:
        for desk in here.desks.values():
            await desk.close(0, drain=False)
        await here.listener.stop(0)
        for agent in here.agents:
            if agent.returncode is None:
                agent.kill()
            await agent.communicate()


async def ending(desk: SearchDesk) -> DispatchEvent:
    async with asyncio.timeout(30):
        while True:
            for event in desk.take():
                if not isinstance(event, ProgressMade):
                    return event
            await desk.wait(1.0)


async def test_each_agent_serves_its_own_search_over_tls(folder: Path) -> None:
    async with cluster(folder, team_one=dict(CONFIG.spec), team_two=dict(CONFIG.spec)) as here:
        for name, desk in here.desks.items():
            desk.hold([])
            await here.agent(name, f"{name.rpartition('/')[2]}-pod", f"{name}-token")
        for number, (name, desk) in enumerate(here.desks.items(), 1):
            await until(desk.free_slots)
            (slot,) = desk.free_slots()
            assert slot.evaluator == f"{name.rpartition('/')[2]}-pod"
            desk.assign(slot, assignment(number))
            end = await ending(desk)
            assert isinstance(end, AttemptCompleted), end
            assert (folder / name / assignment(number).prefix / "result.json").is_file()


@pytest.mark.parametrize(
    ("identity", "token", "said"),
    [
        ("one-pod", "team/two-token", "may not serve team/one"),
        ("other-pod", "team/one-token", "may not call itself other-pod"),
    ],
)
async def test_who_may_not_is_told_and_ends(folder: Path, identity: str, token: str, said: str) -> None:
    async with cluster(folder, team_one={}) as here:
        here.desks["team/one"].hold([])
        agent = await here.agent("team/one", identity, token)
        async with asyncio.timeout(30):
            _, errors = await agent.communicate()
        assert agent.returncode == 5
        assert said in errors.decode()


async def test_a_server_with_another_certificate_is_not_trusted(folder: Path) -> None:
    async with cluster(folder, team_one={}) as here:
        here.desks["team/one"].hold([])
        here.certificates.chain, kept = Certificates().chain, here.certificates.chain
        await here.agent("team/one", "one-pod", "team/one-token")
        here.certificates.chain = kept
        await asyncio.sleep(2.0)
        assert not here.door.seen


async def test_an_evaluator_describes_the_data(folder: Path) -> None:
    async with cluster(folder, team_one=dict(DIGITS)) as here:
        await here.agent("team/one", "one-pod", "team/one-token")
        async with asyncio.timeout(60):
            answer = await here.desks["team/one"].describe()
        assert answer.description is not None, answer.error
        assert answer.description.shape == (1, 8, 8, 10)
        assert answer.description.validation == pytest.approx(0.25 * (answer.description.train * 4 / 3), rel=0.02)
        assert len(answer.description.digest) == 64


async def test_data_that_are_not_there_are_named_to_the_author(folder: Path) -> None:
    spec: dict[str, object] = {"dataset": {"source": {"npz": "/data/nowhere.npz"}}, "seed": 0, "objectives": []}
    async with cluster(folder, team_one=spec) as here:
        await here.agent("team/one", "one-pod", "team/one-token")
        async with asyncio.timeout(60):
            answer = await here.desks["team/one"].describe()
        assert answer.description is None
        assert "/data/nowhere.npz" in answer.error
        assert not answer.transient


async def test_a_table_is_described_by_the_ranges_of_its_columns(folder: Path) -> None:
    (folder / "table.csv").write_text("arch,acc,cost\na,90,3\nb,80,1\nc,85,2\n")
    objectives = [{"name": "accuracy", "metric": "acc"}, {"name": "cost"}]
    spec: dict[str, object] = {"benchmark": {"table": str(folder / "table.csv")}, "objectives": objectives}
    async with cluster(folder, team_one=spec) as here:
        await here.agent("team/one", "one-pod", "team/one-token")
        async with asyncio.timeout(60):
            answer = await here.desks["team/one"].describe()
        assert answer.description is not None, answer.error
        assert answer.description.ranges == {"acc": (80.0, 90.0), "cost": (1.0, 3.0)}
