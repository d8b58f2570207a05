"""What each method of SearchService does, once its caller was admitted: requests to backend calls to answers."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

from google.protobuf.message import Message

from xnas.v1alpha1 import search_pb2 as pb
from xnas_core.errors import InvalidInputError
from xnas_core.service import candidates, fronts, resources, wire, wire_searches
from xnas_core.service.downloads import download
from xnas_core.service.errors import UnavailableError
from xnas_core.service.interface import Caller, Manifest, SearchBackend, Verb
from xnas_core.service.lineages import lineage
from xnas_core.service.streaming import Recheck, watch
from xnas_core.service.values import MAX_PARAMETERS_BYTES

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


@dataclass(frozen=True)
class Calls:
    """What the methods work with; times in seconds (see SearchService)."""

    backend: SearchBackend
    sign_of_life_seconds: float
    pause_seconds: float


Unary = Callable[[Calls, Any, Caller], Awaitable[Message]]
Streaming = Callable[[Calls, Any, Recheck], AsyncGenerator[Message, None]]


@dataclass(frozen=True, slots=True)
class Method:
    """A method: the right that it takes, what it reads, and what it does: one of `unary` and `streaming`."""

    verb: Verb
    request: type[Message]
    unary: Unary | None = None
    streaming: Streaming | None = None

    def target(self, request: Any) -> tuple[str, str]:
        """Return namespace and name that the caller needs the verb on; name "" for `create` and `list`.

        Raises:
            InvalidInputError: they are no names.
        """
        name = getattr(request, "name", "")
        if not (self.verb == "list" and not request.namespace) and not _LABEL.fullmatch(request.namespace):
            raise InvalidInputError(f"{request.namespace[:80]!r} is not the name of a namespace")
        if self.verb not in ("list", "create") and not _LABEL.fullmatch(name):
            raise InvalidInputError(f"{name[:80]!r} is not the name of a search")
        return request.namespace, name


async def _create(calls: Calls, request: pb.CreateSearchRequest, caller: Caller) -> Message:
    manifest = resources.new_manifest(request.manifest_json, request.namespace)
    return pb.CreateSearchResponse(search=_search(await calls.backend.create(manifest, caller)))


async def _get(calls: Calls, request: pb.GetSearchRequest, _: Caller) -> Message:
    manifest = await calls.backend.get(request.namespace, request.name)
    try:
        moment = await calls.backend.moment(request.namespace, request.name)
    except UnavailableError:
        # During an outage of the store, say: the status tells why, and what was known last.
        return pb.GetSearchResponse(search=_search(manifest))
    told = resources.info(manifest)
    now = replace(
        told,
        standing=moment.standing,
        progress=moment.progress or told.progress,
        started_at=moment.started_at or told.started_at,
        finished_at=moment.finished_at,
        manifest=manifest,
        accepted=moment.accepted,
    )
    return pb.GetSearchResponse(search=wire_searches.search(now))


async def _list(calls: Calls, request: pb.ListSearchesRequest, _: Caller) -> Message:
    size = candidates.page_size(request.page_size, 100, 500)
    page = await calls.backend.list(request.namespace, size, request.page_token)
    return pb.ListSearchesResponse(
        searches=[wire_searches.search(resources.info(manifest)) for manifest in page.manifests],
        next_page_token=page.next_token,
    )


async def _update(calls: Calls, request: pb.UpdateSearchRequest, caller: Caller) -> Message:
    patch = resources.spec_patch(request.spec_patch_json)
    manifest = await calls.backend.update(request.namespace, request.name, patch, caller)
    return pb.UpdateSearchResponse(search=_search(manifest))


async def _delete(calls: Calls, request: pb.DeleteSearchRequest, caller: Caller) -> Message:
    await calls.backend.delete(request.namespace, request.name, request.uid, caller)
    return pb.DeleteSearchResponse()


async def _candidates(calls: Calls, request: pb.ListCandidatesRequest, _: Caller) -> Message:
    size = candidates.page_size(request.page_size, 100, 1000)
    query = wire.read_query(request.filter, request.order)
    view = await calls.backend.view(request.namespace, request.name)
    page = candidates.page(view, query, size, request.page_token)
    names = wire.objective_names(view.spec)
    return pb.ListCandidatesResponse(
        candidates=[wire.candidate(record, names) for record in page.candidates],
        next_page_token=page.next_page_token,
        total_size=page.total_size,
    )


async def _front(calls: Calls, request: pb.GetFrontRequest, _: Caller) -> Message:
    size = candidates.page_size(request.page_size, 1000, 1000)
    view = await calls.backend.view(request.namespace, request.name)
    page = fronts.front_page(view, size, request.page_token, history=request.include_history)
    names = wire.objective_names(view.spec)
    return pb.GetFrontResponse(
        members=[wire.candidate(record, names) for record in page.members],
        next_page_token=page.next_page_token,
        size=page.size,
        hypervolume=page.hypervolume,
        reference_point=page.reference_point or (),
        evaluations=page.evaluations,
        history=map(wire.history_point, page.history),
    )


async def _lineage(calls: Calls, request: pb.GetLineageRequest, _: Caller) -> Message:
    view = await calls.backend.view(request.namespace, request.name)
    found = lineage(view, request.candidate_id, request.max_distance)
    names = wire.objective_names(view.spec)
    members = [
        pb.LineageMember(candidate=wire.candidate(member.candidate, names), distance=member.distance)
        for member in found.members
    ]
    return pb.GetLineageResponse(members=members, truncated=found.truncated)


async def _request_task(calls: Calls, request: pb.RequestTaskRequest, caller: Caller) -> Message:
    kind = wire.read_task_kind(request.kind)
    parameters: Manifest = {}
    if request.parameters_json:
        parameters = wire.read_json(request.parameters_json, "parameters", MAX_PARAMETERS_BYTES)
    await calls.backend.request_task(request.namespace, request.name, request.candidate_id, kind, parameters, caller)
    return pb.RequestTaskResponse()


def _watch(calls: Calls, request: pb.WatchSearchRequest, recheck: Recheck) -> AsyncGenerator[Message, None]:
    return watch(
        calls.backend,
        request,
        recheck,
        sign_of_life_seconds=calls.sign_of_life_seconds,
        pause_seconds=calls.pause_seconds,
    )


def _artifact(calls: Calls, request: pb.GetArtifactRequest, _: Recheck) -> AsyncGenerator[Message, None]:
    return download(calls.backend, request.namespace, request.name, request.key)


def _search(manifest: Manifest) -> pb.Search:
    return wire_searches.search(replace(resources.info(manifest), manifest=manifest))


METHODS = {
    "CreateSearch": Method("create", pb.CreateSearchRequest, _create),
    "GetSearch": Method("get", pb.GetSearchRequest, _get),
    "ListSearches": Method("list", pb.ListSearchesRequest, _list),
    "UpdateSearch": Method("update", pb.UpdateSearchRequest, _update),
    "DeleteSearch": Method("delete", pb.DeleteSearchRequest, _delete),
    "WatchSearch": Method("watch", pb.WatchSearchRequest, streaming=_watch),
    "ListCandidates": Method("get", pb.ListCandidatesRequest, _candidates),
    "GetFront": Method("get", pb.GetFrontRequest, _front),
    "GetLineage": Method("get", pb.GetLineageRequest, _lineage),
    "GetArtifact": Method("get", pb.GetArtifactRequest, streaming=_artifact),
    "RequestTask": Method("update", pb.RequestTaskRequest, _request_task),
}
