"""The operator that is active: its pod, and what its certificate has to say."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xnas_core.cli.cluster.kube import JsonObject, Kube, path_of
from xnas_core.cli.cluster.options import ClusterOptions
from xnas_core.errors import InvalidInputError
from xnas_core.service.errors import ForbiddenError, NotFoundError, UnavailableError

ACTIVE = "xnas.dev/active=true"
"""The label that the Service goes by, too."""
_OURS = "app.kubernetes.io/managed-by=xnas-operator"
_USUAL_NAMESPACE = "xnas"
_PORT_NAME = "grpc"
_USUAL_PORT = 8443
_CONFIG_SUFFIX = "-operator"
_CA = "ca.crt"
_BEGIN = "-----BEGIN CERTIFICATE-----"


@dataclass(frozen=True, slots=True)
class OperatorPod:
    """Where the active operator is.

    Attributes:
        port: of gRPC.
        service: name of the Service that leads to it.
    """

    namespace: str
    name: str
    port: int
    service: str

    @property
    def server_name(self) -> str:
        """The name that its certificate is for."""
        return f"{self.service}.{self.namespace}.svc"


def active_operator(kube: Kube, options: ClusterOptions) -> OperatorPod:
    """Return the pod of the active operator.

    Raises:
        ForbiddenError: pods may not be listed.
        UnavailableError: no operator is active.
        InvalidInputError: there are several, in several namespaces.
    """
    pods = [_read(pod) for pod in _pods(kube, options.operator_namespace) if _lives(pod)]
    places = sorted({pod.namespace for pod in pods})
    if len(places) > 1:
        raise InvalidInputError(
            f"there are operators in the namespaces {', '.join(places)}; choose one with --operator-namespace"
        )
    if not pods:
        where = f" in namespace {options.operator_namespace}" if options.operator_namespace else ""
        raise UnavailableError(
            f"no operator is active{where} on the cluster at {kube.host}; "
            "`kubectl get pods -A -l app.kubernetes.io/component=operator` shows what became of it"
        )
    return pods[0]


def _pods(kube: Kube, namespace: str | None) -> list[JsonObject]:
    query = {"labelSelector": ACTIVE}
    if namespace is not None:
        return kube.items(path_of("/api/v1", "namespaces", namespace, "pods"), query)
    try:
        return kube.items("/api/v1/pods", query)
    except ForbiddenError:
        pass
    try:
        return kube.items(path_of("/api/v1", "namespaces", _USUAL_NAMESPACE, "pods"), query)
    except ForbiddenError as error:
        raise ForbiddenError(
            f"you may list pods neither in all namespaces nor in {_USUAL_NAMESPACE!r}, so the operator is not found: "
            "give its namespace with --operator-namespace, or the address of its service with --address "
            "(docs/cluster-commands.md lists the rights that are needed)"
        ) from error


def _lives(pod: JsonObject) -> bool:
    ended = (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")
    return not ended and not pod["metadata"].get("deletionTimestamp")


def _read(pod: JsonObject) -> OperatorPod:
    spec = pod.get("spec") or {}
    ports = [port for container in spec.get("containers") or () for port in container.get("ports") or ()]
    port = next((int(port["containerPort"]) for port in ports if port.get("name") == _PORT_NAME), _USUAL_PORT)
    # The chart calls the settings of the operator of Service NAME NAME-operator.
    configs = [str((volume.get("configMap") or {}).get("name") or "") for volume in spec.get("volumes") or ()]
    service = next((name.removesuffix(_CONFIG_SUFFIX) for name in configs if name.endswith(_CONFIG_SUFFIX)), "xnas")
    return OperatorPod(str(pod["metadata"]["namespace"]), str(pod["metadata"]["name"]), port, service)


def authorities(kube: Kube, options: ClusterOptions, operator: OperatorPod, namespace: str) -> bytes:
    """Return the PEM of the authorities to trust: a file, those that searches of the namespace have, the operator's.

    The operator puts its authority beside each search, where whoever may read the search may read it. Its own Secret
    also holds private keys, so few may read that.

    Raises:
        InvalidInputError: the file can't be read.
        ForbiddenError: none was found.
    """
    if options.ca_file is not None:
        return _file(options.ca_file)
    try:
        maps = kube.items(path_of("/api/v1", "namespaces", namespace, "configmaps"), {"labelSelector": _OURS})
    except (ForbiddenError, NotFoundError):
        maps = []
    beside = _joined(str((item.get("data") or {}).get(_CA) or "") for item in maps)
    if beside:
        return beside
    secret = f"{operator.service}-tls"
    try:
        found = kube.get(path_of("/api/v1", "namespaces", operator.namespace, "secrets", secret))
    except (ForbiddenError, NotFoundError) as error:
        raise ForbiddenError(
            f"the authority of the operator's certificate was found neither beside the searches in {namespace!r} "
            f"nor in the Secret {operator.namespace}/{secret}; ask the administrator for its {_CA}, and give it with "
            "--ca-file"
        ) from error
    return _joined([_decoded((found.get("data") or {}).get(_CA))])


def _joined(bundles: Iterable[str]) -> bytes:
    """Return the certificates of some PEM texts, each once."""
    parts = [part for bundle in bundles for part in bundle.split(_BEGIN)[1:]]
    return "".join(dict.fromkeys(f"{_BEGIN}{part.rstrip()}\n" for part in parts)).encode()


def _decoded(data: Any) -> str:
    try:
        return base64.b64decode(str(data or ""), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return ""


def _file(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidInputError(f"the certificate can't be read from {path}: {error.strerror}") from error
