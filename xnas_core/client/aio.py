"""The asyncio client: `xnas_core.client.SearchClient` with the same methods, arguments and errors, to be awaited."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from xnas_core.api.resource import ArchitectureSearch
from xnas_core.client import calls, streams
from xnas_core.client.aio_driver import AioDriver
from xnas_core.client.connection import RetryPolicy, TokenSource, connection
from xnas_core.client.files import FileSink, MemorySink
from xnas_core.client.results import Front
from xnas_core.client.sync import ALL
from xnas_core.search.view import CandidateRecord, SearchSummary, SearchView
from xnas_core.service.values import CandidateQuery, Lineage, SearchInfo, WatchEvent
from xnas_core.tasks import TaskKind

if TYPE_CHECKING:
    import pandas as pd


class SearchClient:
    """See `xnas_core.client.SearchClient`. Made and used in one event loop."""

    def __init__(
        self,
        address: str,
        *,
        token: TokenSource | None = None,
        token_file: str | Path | None = None,
        ca_file: str | Path | None = None,
        server_name: str | None = None,
        timeout: float = 30.0,
        insecure: bool = False,
        retry: RetryPolicy | None = None,
    ) -> None:
        self._connection = connection(
            address, token=token, token_file=token_file, ca_file=ca_file, server_name=server_name, timeout=timeout,
            insecure=insecure, retry=retry,
        )  # fmt: skip
        self._driver = AioDriver(self._connection)

    async def close(self) -> None:
        """Close the connection; what still runs is broken off."""
        await self._driver.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        await self.close()

    # --- searches ---------------------------------------------------------------------------------------------------

    async def create(
        self, manifest: ArchitectureSearch | Mapping[str, Any], namespace: str | None = None
    ) -> SearchInfo:
        """See the sync client."""
        return await self._driver.run(calls.create(self._connection, manifest, namespace))

    async def get(self, namespace: str, name: str) -> SearchInfo:
        """See the sync client."""
        return await self._driver.run(calls.get(self._connection, namespace, name))

    def list(self, namespace: str | None = None) -> AsyncIterator[SearchInfo]:
        """See the sync client."""
        return self._driver.iterate(calls.list_searches(self._connection, namespace))

    async def update(self, namespace: str, name: str, spec_patch: Mapping[str, Any]) -> SearchInfo:
        """See the sync client."""
        return await self._driver.run(calls.update(self._connection, namespace, name, spec_patch))

    async def suspend(self, namespace: str, name: str) -> SearchInfo:
        """See the sync client."""
        return await self.update(namespace, name, {"suspend": True})

    async def resume(self, namespace: str, name: str) -> SearchInfo:
        """See the sync client."""
        return await self.update(namespace, name, {"suspend": False})

    async def scale(self, namespace: str, name: str, replicas: int) -> SearchInfo:
        """See the sync client."""
        return await self.update(namespace, name, {"evaluators": {"replicas": replicas}})

    async def delete(self, namespace: str, name: str, uid: str = "") -> None:
        """See the sync client."""
        await self._driver.run(calls.delete(self._connection, namespace, name, uid))

    def watch(
        self,
        namespace: str,
        name: str,
        *,
        resume_token: str = "",
        from_beginning: bool = False,
        until_finished: bool = True,
    ) -> AsyncIterator[WatchEvent]:
        """See the sync client."""
        return self._driver.iterate(
            streams.watch(
                self._connection, namespace, name, resume_token=resume_token, from_beginning=from_beginning,
                until_finished=until_finished,
            )
        )  # fmt: skip

    # --- what was found ---------------------------------------------------------------------------------------------

    def candidates(self, namespace: str, name: str, query: CandidateQuery = ALL) -> AsyncIterator[CandidateRecord]:
        """See the sync client."""
        return self._driver.iterate(calls.candidates(self._connection, namespace, name, query))

    async def candidate(self, namespace: str, name: str, candidate_id: str) -> CandidateRecord:
        """See the sync client."""
        return await self._driver.run(calls.candidate(self._connection, namespace, name, candidate_id))

    async def front(self, namespace: str, name: str, *, history: bool = False) -> Front:
        """See the sync client."""
        return await self._driver.run(calls.front(self._connection, namespace, name, history=history))

    async def summary(self, namespace: str, name: str) -> SearchSummary:
        """See the sync client."""
        return await self._driver.run(calls.summary(self._connection, namespace, name))

    async def lineage(self, namespace: str, name: str, candidate_id: str, max_distance: int = 0) -> Lineage:
        """See the sync client."""
        return await self._driver.run(calls.lineage(self._connection, namespace, name, candidate_id, max_distance))

    async def view(self, namespace: str, name: str) -> SearchView:
        """See the sync client."""
        return await self._driver.run(calls.view(self._connection, namespace, name))

    async def to_pandas(self, namespace: str, name: str, query: CandidateQuery = ALL) -> pd.DataFrame:
        """See the sync client."""
        return (await self._driver.run(calls.table(self._connection, namespace, name, query))).to_pandas()

    async def artifact(self, namespace: str, name: str, key: str) -> bytes:
        """See the sync client."""
        return await self._driver.run(streams.download(self._connection, namespace, name, key, MemorySink()))

    async def save_artifact(self, namespace: str, name: str, key: str, path: str | Path) -> Path:
        """See the sync client."""
        return await self._driver.run(streams.download(self._connection, namespace, name, key, FileSink(Path(path))))

    async def request_task(
        self,
        namespace: str,
        name: str,
        candidate_id: str,
        kind: TaskKind,
        parameters: Mapping[str, Any] | None = None,
    ) -> None:
        """See the sync client."""
        await self._driver.run(calls.request_task(self._connection, namespace, name, candidate_id, kind, parameters))
