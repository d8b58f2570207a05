"""What each call of the SDK is: requests, pages, and what their answers are put together to. No transport here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from xnas.v1alpha1 import search_pb2 as pb
from xnas_core.api.resource import ArchitectureSearch
from xnas_core.api.status import StateWord
from xnas_core.client.connection import Connection
from xnas_core.client.program import Emit, Program, call
from xnas_core.client.results import CandidateTable, Front
from xnas_core.errors import InvalidInputError
from xnas_core.search.view import CandidateRecord, SearchState, SearchSummary, SearchView
from xnas_core.service import fronts, wire, wire_searches
from xnas_core.service import values as v
from xnas_core.service.errors import ChangedMeanwhileError, NotBegunError, NotFoundError, ServiceError
from xnas_core.tasks import TaskKind

_PAGE = 1000
_FRONT_READS = 5
"""How often a front that changes between two of its pages is read anew."""


def create(
    connection: Connection, manifest: ArchitectureSearch | Mapping[str, Any], namespace: str | None
) -> Program[v.SearchInfo]:
    """See SearchClient.create. Never repeated: whether a call without an answer made the search, nobody knows."""
    document = manifest.to_document() if isinstance(manifest, ArchitectureSearch) else dict(manifest)
    metadata = document.get("metadata")
    given = metadata.get("namespace") if isinstance(metadata, Mapping) else None
    where = namespace or given
    if not isinstance(where, str) or not where:
        raise InvalidInputError("say in which namespace to create the search: in metadata.namespace, or namespace=")
    try:
        data = wire.to_json(document)
    except TypeError as error:
        raise InvalidInputError(f"the manifest is not plain JSON: {error}") from error
    request = pb.CreateSearchRequest(namespace=where, manifest_json=data)
    answer = yield from call(connection, "CreateSearch", request, pb.CreateSearchResponse, idempotent=False)
    return wire_searches.read_search(answer.search)


def get(connection: Connection, namespace: str, name: str) -> Program[v.SearchInfo]:
    """See SearchClient.get."""
    request = pb.GetSearchRequest(namespace=namespace, name=name)
    answer = yield from call(connection, "GetSearch", request, pb.GetSearchResponse)
    return wire_searches.read_search(answer.search)


def list_searches(connection: Connection, namespace: str | None) -> Program[None]:
    """Emit `SearchInfo`s; see SearchClient.list."""
    token = ""
    while True:
        request = pb.ListSearchesRequest(namespace=namespace or "", page_token=token)
        answer = yield from call(connection, "ListSearches", request, pb.ListSearchesResponse)
        for search in answer.searches:
            yield Emit(wire_searches.read_search(search))
        token = _next(token, answer.next_page_token)
        if not token:
            return


def update(connection: Connection, namespace: str, name: str, spec_patch: Mapping[str, Any]) -> Program[v.SearchInfo]:
    """See SearchClient.update. A merge patch may be repeated."""
    request = pb.UpdateSearchRequest(namespace=namespace, name=name, spec_patch_json=wire.to_json(spec_patch))
    answer = yield from call(connection, "UpdateSearch", request, pb.UpdateSearchResponse)
    return wire_searches.read_search(answer.search)


def delete(connection: Connection, namespace: str, name: str, uid: str) -> Program[None]:
    """See SearchClient.delete. Repeated only with a uid: a search of the same name that was made since must stay."""
    request = pb.DeleteSearchRequest(namespace=namespace, name=name, uid=uid)
    yield from call(connection, "DeleteSearch", request, pb.DeleteSearchResponse, idempotent=bool(uid))


def request_task(
    connection: Connection,
    namespace: str,
    name: str,
    candidate_id: str,
    kind: TaskKind,
    parameters: Mapping[str, Any] | None,
) -> Program[None]:
    """See SearchClient.request_task. Never repeated: the task may have been done since."""
    request = pb.RequestTaskRequest(
        namespace=namespace,
        name=name,
        candidate_id=candidate_id,
        kind=wire.task_kind(kind),
        parameters_json=wire.to_json(parameters) if parameters else b"",
    )
    yield from call(connection, "RequestTask", request, pb.RequestTaskResponse, idempotent=False)


# --- candidates ----------------------------------------------------------------------------------------------------


def candidates(connection: Connection, namespace: str, name: str, query: v.CandidateQuery) -> Program[None]:
    """Emit `CandidateRecord`s; see SearchClient.candidates."""
    token = ""
    while True:
        page = yield from _candidate_page(connection, namespace, name, query, token)
        for record in page.candidates:
            yield Emit(record)
        token = _next(token, page.next_page_token)
        if not token:
            return


def all_candidates(
    connection: Connection, namespace: str, name: str, query: v.CandidateQuery
) -> Program[tuple[CandidateRecord, ...]]:
    """Return all pages together."""
    records: list[CandidateRecord] = []
    token = ""
    while True:
        page = yield from _candidate_page(connection, namespace, name, query, token)
        records += page.candidates
        token = _next(token, page.next_page_token)
        if not token:
            return tuple(records)


def _candidate_page(
    connection: Connection, namespace: str, name: str, query: v.CandidateQuery, token: str
) -> Program[v.CandidatePage]:
    chosen, order = wire.query(query)
    request = pb.ListCandidatesRequest(
        namespace=namespace, name=name, page_size=_PAGE, page_token=token, filter=chosen, order=order
    )
    answer = yield from call(connection, "ListCandidates", request, pb.ListCandidatesResponse)
    return wire.read_candidates(answer)


def _next(token: str, following: str) -> str:
    if following and following == token:
        raise ServiceError("the service gave the same page token twice, so the list would have no end")
    return following


def candidate(connection: Connection, namespace: str, name: str, candidate_id: str) -> Program[CandidateRecord]:
    """See SearchClient.candidate."""
    query = v.CandidateQuery(ids=(candidate_id,))
    page = yield from _candidate_page(connection, namespace, name, query, "")
    if not page.candidates:
        raise NotFoundError(f"the search {name!r} has no candidate {candidate_id[:80]!r}")
    return page.candidates[0]


def table(connection: Connection, namespace: str, name: str, query: v.CandidateQuery) -> Program[CandidateTable]:
    """Return candidates with the search's spec."""
    accepted = _accepted((yield from get(connection, namespace, name)))
    records = yield from all_candidates(connection, namespace, name, query)
    return CandidateTable(records, accepted.spec)


