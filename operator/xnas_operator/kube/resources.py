"""The kinds of object that the operator speaks about, and their addresses on the API server."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias
from urllib.parse import quote

from xnas_operator.kube.errors import InvalidError

JsonObject: TypeAlias = dict[str, Any]
"""A Kubernetes object as the API server sends it."""


@dataclass(frozen=True)
class Resource:
    """One resource type. `group` is empty for core."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        """As in an object's apiVersion."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """The URL's path; without a namespace that of all namespaces, without a name that of the collection.

        Raises:
            InvalidError: a part would lead elsewhere.
        """
        for part in (namespace, name):
            if part in (".", "..") or "/" in part or "%" in part:
                raise InvalidError(f"{part[:100]!r} is not the name of a Kubernetes object", 400)
        parts = ["apis", self.group, self.version] if self.group else ["api", self.version]
        if namespace and self.namespaced:
            parts += ["namespaces", namespace]
        parts += [self.plural, *([name] if name else []), *([subresource] if subresource else [])]
        return "/" + "/".join(quote(part, safe="") for part in parts)


SEARCHES = Resource("xnas.dev", "v1alpha1", "architecturesearches", "ArchitectureSearch")
JOBS = Resource("batch", "v1", "jobs", "Job")
PODS = Resource("", "v1", "pods", "Pod")
CONFIG_MAPS = Resource("", "v1", "configmaps", "ConfigMap")
SECRETS = Resource("", "v1", "secrets", "Secret")
SERVICE_ACCOUNTS = Resource("", "v1", "serviceaccounts", "ServiceAccount")
EVENTS = Resource("", "v1", "events", "Event")
NODES = Resource("", "v1", "nodes", "Node", namespaced=False)
LEASES = Resource("coordination.k8s.io", "v1", "leases", "Lease")
WORKLOADS = Resource("kueue.x-k8s.io", "v1beta2", "workloads", "Workload")
TOKEN_REVIEWS = Resource("authentication.k8s.io", "v1", "tokenreviews", "TokenReview", namespaced=False)
ACCESS_REVIEWS = Resource("authorization.k8s.io", "v1", "subjectaccessreviews", "SubjectAccessReview", namespaced=False)
