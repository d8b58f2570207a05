"""A served backend with TLS, and the SDK in both forms behind one face, so that each test is of both."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from xnas_core.client import RetryPolicy, SearchClient, aio
from xnas_core.testing.certificates import Certificate, self_signed
from xnas_core.testing.search_site import TOKEN, SearchSite

QUICK = RetryPolicy(first_pause_seconds=0.02, longest_pause_seconds=0.1)


class Sdk:
    """The sync client, called in threads, or the aio client."""

    def __init__(self, client: SearchClient | aio.SearchClient) -> None:
        self.client = client

    async def call(self, method: str, *arguments: Any, **named: Any) -> Any:
        """Call a method that returns something."""
        if isinstance(self.client, SearchClient):
            return await asyncio.to_thread(getattr(self.client, method), *arguments, **named)
        return await getattr(self.client, method)(*arguments, **named)

    async def iterate(self, method: str, *arguments: Any, **named: Any) -> AsyncIterator[Any]:
        """Call a method that yields."""
        iterator = getattr(self.client, method)(*arguments, **named)
        if isinstance(self.client, SearchClient):
            end = object()
            while (value := await asyncio.to_thread(next, iterator, end)) is not end:
                yield value
        else:
            async for value in iterator:
                yield value

    async def collect(self, method: str, *arguments: Any, **named: Any) -> list[Any]:
        """Return all that a method yields."""
        async with asyncio.timeout(60):
            return [value async for value in self.iterate(method, *arguments, **named)]

    async def close(self) -> None:
        """Close the client."""
        if isinstance(self.client, SearchClient):
            self.client.close()
        else:
            await self.client.close()


Connect = Callable[..., Sdk]


@pytest.fixture(scope="session")
def certificate() -> Certificate:
    return self_signed("xnas.test")


@pytest.fixture
def ca_file(certificate: Certificate, tmp_path: Path) -> Path:
    path = tmp_path / "ca.crt"
    path.write_bytes(certificate.chain)
    return path


@pytest.fixture
async def site(certificate: Certificate) -> AsyncIterator[SearchSite]:
    made = SearchSite(certificates=certificate)
    await made.start()
    yield made
    await made.stop()


@pytest.fixture(params=["sync", "aio"])
async def connect(site: SearchSite, ca_file: Path, request: pytest.FixtureRequest) -> AsyncIterator[Connect]:
    """Makes clients of the site; settings may be replaced."""
    made: list[Sdk] = []

    def connect_(**settings: Any) -> Sdk:
        usual = {"token": TOKEN, "ca_file": ca_file, "server_name": "xnas.test", "retry": QUICK, "timeout": 20.0}
        kind = SearchClient if request.param == "sync" else aio.SearchClient
        address = settings.pop("address", site.address)
        made.append(Sdk(kind(address, **{**usual, **settings})))
        return made[-1]

    yield connect_
    for sdk in made:
        await sdk.close()


@pytest.fixture
def sdk(connect: Connect) -> Sdk:
    return connect()
