"""`xnas delete`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from xnas_core.cli.cluster.options import kubernetes_options
from xnas_core.cli.options import AsJson, ClusterSearch
from xnas_core.cli.session import begin

EXAMPLE = """Example:
  xnas delete team-a/digits"""

Yes = Annotated[bool, typer.Option("--yes", "-y", help="Don't ask whether artifacts may be deleted, too.")]
_DELETES = "Delete"


@kubernetes_options
def delete(context: typer.Context, search: ClusterSearch, yes: Yes = False, as_json: AsJson = False) -> None:
    """Delete a search and its evaluators.

    What becomes of its artifacts in the store says spec.artifacts.retention: with Retain they stay, and are read with
    s3://…; with Delete they go, too, and that is asked about first.
    """
    from xnas_core.cli.cluster.acting import named_search
    from xnas_core.errors import InvalidInputError

    session = begin(context, as_json=as_json)
    with named_search(session, search) as found:
        resource = found.get()
        goes = (resource["spec"].get("artifacts") or {}).get("retention") == _DELETES
        if goes and not yes:
            if not sys.stdin.isatty() or session.json:
                raise InvalidInputError(
                    f"all artifacts of {found.place} would be deleted, too (spec.artifacts.retention); say --yes"
                )
            typer.confirm(f"Delete {found.place} and all its artifacts?", abort=True, err=True)
        found.searches.delete(found.namespace, found.name, resource["metadata"]["uid"])
    uri = (resource.get("status") or {}).get("artifactsUri")
    kept = None if goes else uri
    if session.json:
        session.answer({"deleted": found.place, "uid": resource["metadata"]["uid"], "artifacts": kept})
        return
    print(f"{found.place} is being deleted")
    if kept:
        print(f"  its artifacts stay: xnas front {kept}")
