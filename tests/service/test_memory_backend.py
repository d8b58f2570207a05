"""The backend that tests use passes the contract of all backends."""

from __future__ import annotations

import pytest

from xnas_core.testing.backend_contract import BackendContract
from xnas_core.testing.memory_backend import MemoryBackend


class _Place:
    def __init__(self) -> None:
        self.backend = MemoryBackend()

    async def begin(self, namespace: str, name: str) -> None:
        self.backend.begin(namespace, name)

    async def finish(self, namespace: str, name: str, count: int) -> None:
        growing = self.backend.searches[namespace, name].growing
        assert growing is not None
        growing.finish(count)

    async def complete(self, namespace: str, name: str) -> None:
        growing = self.backend.searches[namespace, name].growing
        assert growing is not None
        growing.complete()

    async def restart(self) -> None:
        self.backend.restart()


class TestMemoryBackend(BackendContract):
    @pytest.fixture
    def place(self) -> _Place:
        return _Place()
