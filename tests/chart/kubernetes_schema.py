"""Checks documents against the Kubernetes schemas, offline: the client's models are generated from them."""

from __future__ import annotations

from typing import Any

import kubernetes.client
from pydantic import ValidationError

CUSTOM = frozenset({"Certificate", "ServiceMonitor"})
"""Kinds of other projects, whose schemas Kubernetes does not have."""


def problems(document: dict[str, Any]) -> list[str]:
    """Return what the API server would find wrong with the structure: unknown or missing fields, wrong types."""
    version = document["apiVersion"].rpartition("/")[2]
    model = getattr(kubernetes.client, f"{version.capitalize()}{document['kind']}", None)
    if model is None:
        return [f"there is no kind {document['kind']} in {document['apiVersion']}"]
    try:
        model.model_validate(document)
    except ValidationError as error:
        return [f"{document['kind']}.{'.'.join(map(str, detail['loc']))}: {detail['msg']}" for detail in error.errors()]
    return []
