"""Names, labels and owner of what belongs to a search."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from xnas_core.api.base import API_VERSION, GROUP, KIND
from xnas_core.api.resource import ArchitectureSearch
from xnas_core.errors import InvalidInputError

FIELD_MANAGER = "xnas-operator"
"""Field manager of server-side apply."""
CONTAINER = "evaluator"
"""Name of our container in evaluator pods."""
NAME_LABEL = "app.kubernetes.io/name"
MANAGED_BY_LABEL = "app.kubernetes.io/managed-by"
SEARCH_LABEL = f"{GROUP}/search"
UID_LABEL = f"{GROUP}/search-uid"

LONGEST = 63
"""Characters of a DNS-1123 label."""
LONGEST_JOB = 52
"""A pod of an Indexed Job is called JOB-INDEX-xxxxx: with indexes up to 9999 that is 11 characters more."""
_HASH = 8


@dataclass(frozen=True, slots=True)
class Owner:
    """The resource that everything here belongs to."""

    namespace: str
    name: str
    uid: str

    @staticmethod
    def of(search: ArchitectureSearch) -> Owner:
        """Return the identity of a search.

        Raises:
            InvalidInputError: it has not been on an API server.
        """
        meta = search.metadata
        if meta.namespace is None or meta.uid is None:
            raise InvalidInputError(
                f"the search {meta.name} has no namespace or uid; only a resource read from the API server has them"
            )
        return Owner(meta.namespace, meta.name, meta.uid)

    def reference(self) -> dict[str, Any]:
        """Return the owner reference: the search controls the object, which goes when the search goes."""
        return {
            "apiVersion": API_VERSION,
            "kind": KIND,
            "name": self.name,
            "uid": self.uid,
            "controller": True,
            "blockOwnerDeletion": True,
        }


def object_name(search: str, suffix: str, longest: int = LONGEST) -> str:
    """Return `<search>-<suffix>`, a DNS-1123 label.

    A name of the search that is too long is cut, and a hash of the whole of it keeps two searches apart.

    Args:
        search: metadata.name of the search.
        suffix: what the object is.
        longest: characters allowed.
    """
    whole = f"{search}-{suffix}"
    if len(whole) <= longest:
        return whole
    digest = hashlib.sha256(search.encode()).hexdigest()[:_HASH]
    room = longest - len(suffix) - _HASH - 2
    return f"{search[:room].rstrip('-')}-{digest}-{suffix}"


def job_name(search: str) -> str:
    """Return the name of the evaluators' Job."""
    return object_name(search, "evaluators", LONGEST_JOB)


def service_account_name(search: str) -> str:
    """Return the name of the evaluators' ServiceAccount."""
    return object_name(search, "evaluator")


def ca_name(search: str) -> str:
    """Return the name of the ConfigMap with the certificate authority of the gRPC port."""
    return object_name(search, "ca")


def labels(owner: Owner) -> dict[str, str]:
    """Return the labels of everything that the operator makes for a search."""
    return {
        NAME_LABEL: "xnas-evaluator",
        MANAGED_BY_LABEL: "xnas-operator",
        SEARCH_LABEL: owner.name,
        UID_LABEL: owner.uid,
    }


def selector(uid: str | None = None) -> str:
    """Return the label selector of one search's objects, or of all that the operator made."""
    return f"{MANAGED_BY_LABEL}=xnas-operator" if uid is None else f"{UID_LABEL}={uid}"


def metadata(owner: Owner, name: str) -> dict[str, Any]:
    """Return the metadata of an object of a search."""
    return {
        "name": name,
        "namespace": owner.namespace,
        "labels": labels(owner),
        "ownerReferences": [owner.reference()],
    }
