"""A served backend with TLS, and a raw stub that shows the token of ann."""

from __future__ import annotations

from collections.abc import AsyncIterator

import grpc
import pytest

from xnas.v1alpha1 import search_pb2_grpc as rpc
from xnas_core.testing.certificates import Certificate, self_signed
from xnas_core.testing.search_site import SearchSite


@pytest.fixture(scope="session")
def certificate() -> Certificate:
    return self_signed("xnas.test", "127.0.0.1")


@pytest.fixture
async def site(certificate: Certificate) -> AsyncIterator[SearchSite]:
    made = SearchSite(certificates=certificate)
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
async def stub(site: SearchSite, certificate: Certificate) -> AsyncIterator[rpc.SearchServiceAsyncStub]:
    credentials = grpc.ssl_channel_credentials(certificate.chain)
    async with grpc.aio.secure_channel(site.address, credentials) as channel:
        yield rpc.SearchServiceStub(channel)
