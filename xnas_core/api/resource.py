"""The resource as a whole: ArchitectureSearch with its metadata, spec and status."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, Field, StringConstraints

from xnas_core.api.base import Model, Name
from xnas_core.api.spec import ArchitectureSearchSpec
from xnas_core.api.status import ArchitectureSearchStatus, Tally

LabelKey = Annotated[
    str,
    StringConstraints(
        min_length=1,
        max_length=317,
        pattern=r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$",
    ),
]
LabelValue = Annotated[str, StringConstraints(max_length=63, pattern=r"^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$")]


class ObjectMeta(Model):
    """Kubernetes' object metadata: what a person writes, and what the API server adds to it."""

    name: Name
    """Name of the search, an RFC 1123 label. On one machine: for titles only."""
    namespace: Name | None = None
    """Namespace (cluster only)."""
    labels: Annotated[dict[LabelKey, LabelValue], Field(max_length=64)] = {}
    """Labels."""
    annotations: Annotated[
        dict[LabelKey, Annotated[str, StringConstraints(max_length=262_144)]], Field(max_length=64)
    ] = {}
    """Annotations."""
    finalizers: Annotated[list[Annotated[str, StringConstraints(max_length=317)]], Field(max_length=64)] = []
    """Kept as they are."""
    uid: Annotated[str, StringConstraints(max_length=128)] | None = None
    """Given by the API server."""
    resource_version: Annotated[str, StringConstraints(max_length=128)] | None = None
    """Given by the API server."""
    generation: Tally | None = None
    """Given by the API server."""
    creation_timestamp: AwareDatetime | None = None
    """Given by the API server."""
    deletion_timestamp: AwareDatetime | None = None
    """Given by the API server."""
    deletion_grace_period_seconds: Tally | None = None
    """Given by the API server."""
    owner_references: Annotated[list[dict[str, Any]], Field(max_length=64)] = []
    """Given by the API server."""
    managed_fields: Annotated[list[dict[str, Any]], Field(max_length=256)] = []
    """Given by the API server."""
    self_link: Annotated[str, StringConstraints(max_length=2048)] | None = None
    """Given by old API servers."""


class ArchitectureSearch(Model):
    """An explainable, multi-objective neural architecture search."""

    api_version: Literal["xnas.dev/v1alpha1"]
    """xnas.dev/v1alpha1"""
    kind: Literal["ArchitectureSearch"]
    """ArchitectureSearch"""
    metadata: ObjectMeta
    """Name, namespace, labels, annotations."""
    spec: ArchitectureSearchSpec
    """What is searched, on what data, for which objectives, within which limits."""
    status: ArchitectureSearchStatus | None = None
    """What is known of the search; written by the operator, ignored in a file."""
