"""SearchService over real gRPC on this machine, for tests: a backend in memory, an authorizer that is a table."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from xnas_core.dispatch.listener import CertificateSource, Listener
from xnas_core.service.interface import Authorizer, SearchBackend
from xnas_core.service.service import SearchService
from xnas_core.service.wire import SERVICE
from xnas_core.testing.fake_authorizer import FakeAuthorizer
from xnas_core.testing.growing_search import GrowingSearch, spec_document
from xnas_core.testing.memory_backend import MemoryBackend

TOKEN = "token-of-ann"
NAMESPACE = "team-a"
NAME = "digits"
ALL_VERBS = frozenset({"get", "list", "watch", "create", "update", "delete"})


def manifest(name: str = NAME, **fields: Any) -> dict[str, Any]:
    """Return a resource; top-level fields of its spec may be replaced."""
    return {
        "apiVersion": "xnas.dev/v1alpha1",
        "kind": "ArchitectureSearch",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": spec_document(**fields),
    }


def authorizer() -> FakeAuthorizer:
    """Return one that lets ann, who has TOKEN, do all in NAMESPACE and nothing elsewhere."""
    return FakeAuthorizer({TOKEN: "ann"}, {("ann", NAMESPACE): set(ALL_VERBS)})


@dataclass
class SearchSite:
    """A served backend.

    Attributes:
        backend: a `MemoryBackend`, unless a test brings another.
        certificates: for TLS; None: plain text.
        settings: of SearchService.
    """

    memory: MemoryBackend = field(default_factory=MemoryBackend)
    authorizer: Authorizer = field(default_factory=authorizer)
    certificates: CertificateSource | None = None
    settings: dict[str, float] = field(default_factory=lambda: {"pause_seconds": 0.01})
    backend: SearchBackend | None = None
    address: str = "127.0.0.1:0"
    _listener: Listener | None = None

    async def start(self) -> None:
        """Serve; `address` is where."""
        service = SearchService(self.backend or self.memory, self.authorizer, **self.settings)
        self._listener = Listener([self.address], [(SERVICE, service.handlers())], self.certificates)
        await self._listener.start()
        self.address = self._listener.bound[0]

    async def stop(self) -> None:
        """Break off all calls and serve no more."""
        if self._listener is not None:
            await self._listener.stop(0.0)
            self._listener = None

    async def restart(self) -> None:
        """Play a service that was killed and started again on the same address."""
        await self.stop()
        self.memory.restart()
        await self.start()

    def add(self, name: str = NAME, *, namespace: str = NAMESPACE, **fields: Any) -> GrowingSearch:
        """Put a search into the backend and let it begin, without a call."""
        self.memory.put(namespace, manifest(name, **fields))
        return self.memory.begin(namespace, name)
