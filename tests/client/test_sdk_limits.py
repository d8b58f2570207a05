"""Deadlines, retries, TLS, tokens, settings: the SDK where things go wrong."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from xnas_core.client import SearchClient
from xnas_core.client.connection import connection
from xnas_core.errors import InvalidInputError, StoreError
from xnas_core.service.errors import DeadlineError, UnavailableError
from xnas_core.testing.certificates import self_signed
from xnas_core.testing.memory_backend import MemoryBackend
from xnas_core.testing.search_site import NAME, NAMESPACE, TOKEN, SearchSite, manifest

if TYPE_CHECKING:
    from tests.client.conftest import Connect

WHERE = (NAMESPACE, NAME)


class Flaky(MemoryBackend):
    """Fails the first calls; counts all."""

    def __init__(self, failures: int, *, hang: bool = False) -> None:
        super().__init__()
        self.failures, self.hang, self.calls = failures, hang, 0
        self.put(NAMESPACE, manifest())

    async def _hinder(self) -> None:
        self.calls += 1
        if self.hang:
            await asyncio.Event().wait()
        if self.calls <= self.failures:
            raise UnavailableError("another replica is in charge; try again")

    async def get(self, *arguments: Any) -> Any:
        await self._hinder()
        return await super().get(*arguments)

    async def create(self, *arguments: Any) -> Any:
        await self._hinder()
        return await super().create(*arguments)

    async def delete(self, *arguments: Any) -> None:
        await self._hinder()
        await super().delete(*arguments)

    async def request_task(self, *_: Any) -> None:
        await self._hinder()

    async def artifact(self, *arguments: Any) -> Any:
        self.calls += 1
        content = await super().artifact(*arguments)
        if self.calls > self.failures:
            return content

        async def broken() -> Any:
            yield await anext(content)
            raise StoreError("the store went away")

        return broken()


async def serve(site: SearchSite, backend: MemoryBackend) -> None:
    await site.stop()
    site.memory = backend
    await site.start()


async def test_what_may_be_repeated_is_repeated(site: SearchSite, connect: Connect) -> None:
    backend = Flaky(failures=2)
    await serve(site, backend)
    assert (await connect().call("get", *WHERE)).name == NAME
    assert backend.calls == 3


async def test_repeats_have_a_limit(site: SearchSite, connect: Connect) -> None:
    backend = Flaky(failures=100)
    await serve(site, backend)
    with pytest.raises(UnavailableError, match="another replica is in charge"):
        await connect().call("get", *WHERE)
    assert backend.calls == 4


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("create", (manifest("new"),)),
        ("request_task", (*WHERE, "c0", "explain")),
        ("delete", WHERE),
    ],
)
async def test_what_may_not_be_repeated_is_not(
    site: SearchSite, connect: Connect, method: str, arguments: tuple[Any, ...]
) -> None:
    backend = Flaky(failures=1)
    await serve(site, backend)
    with pytest.raises(UnavailableError):
        await connect().call(method, *arguments)
    assert backend.calls == 1


async def test_a_deletion_by_uid_is_repeated(site: SearchSite, connect: Connect) -> None:
    backend = Flaky(failures=1)
    await serve(site, backend)
    await connect().call("delete", *WHERE, backend.searches[WHERE].manifest["metadata"]["uid"])
    assert (backend.calls, backend.searches) == (2, {})


async def test_a_broken_download_starts_over(site: SearchSite, connect: Connect, tmp_path: Path) -> None:
    backend = Flaky(failures=2)
    await serve(site, backend)
    content = bytes(range(256)) * 1000
    backend.searches[WHERE].store.put("report.html", content)
    path = await connect().call("save_artifact", *WHERE, "report.html", tmp_path / "report.html")
    assert path.read_bytes() == content
    assert backend.calls == 3


async def test_a_service_that_hangs_is_not_waited_for(site: SearchSite, connect: Connect) -> None:
    backend = Flaky(failures=0, hang=True)
    await serve(site, backend)
    begin = time.monotonic()
    with pytest.raises(DeadlineError, match=r"did not answer within 0\.3 s"):
        await connect(timeout=0.3).call("get", *WHERE)
    assert time.monotonic() - begin < 15
    assert backend.calls == 1, "a call that took all its time is not repeated"


@pytest.fixture
def black_hole() -> Iterator[str]:
    """A port that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


