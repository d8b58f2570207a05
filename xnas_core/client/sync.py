"""The sync client. `aio.SearchClient` has the same methods."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from xnas_core.api.resource import ArchitectureSearch
from xnas_core.client import calls, streams
from xnas_core.client.connection import RetryPolicy, TokenSource, connection
from xnas_core.client.files import FileSink, MemorySink
from xnas_core.client.results import Front
from xnas_core.client.sync_driver import SyncDriver
from xnas_core.search.view import CandidateRecord, SearchSummary, SearchView
from xnas_core.service.errors import NotFoundError
from xnas_core.service.values import CandidateQuery, Lineage, SearchInfo, WatchEvent
from xnas_core.tasks import TaskKind

if TYPE_CHECKING:
    import pandas as pd

ALL = CandidateQuery()


class SearchClient:
    """Searches on a cluster, and what they found. Safe to use from several threads.

    Every call has a deadline; calls that may be repeated are, a few times, where nobody answers. Errors are
    `XnasError`s with a sentence: UnauthenticatedError, ForbiddenError (also where there is no such search),
    NotFoundError, InvalidInputError, UnavailableError, DeadlineError and others of `xnas_core.service.errors`.

    Args:
        address: HOST:PORT of the service.
        token: a token of audience "xnas", or a function that returns one; asked for before each call.
        token_file: instead: a file that holds the token; read before each call, since such files are rotated.
        ca_file: PEM file of the authority that signed the service's certificate; None: the system's authorities.
        server_name: name in the certificate where the address has another one, as behind a port-forward.
        timeout: seconds for a call, its retries included; for a download: of silence.
        insecure: plain text; only for addresses on this machine.
        retry: limits of retries.

    Raises:
        InvalidInputError: an argument is not valid.
    """

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
        self._driver = SyncDriver(self._connection)

    def close(self) -> None:
        """Close the connection; what still runs is broken off."""
        self._driver.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()

    # --- searches ---------------------------------------------------------------------------------------------------

    def create(self, manifest: ArchitectureSearch | Mapping[str, Any], namespace: str | None = None) -> SearchInfo:
        """Make a search, as `kubectl create` would; return it.

        Args:
            manifest: the resource, as `load_search` reads it from a file, or as a JSON document.
            namespace: where; None: metadata.namespace.

        Raises:
            AlreadyExistsError: there is one of that name.
            InvalidInputError: it was refused; the sentence says why.
        """
        return self._driver.run(calls.create(self._connection, manifest, namespace))

    def get(self, namespace: str, name: str) -> SearchInfo:
        """Return a search with manifest and, once there is one, the accepted spec."""
        return self._driver.run(calls.get(self._connection, namespace, name))

    def list(self, namespace: str | None = None) -> Iterator[SearchInfo]:
        """Yield the searches of a namespace, by name, without manifests; None: of all, one after the other."""
        return self._driver.iterate(calls.list_searches(self._connection, namespace))

    def update(self, namespace: str, name: str, spec_patch: Mapping[str, Any]) -> SearchInfo:
        """Change a search that runs; return it.

        Args:
            namespace: where.
            name: which.
            spec_patch: JSON merge patch of the spec, for example {"limits": {"maxEvaluations": 500}}; None takes a
                field away. Only what may change while a search runs may be in it.

        Raises:
            InvalidInputError: another field is in it, or a value is not valid.
        """
        return self._driver.run(calls.update(self._connection, namespace, name, spec_patch))

    def suspend(self, namespace: str, name: str) -> SearchInfo:
        """Let nothing new start; what runs is handed back."""
        return self.update(namespace, name, {"suspend": True})

    def resume(self, namespace: str, name: str) -> SearchInfo:
        """Let a suspended search go on."""
        return self.update(namespace, name, {"suspend": False})

    def scale(self, namespace: str, name: str, replicas: int) -> SearchInfo:
        """Set the number of evaluators."""
        return self.update(namespace, name, {"evaluators": {"replicas": replicas}})

    def delete(self, namespace: str, name: str, uid: str = "") -> None:
        """Delete a search; spec.artifacts.retention says what becomes of its artifacts.

        Args:
            namespace: where.
            name: which.
            uid: if given, only a search of this identity is deleted, and the call is repeated if nobody answers.

        Raises:
            ChangedMeanwhileError: the search has another identity.
        """
        self._driver.run(calls.delete(self._connection, namespace, name, uid))

    def watch(
        self,
        namespace: str,
        name: str,
        *,
        resume_token: str = "",
        from_beginning: bool = False,
        until_finished: bool = True,
    ) -> Iterator[WatchEvent]:
        """Yield what happens: `Stands` first, then `Finished`, `NewFront`, `Progressed`, `NewState`, `Deleted`.

        A connection that breaks is made again, and the watch goes on where it was: no finished candidate is missed
        and none is told twice. What a slow reader did not fetch is put together.

        Args:
            namespace: where.
            name: which.
            resume_token: `token` of the last event seen: go on behind it, also in another process.
            from_beginning: also yield the candidates that have finished before.
            until_finished: end when the search has ended; else go on until it is deleted.

        Raises:
            UnavailableError: the service was not found again.
        """
        return self._driver.iterate(
            streams.watch(
                self._connection, namespace, name, resume_token=resume_token, from_beginning=from_beginning,
                until_finished=until_finished,
            )
        )  # fmt: skip

    # --- what was found ---------------------------------------------------------------------------------------------

    def candidates(self, namespace: str, name: str, query: CandidateQuery = ALL) -> Iterator[CandidateRecord]:
        """Yield the candidates that meet a query, in its order; pages are fetched as they are needed.

        A candidate that is proposed meanwhile shifts nothing: none is yielded twice, none is left out.

        Raises:
            InvalidInputError: the query is not valid.
            NotBegunError: the search was not accepted yet.
        """
        return self._driver.iterate(calls.candidates(self._connection, namespace, name, query))

    def candidate(self, namespace: str, name: str, candidate_id: str) -> CandidateRecord:
        """Return one candidate; raise NotFoundError."""
        return self._driver.run(calls.candidate(self._connection, namespace, name, candidate_id))

    def front(self, namespace: str, name: str, *, history: bool = False) -> Front:
        """Return the Pareto front, all of it at one moment.

        Args:
            namespace: where.
            name: which.
            history: also return how the hypervolume grew.

        Raises:
            NotBegunError: the search was not accepted yet.
            ChangedMeanwhileError: a front of several pages changed while each of five readings went on.
        """
        return self._driver.run(calls.front(self._connection, namespace, name, history=history))

    def summary(self, namespace: str, name: str) -> SearchSummary:
        """Return state, numbers and front of a search, without its other candidates.

        Raises:
            NotBegunError: the search was not accepted yet.
            ChangedMeanwhileError: see `front`.
        """
        return self._driver.run(calls.summary(self._connection, namespace, name))

    def lineage(self, namespace: str, name: str, candidate_id: str, max_distance: int = 0) -> Lineage:
        """Return a candidate and its ancestors, nearest first; `max_distance`: steps up, 0 for all."""
        return self._driver.run(calls.lineage(self._connection, namespace, name, candidate_id, max_distance))

    def view(self, namespace: str, name: str) -> SearchView:
        """Return the whole search, as `xnas_core.report` takes it.

        Of a search that runs it is put together from several calls; front and candidates fit each other.

        Raises:
            NotBegunError: the search was not accepted yet.
        """
        return self._driver.run(calls.view(self._connection, namespace, name))

    def to_pandas(self, namespace: str, name: str, query: CandidateQuery = ALL) -> pd.DataFrame:
        """Return the candidates that meet a query as a data frame, with the columns of candidates.parquet."""
        return self._driver.run(calls.table(self._connection, namespace, name, query)).to_pandas()

    def artifact(self, namespace: str, name: str, key: str) -> bytes:
        """Return an object of a search: an artifact of a candidate, "report.html" ..., checked by its digest.

        Raises:
            NotFoundError: there is no such object.
            IntegrityError: what is stored, or what came, is not what was reported.
        """
        return self._driver.run(streams.download(self._connection, namespace, name, key, MemorySink()))

    def save_artifact(self, namespace: str, name: str, key: str, path: str | Path) -> Path:
        """Write an object of a search to a file, which is replaced only by a whole one; see `artifact`.

        Raises:
            StoreError: the file can't be written.
        """
        return self._driver.run(streams.download(self._connection, namespace, name, key, FileSink(Path(path))))

    def request_task(
        self,
        namespace: str,
        name: str,
        candidate_id: str,
        kind: TaskKind,
        parameters: Mapping[str, Any] | None = None,
    ) -> None:
        """Ask for work on a candidate (docs/tasks-on-demand.md); `watch` and its `tasks` tell when it was done."""
        self._driver.run(calls.request_task(self._connection, namespace, name, candidate_id, kind, parameters))

    def search(self, namespace: str, name: str) -> RemoteSearch:
        """Return one search as a thing of its own, as `xnas_evaluator.load_model` takes it. Asks nothing yet."""
        return RemoteSearch(self, namespace, name)


class RemoteSearch:
    """One search on a cluster: what is there of an output folder, to read."""

    def __init__(self, client: SearchClient, namespace: str, name: str) -> None:
        self._client = client
        self.namespace = namespace
        self.name = name

    def view(self) -> SearchView:
        """See SearchClient.view."""
        return self._client.view(self.namespace, self.name)

    def get(self, key: str) -> bytes:
        """See SearchClient.artifact; raises KeyError where there is no such object, as stores do."""
        try:
            return self._client.artifact(self.namespace, self.name, key)
        except NotFoundError as error:
            raise KeyError(key) from error
