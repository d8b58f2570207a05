"""The small objects beside the Job: an account without rights, and the authorities to trust."""

from __future__ import annotations

from typing import Any

from xnas_core.api.resource import ArchitectureSearch
from xnas_operator.manifests.defaults import EvaluatorDefaults
from xnas_operator.manifests.names import Owner, ca_name, metadata, service_account_name
from xnas_operator.manifests.pod import CA_KEY, STORE_CA_KEY


def service_account(search: ArchitectureSearch) -> dict[str, Any]:
    """Return the ServiceAccount of a search's evaluators: no role is ever bound to it, no token is mounted by itself.

    Raises:
        InvalidInputError: the search has not been on an API server.
    """
    owner = Owner.of(search)
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": metadata(owner, service_account_name(owner.name)),
        "automountServiceAccountToken": False,
    }


def ca_config_map(search: ArchitectureSearch, defaults: EvaluatorDefaults) -> dict[str, Any]:
    """Return the ConfigMap with the certificate authorities of the gRPC port and, where it has its own, of the store.

    Applied again when they change: running pods see the new files within a minute or so.

    Raises:
        InvalidInputError: the search has not been on an API server.
    """
    owner = Owner.of(search)
    store = {STORE_CA_KEY: defaults.store_ca_pem} if defaults.store_ca_pem else {}
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata(owner, ca_name(owner.name)),
        "data": {CA_KEY: defaults.ca_pem, **store},
    }
