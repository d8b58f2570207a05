"""The Kubernetes API as the operator uses it: `KubeClient`, resources and typed errors."""

from xnas_operator.kube.client import FIELD_MANAGER, KubeClient, Listing, TokenStatus
from xnas_operator.kube.errors import (
    AlreadyExistsError,
    ConflictError,
    ForbiddenError,
    GoneError,
    InvalidError,
    KubeError,
    NotFoundError,
    UnavailableError,
)
from xnas_operator.kube.resources import (
    CONFIG_MAPS,
    EVENTS,
    JOBS,
    LEASES,
    NODES,
    PODS,
    SEARCHES,
    SECRETS,
    SERVICE_ACCOUNTS,
    WORKLOADS,
    JsonObject,
    Resource,
)
from xnas_operator.kube.transport import Exchange, Patience
from xnas_operator.kube.watching import WatchEvent

__all__ = [
    "CONFIG_MAPS",
    "EVENTS",
    "FIELD_MANAGER",
    "JOBS",
    "LEASES",
    "NODES",
    "PODS",
    "SEARCHES",
    "SECRETS",
    "SERVICE_ACCOUNTS",
    "WORKLOADS",
    "AlreadyExistsError",
    "ConflictError",
    "Exchange",
    "ForbiddenError",
    "GoneError",
    "InvalidError",
    "JsonObject",
    "KubeClient",
    "KubeError",
    "Listing",
    "NotFoundError",
    "Patience",
    "Resource",
    "TokenStatus",
    "UnavailableError",
    "WatchEvent",
]