async def test_a_port_that_says_nothing_is_not_waited_for(connect: Connect, black_hole: str) -> None:
    begin = time.monotonic()
    with pytest.raises((DeadlineError, UnavailableError)):
        await connect(address=black_hole, timeout=0.5).call("get", *WHERE)
    assert time.monotonic() - begin < 15


async def test_where_nobody_listens_the_sentence_says_so(connect: Connect) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
    with pytest.raises(UnavailableError, match=rf"the service at {address} can't be reached"):
        await connect(address=address).call("get", *WHERE)


async def test_another_authority_and_another_name_are_refused(connect: Connect, tmp_path: Path) -> None:
    other = tmp_path / "other.crt"
    other.write_bytes(self_signed("xnas.test").chain)
    with pytest.raises(UnavailableError, match="check ca_file and server_name"):
        await connect(ca_file=other).call("get", *WHERE)
    with pytest.raises(UnavailableError, match="check ca_file and server_name"):
        await connect(server_name=None).call("get", *WHERE)


async def test_token_files_are_read_before_each_call(site: SearchSite, connect: Connect, tmp_path: Path) -> None:
    site.add()
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    sdk = connect(token=None, token_file=file)
    await sdk.call("get", *WHERE)
    site.authorizer.tokens = {"rotated": "ann"}  # type: ignore[attr-defined]  # a FakeAuthorizer
    file.write_text("rotated")
    await sdk.call("get", *WHERE)
    file.unlink()
    with pytest.raises(InvalidInputError, match="the token can't be read from"):
        await sdk.call("get", *WHERE)


@pytest.mark.parametrize("token", ["two words", "zwölf", "a\nb", "\x00"])
async def test_what_is_no_token_is_not_sent(connect: Connect, token: str) -> None:
    with pytest.raises(InvalidInputError, match="is it the right file"):
        await connect(token=token).call("get", *WHERE)
    with pytest.raises(InvalidInputError, match="is it the right file"):
        await connect(token=lambda: token).collect("watch", *WHERE)


def test_a_token_is_not_shown() -> None:
    assert "secret" not in repr(connection("127.0.0.1:1", token="secret"))


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"address": "nowhere"}, "nowhere"),
        ({"token": "a", "token_file": "b"}, "exclude each other"),
        ({"timeout": 0}, "positive number of seconds"),
        ({"timeout": float("nan")}, "positive number of seconds"),
        ({"timeout": float("inf")}, "positive number of seconds"),
        ({"insecure": True, "address": "xnas.example:8443"}, "insecure is for addresses on this machine"),
        ({"insecure": True, "address": "10.0.0.1:8443"}, "insecure is for addresses on this machine"),
        ({"insecure": True, "server_name": "x"}, "belong to TLS"),
        ({"ca_file": "/no/such/file"}, "the certificate can't be read from"),
    ],
)
def test_wrong_settings_are_refused_at_once(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InvalidInputError, match=sentence):
        connection(**{"address": "127.0.0.1:8443", **settings})


@pytest.mark.parametrize("address", ["localhost:1", "127.0.0.1:1", "[::1]:1", "unix:/tmp/x.sock"])
def test_plain_text_is_for_this_machine(address: str) -> None:
    assert connection(address, insecure=True).credentials is None


def test_a_client_closes_with_its_block() -> None:
    with SearchClient("127.0.0.1:1", insecure=True) as client:
        pass
    with pytest.raises((ValueError, UnavailableError)):
        client.get(*WHERE)