def front(connection: Connection, namespace: str, name: str, *, history: bool) -> Program[Front]:
    """See SearchClient.front."""
    accepted = _accepted((yield from get(connection, namespace, name)))
    return (yield from _front(connection, namespace, name, accepted, history=history))


def _front(connection: Connection, namespace: str, name: str, accepted: v.Accepted, *, history: bool) -> Program[Front]:
    for reads_left in range(_FRONT_READS - 1, -1, -1):
        try:
            return (yield from _whole_front(connection, namespace, name, accepted, history=history))
        except ChangedMeanwhileError:
            if not reads_left:
                raise
    raise AssertionError("the last read returns or raises")


def _whole_front(
    connection: Connection, namespace: str, name: str, accepted: v.Accepted, *, history: bool
) -> Program[Front]:
    members: list[CandidateRecord] = []
    first: v.FrontPage | None = None
    token = ""
    while True:
        request = pb.GetFrontRequest(namespace=namespace, name=name, page_token=token, include_history=history)
        page = wire.read_front((yield from call(connection, "GetFront", request, pb.GetFrontResponse)))
        first = first or page
        members += page.members
        token = _next(token, page.next_page_token)
        if not token:
            break
    return Front(
        tuple(members),
        accepted.spec,
        first.hypervolume,
        first.reference_point,
        first.evaluations,
        fronts.expanded(first.history),
    )


def summary(connection: Connection, namespace: str, name: str) -> Program[SearchSummary]:
    """See SearchClient.summary."""
    info = yield from get(connection, namespace, name)
    accepted, progress = _accepted(info), info.progress
    if progress is None:
        raise ServiceError("the service says that the search was accepted, and not how far it is")
    found = yield from _front(connection, namespace, name, accepted, history=False)
    return SearchSummary(
        search_id=info.uid,
        name=name,
        spec=accepted.spec,
        state=SearchState(info.standing.state.value),
        reason=info.standing.reason,
        message=info.standing.message,
        generation=progress.generation,
        proposed=progress.proposed,
        running=progress.running,
        succeeded=progress.succeeded,
        failed=progress.failed,
        candidates=found.members,
        reference_point=found.reference_point,
        hypervolume=found.hypervolume,
        started_at=info.started_at or 0.0,
        finished_at=info.finished_at,
    )


def lineage(
    connection: Connection, namespace: str, name: str, candidate_id: str, max_distance: int
) -> Program[v.Lineage]:
    """See SearchClient.lineage."""
    request = pb.GetLineageRequest(namespace=namespace, name=name, candidate_id=candidate_id, max_distance=max_distance)
    return wire.read_lineage((yield from call(connection, "GetLineage", request, pb.GetLineageResponse)))


def view(connection: Connection, namespace: str, name: str) -> Program[SearchView]:
    """See SearchClient.view.

    The front is read before the candidates, so that each of its members is among them; `on_front` follows it.
    """
    found = yield from front(connection, namespace, name, history=True)
    records = yield from all_candidates(connection, namespace, name, v.CandidateQuery())
    info = yield from get(connection, namespace, name)
    accepted, members = _accepted(info), {member.id for member in found.members}
    return SearchView(
        search_id=info.uid,
        name=name,
        spec=accepted.spec,
        data_shape=accepted.data_shape,
        state=SearchState(info.standing.state.value),
        reason=info.standing.reason,
        message=info.standing.message,
        generation=records[-1].generation if records else 0,
        candidates=tuple(
            record if record.on_front is (record.id in members) else replace(record, on_front=record.id in members)
            for record in records
        ),
        front=tuple(member.id for member in found.members),
        reference_point=found.reference_point,
        hypervolume=found.hypervolume,
        history=tuple(found.history),
        started_at=info.started_at or 0.0,
        finished_at=info.finished_at,
        versions=accepted.versions,
    )


def _accepted(info: v.SearchInfo) -> v.Accepted:
    if info.accepted is None or info.standing.state is StateWord.PENDING:
        raise NotBegunError(f"the search {info.name!r} was not accepted yet; watch it to learn when it begins")
    return info.accepted
