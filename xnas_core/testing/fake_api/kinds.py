"""The kinds that the fake API server knows, and how each behaves. More may be given to `FakeApi(kinds=...)`."""

from __future__ import annotations

from dataclasses import dataclass

from xnas_core.testing.fake_api.answers import JsonObject


@dataclass(frozen=True)
class Kind:
    """One resource type of one API version.

    Attributes:
        group: the API group, empty for core.
        status: it has a status subresource: the main resource ignores changes of status, and the other way round.
        generation: metadata.generation is kept, and raised by each change of anything but metadata and status.
        versioned_update: a PUT must name the resourceVersion (custom resources, Leases).
        subresources: further subresources that are served (`log`, `token`).
        fields: field selectors beyond metadata.name and metadata.namespace.
        orphans: a DELETE that names no propagation policy leaves the dependents alone (batch/v1 Jobs do).
    """

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True
    status: bool = False
    generation: bool = False
    versioned_update: bool = False
    short_names: tuple[str, ...] = ()
    subresources: tuple[str, ...] = ()
    fields: tuple[str, ...] = ()
    orphans: bool = False

    @property
    def api_version(self) -> str:
        """As in an object's apiVersion."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def qualified(self) -> str:
        """As in messages of the API server: `jobs.batch`, `pods`."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    def discovery(self) -> list[JsonObject]:
        """The entries of an APIResourceList for this kind and its subresources."""
        main: JsonObject = {
            "name": self.plural,
            "singularName": self.kind.lower(),
            "namespaced": self.namespaced,
            "kind": self.kind,
            "shortNames": list(self.short_names),
            "verbs": ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"],
        }
        parts = (*(["status"] if self.status else []), *self.subresources)
        verbs = ["get", "patch", "update"]
        return [main] + [
            {"name": f"{self.plural}/{part}", "singularName": "", "namespaced": self.namespaced, "kind": self.kind}
            | {"verbs": verbs if part == "status" else ["create", "get"]}
            for part in parts
        ]


NAMESPACES = Kind("", "v1", "namespaces", "Namespace", namespaced=False, status=True, short_names=("ns",))
PODS = Kind(
    "",
    "v1",
    "pods",
    "Pod",
    status=True,
    subresources=("log", "portforward"),
    short_names=("po",),
    fields=("spec.nodeName", "spec.serviceAccountName", "status.phase", "status.podIP"),
)
SERVICE_ACCOUNTS = Kind("", "v1", "serviceaccounts", "ServiceAccount", subresources=("token",), short_names=("sa",))
SECRETS = Kind("", "v1", "secrets", "Secret", fields=("type",))
CONFIG_MAPS = Kind("", "v1", "configmaps", "ConfigMap", short_names=("cm",))
EVENTS = Kind(
    "",
    "v1",
    "events",
    "Event",
    short_names=("ev",),
    fields=("involvedObject.kind", "involvedObject.name", "involvedObject.uid", "reason", "type"),
)
JOBS = Kind("batch", "v1", "jobs", "Job", status=True, generation=True, orphans=True)
LEASES = Kind("coordination.k8s.io", "v1", "leases", "Lease", versioned_update=True)
SEARCHES = Kind(
    "xnas.dev",
    "v1alpha1",
    "architecturesearches",
    "ArchitectureSearch",
    status=True,
    generation=True,
    versioned_update=True,
    short_names=("nas",),
)
CRDS = Kind(
    "apiextensions.k8s.io",
    "v1",
    "customresourcedefinitions",
    "CustomResourceDefinition",
    namespaced=False,
    status=True,
    generation=True,
)
DEFAULT_KINDS: tuple[Kind, ...] = (
    NAMESPACES,
    PODS,
    SERVICE_ACCOUNTS,
    SECRETS,
    CONFIG_MAPS,
    EVENTS,
    JOBS,
    LEASES,
    SEARCHES,
    CRDS,
    Kind("", "v1", "services", "Service", status=True, short_names=("svc",)),
    Kind("", "v1", "nodes", "Node", namespaced=False, status=True, short_names=("no",)),
    Kind("", "v1", "persistentvolumeclaims", "PersistentVolumeClaim", status=True, short_names=("pvc",)),
    Kind("", "v1", "resourcequotas", "ResourceQuota", status=True, short_names=("quota",)),
    Kind("apps", "v1", "deployments", "Deployment", status=True, generation=True, short_names=("deploy",)),
    Kind("kueue.x-k8s.io", "v1beta2", "workloads", "Workload", status=True, generation=True, versioned_update=True),
)
