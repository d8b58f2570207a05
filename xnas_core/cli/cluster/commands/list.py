"""`xnas list`."""

from __future__ import annotations

from typing import Annotated

import typer

from xnas_core.cli.cluster.options import kubernetes_options, said
from xnas_core.cli.options import AsJson
from xnas_core.cli.session import begin

EXAMPLE = """Examples:
  xnas list -n team-a
  xnas list -A --json | jq '.searches[] | select(.state == "Running").name'"""

Everywhere = Annotated[bool, typer.Option("--all-namespaces", "-A", help="Of all namespaces.")]


@kubernetes_options
def list_(context: typer.Context, everywhere: Everywhere = False, as_json: AsJson = False) -> None:
    """List the searches on the cluster, with state, evaluations, front and evaluators."""
    from xnas_core.cli.cluster.connecting import kube_for
    from xnas_core.cli.cluster.listing import resource_document, search_table
    from xnas_core.cli.cluster.searches import Searches, check_name
    from xnas_core.service.resources import info

    session = begin(context, as_json=as_json)
    with kube_for(said(session)) as kube:
        namespace = None if everywhere else check_name(kube.access.namespace, "namespace")
        found = Searches(kube).list(namespace)
    if session.json:
        session.answer({"searches": [resource_document(manifest) for manifest in found]})
        return
    if not found:
        where = "any namespace" if namespace is None else f"namespace {namespace}; -A lists those of all"
        typer.echo(f"there is no search in {where}", err=True)
        return
    from xnas_core.cli import terminal

    console = terminal.output()
    console.print(search_table([info(manifest) for manifest in found], console, namespaces=everywhere))
