"""Which cluster, as whom, and in which namespace: a kubeconfig, or the pod that we run in."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xnas_core.cli.cluster.options import ClusterOptions
from xnas_core.errors import InvalidInputError

_USUAL = Path("~/.kube/config")
_IN_POD = "KUBERNETES_SERVICE_HOST"
_POD_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


class NoClusterError(InvalidInputError):
    """No kubeconfig leads to a cluster."""

    reason = "NoCluster"


@dataclass(frozen=True, slots=True)
class Access:
    """A way to an API server.

    Attributes:
        configuration: the `kubernetes` package's.
        namespace: where searches are looked for unless another one is said.
    """

    configuration: Any
    namespace: str


def configured(options: ClusterOptions) -> bool:
    """Return whether there is anything that leads to a cluster. Reads no file, imports nothing."""
    return options.address is not None or bool(_IN_POD in os.environ) or any(path.is_file() for path in _files(options))


def load(options: ClusterOptions) -> Access:
    """Return the way to the cluster.

    Raises:
        NoClusterError: there is no kubeconfig, it can't be used, or it has no such context.
    """
    from kubernetes import client, config
    from yaml import YAMLError

    # Most of the package has no types.
    untyped: Any = config
    made: Any = client.Configuration()
    files = [path for path in _files(options) if path.is_file()]
    if options.kubeconfig is not None and not files:
        raise NoClusterError(f"there is no kubeconfig {options.kubeconfig}; name a file that is there")
    try:
        if files:
            joined = os.pathsep.join(map(str, files))
            untyped.load_kube_config(joined, context=options.kube_context, client_configuration=made)
            namespace = _context_namespace(untyped.list_kube_config_contexts(joined), options.kube_context)
        elif _IN_POD in os.environ:
            untyped.load_incluster_config(made)
            namespace = _POD_NAMESPACE.read_text().strip() if _POD_NAMESPACE.is_file() else "default"
        else:
            raise NoClusterError(
                "there is no kubeconfig, so no cluster is known; set KUBECONFIG, or name a file with --kubeconfig"
            )
    except (config.ConfigException, YAMLError, OSError, TypeError, KeyError) as error:
        # TypeError and KeyError: the package's, about a file that has the wrong shape.
        where = ", ".join(map(str, files)) or "the pod's account"
        raise NoClusterError(f"{where} can't be used: {_first_line(error)}; mend it, or choose a --context") from error
    made.retries = False  # ours know what may be repeated
    return Access(made, options.namespace or namespace)


def _files(options: ClusterOptions) -> list[Path]:
    if options.kubeconfig is not None:
        return [options.kubeconfig.expanduser()]
    listed = os.environ.get("KUBECONFIG", "")
    return [Path(part).expanduser() for part in listed.split(os.pathsep) if part] if listed else [_USUAL.expanduser()]


def _context_namespace(listed: Any, wanted: str | None) -> str:
    contexts, active = listed
    chosen = next((context for context in contexts if context["name"] == wanted), active) or {}
    return str((chosen.get("context") or {}).get("namespace") or "default")


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
