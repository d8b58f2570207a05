"""Protobuf <-> values for SearchService, for service and SDK: searches and what a watch tells."""

from __future__ import annotations

from collections.abc import Iterable

import orjson
from pydantic import ValidationError

from xnas.v1alpha1 import search_pb2 as pb
from xnas_core.api.spec import ArchitectureSearchSpec
from xnas_core.api.status import StateWord
from xnas_core.search.view import SearchProgress
from xnas_core.service import values as v
from xnas_core.service.wire import UnreadableMessageError, candidate, known, read_candidate, to_json
from xnas_core.spaces.base import DataShape

_SEARCH_STATES = {word: pb.SearchState.Value(f"SEARCH_STATE_{word.name}") for word in StateWord}
_STATE_OF: dict[int, StateWord] = {number: word for word, number in _SEARCH_STATES.items()}


def search(info: v.SearchInfo) -> pb.Search:
    """Return a search."""
    message = pb.Search(
        namespace=info.namespace,
        name=info.name,
        uid=info.uid,
        state=_SEARCH_STATES[info.standing.state],
        reason=info.standing.reason,
        message=info.standing.message,
        evaluators_desired=info.evaluators_desired,
        evaluators_ready=info.evaluators_ready,
        created_seconds=info.created_at,
        started_seconds=info.started_at,
        finished_seconds=info.finished_at,
        manifest_json=b"" if info.manifest is None else to_json(info.manifest),
    )
    if info.progress is not None:
        message.progress.CopyFrom(progress(info.progress))
    if info.accepted is not None:
        shape = info.accepted.data_shape
        message.accepted.CopyFrom(
            pb.AcceptedSearch(
                spec_json=to_json(info.accepted.spec.to_document()),
                data_shape=pb.DataShape(
                    channels=shape.channels, height=shape.height, width=shape.width, classes=shape.classes
                ),
                versions=info.accepted.versions,
            )
        )
    return message


def read_search(message: pb.Search) -> v.SearchInfo:
    """Inverse of `search`."""
    return v.SearchInfo(
        namespace=message.namespace,
        name=message.name,
        uid=message.uid,
        standing=v.Standing(known(_STATE_OF, message.state, "state"), message.reason, message.message),
        progress=read_progress(message.progress) if message.HasField("progress") else None,
        evaluators_desired=message.evaluators_desired,
        evaluators_ready=message.evaluators_ready,
        created_at=message.created_seconds if message.HasField("created_seconds") else None,
        started_at=message.started_seconds if message.HasField("started_seconds") else None,
        finished_at=message.finished_seconds if message.HasField("finished_seconds") else None,
        manifest=orjson.loads(message.manifest_json) if message.manifest_json else None,
        accepted=_read_accepted(message.accepted) if message.HasField("accepted") else None,
    )


def _read_accepted(message: pb.AcceptedSearch) -> v.Accepted:
    shape = message.data_shape
    try:
        spec = ArchitectureSearchSpec.model_validate_json(message.spec_json)
    except ValidationError as error:
        raise UnreadableMessageError("the search's spec is of another version; update the package xnas") from error
    return v.Accepted(spec, DataShape(shape.channels, shape.height, shape.width, shape.classes), dict(message.versions))


def progress(value: SearchProgress) -> pb.SearchProgress:
    """Return how far a search is."""
    return pb.SearchProgress(
        proposed=value.proposed,
        running=value.running,
        succeeded=value.succeeded,
        failed=value.failed,
        max_evaluations=value.max_evaluations,
        generation=value.generation,
        front_size=value.front_size,
        hypervolume=value.hypervolume,
        finalising=value.finalising,
        finalised=value.finalised,
        confirming=value.confirming,
        confirmed=value.confirmed,
        requested=value.requested,
    )


def read_progress(message: pb.SearchProgress) -> SearchProgress:
    """Inverse of `progress`."""
    return SearchProgress(
        proposed=message.proposed,
        running=message.running,
        succeeded=message.succeeded,
        failed=message.failed,
        max_evaluations=message.max_evaluations if message.HasField("max_evaluations") else None,
        generation=message.generation,
        front_size=message.front_size,
        hypervolume=message.hypervolume,
        finalising=message.finalising,
        finalised=message.finalised,
        confirming=message.confirming,
        confirmed=message.confirmed,
        requested=message.requested,
    )


# --- watch ---------------------------------------------------------------------------------------------------------


def event(value: v.WatchEvent, objectives: Iterable[str]) -> pb.WatchSearchResponse:
    """Return an event of a watch."""
    message = pb.WatchSearchResponse(resume_token=value.token)
    match value:
        case v.Stands():
            message.standing.uid = value.uid
            message.standing.state.CopyFrom(_state(value.standing))
            message.standing.front.CopyFrom(_front(value.front))
            if value.progress is not None:
                message.standing.progress.CopyFrom(progress(value.progress))
        case v.Finished():
            names = tuple(objectives)
            message.candidates_finished.candidates.extend(candidate(record, names) for record in value.candidates)
        case v.NewFront():
            message.front_changed.CopyFrom(_front(value.front))
        case v.NewState():
            message.state_changed.CopyFrom(_state(value.standing))
        case v.Progressed():
            message.progress.CopyFrom(pb.SearchProgress() if value.progress is None else progress(value.progress))
        case v.Deleted():
            message.deleted.CopyFrom(pb.SearchDeleted())
    return message


def read_event(message: pb.WatchSearchResponse) -> v.WatchEvent | None:
    """Inverse of `event`; None for an event of a newer server."""
    token = message.resume_token
    match message.WhichOneof("event"):
        case "standing":
            at = message.standing
            known = read_progress(at.progress) if at.HasField("progress") else None
            return v.Stands(at.uid, _read_state(at.state), known, _read_front(at.front), token)
        case "candidates_finished":
            return v.Finished(tuple(map(read_candidate, message.candidates_finished.candidates)), token)
        case "front_changed":
            return v.NewFront(_read_front(message.front_changed), token)
        case "state_changed":
            return v.NewState(_read_state(message.state_changed), token)
        case "progress":
            return v.Progressed(read_progress(message.progress), token)
        case "deleted":
            return v.Deleted(token)
    return None


def _state(standing: v.Standing) -> pb.StateChanged:
    return pb.StateChanged(state=_SEARCH_STATES[standing.state], reason=standing.reason, message=standing.message)


def _read_state(message: pb.StateChanged) -> v.Standing:
    return v.Standing(known(_STATE_OF, message.state, "state"), message.reason, message.message)


def _front(front: v.FrontSummary) -> pb.FrontChanged:
    return pb.FrontChanged(members=front.members, size=front.size, hypervolume=front.hypervolume)


def _read_front(message: pb.FrontChanged) -> v.FrontSummary:
    return v.FrontSummary(tuple(message.members), message.size, message.hypervolume)
