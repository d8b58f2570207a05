"""A real agent whose search's data lie in the store: one download for all its workers, before and in attempts."""

from __future__ import annotations

import io
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest

from xnas_core.artifacts.s3_settings import S3Settings
from xnas_core.dispatch.grants import S3DataGrants
from xnas_core.tasks import EndReason
from xnas_core.testing.agent_site import Site, site
from xnas_core.testing.certificates import Certificate, self_signed
from xnas_core.testing.evaluator_contract import CONFIG, assignment
from xnas_core.testing.fake_s3 import FakeS3, Refusal, Trouble, fake_s3

URI = "s3://bucket/team/small.npz"
REMOTE = CONFIG.model_copy(update={"spec": {**CONFIG.spec, "dataset": {"source": {"npz": URI}}}})


def archive() -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, x_train=np.zeros((40, 5, 6), np.uint8), y_train=np.arange(40) % 4)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def certificate() -> Certificate:
    return self_signed("127.0.0.1")


@pytest.fixture
def s3() -> Iterator[FakeS3]:
    with fake_s3() as fake:
        fake.objects["team/small.npz"] = archive()
        yield fake


@asynccontextmanager
async def over(s3: FakeS3, folder: Path, *options: str, allowed: bool = True) -> AsyncIterator[Site]:
    settings = S3Settings(s3.url, "artifacts", "access", "secret")
    grants = S3DataGrants(settings, lambda _: allowed)
    async with site(folder, *options, config=REMOTE, data_grants=grants) as here:
        yield here


def reads(s3: FakeS3) -> int:
    return len([seen for seen in s3.seen if seen.path.startswith("/bucket/team/small.npz?")])


async def test_described_then_used_by_all_workers_it_is_read_once(s3: FakeS3, folder: Path) -> None:
    async with over(s3, folder, "--slots", "2") as here:
        described = (await here.server.describe()).description
        assert described is not None
        assert described.shape == (1, 5, 6, 4)
        await here.succeed(assignment(1))
        await here.succeed(assignment(2))
    assert reads(s3) == 1


async def test_two_workers_that_need_it_at_once_read_it_once(s3: FakeS3, folder: Path) -> None:
    async with over(s3, folder, "--slots", "2") as here:
        for number in (1, 2):
            await here.assign(assignment(number))
        assert {(await here.end()).task_id for _ in range(2)} == {assignment(n).task_id for n in (1, 2)}
    assert reads(s3) == 1


async def test_a_url_that_ends_half_way_is_followed_by_another(s3: FakeS3, folder: Path) -> None:
    s3.script = [Trouble.TORN, *[Refusal(403, "AccessDenied")] * 5]
    async with over(s3, folder) as here:
        assert (await here.server.describe()).description is not None
    signed = [seen.headers.get("Range", "") for seen in s3.seen]
    half = f"bytes={len(archive()) // 2}-"
    assert signed == ["", *[half] * 6]


async def test_what_the_administrator_does_not_allow_is_said(s3: FakeS3, folder: Path) -> None:
    async with over(s3, folder, allowed=False) as here:
        answer = await here.server.describe()
        assert answer.description is None
        assert "not mapped" in answer.error
        assert not answer.transient
        failure = await here.fail(assignment(1))
        assert failure.reason is EndReason.STORE_UNAVAILABLE
        assert "not mapped" in failure.message
    assert reads(s3) == 0


async def test_an_object_that_is_not_there_is_the_author_s_mistake(s3: FakeS3, folder: Path) -> None:
    s3.objects.clear()
    async with over(s3, folder) as here:
        answer = await here.server.describe()
        assert f"there is no object {URI}" in answer.error
        assert not answer.transient
        assert (await here.fail(assignment(1))).reason is EndReason.INVALID_TASK
        # One that the search was started with is missing here, or now: that is no candidate's fault.
        known = assignment(2).model_copy(update={"data_digest": "0" * 64})
        assert (await here.fail(known)).reason is EndReason.UNFIT


async def test_a_store_that_refuses_is_asked_again_later(s3: FakeS3, folder: Path) -> None:
    s3.script = [Refusal(403, "AccessDenied")] * 5
    async with over(s3, folder) as here:
        answer = await here.server.describe()
        assert answer.transient
        assert "let this access key read" in answer.error
        assert "Signature" not in answer.error
        assert (await here.server.describe()).description is not None


async def test_a_store_s_private_authority_is_trusted_where_it_is_given(certificate: Certificate, folder: Path) -> None:
    file = folder / "store.crt"
    file.write_bytes(certificate.chain)
    identity: ssl.SSLContext = certificate.identity()
    with fake_s3(identity) as secure:
        secure.objects["team/small.npz"] = archive()
        async with over(secure, folder) as here:
            answer = await here.server.describe()
            assert answer.transient
            assert "certificate is not trusted" in answer.error
        (folder / "s").unlink(missing_ok=True)
        async with over(secure, folder, "--store-ca-file", str(file)) as here:
            await here.succeed(assignment(2))
            assert (await here.server.describe()).description is not None
        assert reads(secure) == 1
