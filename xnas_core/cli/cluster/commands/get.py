"""`xnas get`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from xnas_core.cli.cluster.options import kubernetes_options
from xnas_core.cli.options import AsJson, ClusterSearch
from xnas_core.cli.session import begin

EXAMPLE = """Examples:
  xnas get team-a/digits > digits.yaml
  xnas get team-a/digits --json | jq .status.conditions"""

Status = Annotated[bool, typer.Option("--status", help="Also print the status.")]
_KEPT = ("labels", "annotations")
_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


@kubernetes_options
def get(context: typer.Context, search: ClusterSearch, status: Status = False, as_json: AsJson = False) -> None:
    """Print a search's file, defaults filled in, ready to be submitted again.

    With --json the whole resource, status included.
    """
    import yaml

    from xnas_core.cli.cluster.acting import named_search

    session = begin(context, as_json=as_json)
    with named_search(session, search) as found:
        resource = found.get()
    if session.json:
        session.answer(resource)
        return
    document = _document(resource)
    if status:
        document["status"] = resource.get("status") or {}
    print(yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=100), end="")


def _document(resource: dict[str, Any]) -> dict[str, Any]:
    """Return what a person would have written."""
    given = resource["metadata"]
    metadata = {"name": given["name"], "namespace": given.get("namespace")}
    for key in _KEPT:
        values = {name: value for name, value in (given.get(key) or {}).items() if name != _APPLIED}
        if values:
            metadata[key] = values
    return {
        "apiVersion": resource["apiVersion"], "kind": resource["kind"], "metadata": metadata, "spec": resource["spec"],
    }  # fmt: skip
