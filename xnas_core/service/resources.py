"""The custom resource seen from the service: what a manifest says of a search, and what may be sent. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from xnas_core.api.change import is_mutable
from xnas_core.api.resource import ArchitectureSearch
from xnas_core.api.spec import MUTABLE_FIELDS
from xnas_core.api.status import StateWord
from xnas_core.api.translate import translate
from xnas_core.errors import InvalidInputError
from xnas_core.search.view import SearchProgress
from xnas_core.service.interface import Manifest
from xnas_core.service.values import MAX_MANIFEST_BYTES, SearchInfo, Standing
from xnas_core.service.wire import read_json

_SHOWN = 10
_TELLING = {
    StateWord.COMPLETE: "Complete",
    StateWord.FAILED: "Failed",
    StateWord.SUSPENDED: "Suspended",
    StateWord.PENDING: "Accepted",
}
"""The condition that says why a search is in a state; for the others it is Progressing."""


def info(manifest: Manifest) -> SearchInfo:
    """Return what a resource says of its search.

    A status that the operator wrote is read as far as it is understood: one odd resource must not break a list.
    """
    metadata, status = _map(manifest, "metadata"), _map(manifest, "status")
    evaluators = _map(status, "evaluators")
    return SearchInfo(
        namespace=str(metadata.get("namespace", "")),
        name=str(metadata.get("name", "")),
        uid=str(metadata.get("uid", "")),
        standing=standing(status),
        progress=_progress(manifest, status) if "evaluations" in status else None,
        evaluators_desired=_count(evaluators, "desired"),
        evaluators_ready=_count(evaluators, "ready"),
        created_at=_time(metadata, "creationTimestamp"),
        started_at=_time(status, "startTime"),
        finished_at=_time(status, "completionTime"),
    )


def standing(status: Mapping[str, Any]) -> Standing:
    """Return the state that a status tells, with the words of the condition behind it."""
    try:
        state = StateWord(status.get("state", StateWord.PENDING))
    except ValueError:
        state = StateWord.PENDING
    telling = _TELLING.get(state, "Progressing")
    conditions = status.get("conditions")
    for condition in conditions if isinstance(conditions, list) else ():
        if isinstance(condition, Mapping) and condition.get("type") == telling:
            return Standing(state, str(condition.get("reason", "")), str(condition.get("message", "")))
    return Standing(state)


def _progress(manifest: Manifest, status: Mapping[str, Any]) -> SearchProgress:
    evaluations = _map(status, "evaluations")
    limit = _map(_map(manifest, "spec"), "limits").get("maxEvaluations")
    hypervolume = status.get("hypervolume")
    return SearchProgress(
        proposed=_count(evaluations, "proposed"),
        running=_count(evaluations, "running"),
        succeeded=_count(evaluations, "succeeded"),
        failed=_count(evaluations, "failed"),
        max_evaluations=limit if isinstance(limit, int) and limit >= 0 else None,
        # The status counts generations from 1, for people.
        generation=max(0, _count(status, "generation") - 1),
        front_size=_count(status, "frontSize"),
        hypervolume=float(hypervolume) if isinstance(hypervolume, int | float) else 0.0,
        finalising=0,
        finalised=0,
    )


def _map(document: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = document.get(key)
    return value if isinstance(value, Mapping) else {}


def _count(document: Mapping[str, Any], key: str) -> int:
    value = document.get(key)
    return value if isinstance(value, int) and 0 <= value < 2**32 else 0


def _time(document: Mapping[str, Any], key: str) -> float | None:
    try:
        return datetime.fromisoformat(str(document[key])).timestamp()
    except (KeyError, ValueError):
        return None


# --- what may be sent ----------------------------------------------------------------------------------------------


def new_manifest(data: bytes, namespace: str) -> Manifest:
    """Return the resource to create: what was sent, in its namespace, without status and what an API server gives.

    Raises:
        InvalidInputError: it is not an ArchitectureSearch; every mistake has a sentence.
    """
    document = read_json(data, "the manifest", MAX_MANIFEST_BYTES)
    document.pop("status", None)
    _check(document, "the manifest")
    metadata = document["metadata"]
    given = metadata.get("namespace")
    if given not in (None, namespace):
        raise InvalidInputError(f"metadata.namespace is {given!r}, but the search is to be made in {namespace!r}")
    kept = {key: metadata[key] for key in ("labels", "annotations") if key in metadata}
    document["metadata"] = {"name": metadata["name"], "namespace": namespace, **kept}
    return document


def _check(document: dict[str, Any], what: str) -> None:
    try:
        ArchitectureSearch.model_validate_json(json.dumps(document), by_alias=True, by_name=False)
    except ValidationError as error:
        faults = translate(error, document)
        sentences = [f"{'.'.join(map(str, fault.path))}: {fault.message}" for fault in faults[:_SHOWN]]
        more = [f"and {len(faults) - _SHOWN} more mistakes"] if len(faults) > _SHOWN else []
        raise InvalidInputError(f"{what} is not valid: " + "; ".join([*sentences, *more])) from error


def check_change(manifest: Manifest, patch: Mapping[str, Any]) -> None:
    """Check what a merge patch would make of a resource's spec.

    Raises:
        InvalidInputError: it would not be valid; every mistake has a sentence.
    """
    document = {key: manifest[key] for key in ("apiVersion", "kind", "metadata") if key in manifest}
    _check({**document, "spec": merged(_map(manifest, "spec"), patch)}, "the changed search")


def spec_patch(data: bytes) -> Manifest:
    """Return a merge patch (RFC 7396) of the spec that touches nothing but what may change while a search runs.

    Raises:
        InvalidInputError: it is empty, or names another field.
    """
    patch = read_json(data, "spec_patch", MAX_MANIFEST_BYTES)
    fields = list(_leaves(patch, ""))
    refused = [field for field in fields if not is_mutable(field)]
    if refused:
        raise InvalidInputError(
            f"spec.{refused[0][:80]} can't change while a search runs; make another search, or change one of "
            f"{', '.join(sorted(MUTABLE_FIELDS))}"
        )
    if not fields:
        raise InvalidInputError("spec_patch changes nothing; name at least one field")
    return patch


def _leaves(document: Mapping[str, Any], prefix: str) -> Iterator[str]:
    for key, value in document.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"


def merged(document: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """Return the document with a JSON merge patch applied (RFC 7396, section 2)."""
    result = dict(document)
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, Mapping):
            below = result.get(key)
            result[key] = merged(below if isinstance(below, Mapping) else {}, value)
        else:
            result[key] = value
    return result
