"""`xnas resume`."""

from __future__ import annotations

import typer

from xnas_core.cli.cluster.options import kubernetes_options
from xnas_core.cli.options import AsJson, ClusterSearch
from xnas_core.cli.session import begin

EXAMPLE = """Example:
  xnas resume team-a/digits"""


@kubernetes_options
def resume(context: typer.Context, search: ClusterSearch, as_json: AsJson = False) -> None:
    """Let a suspended search go on."""
    from xnas_core.cli.cluster.acting import named_search, tell

    session = begin(context, as_json=as_json)
    with named_search(session, search) as found:
        resource = found.change({"suspend": False})
        tell(session, f"{found.place} goes on", resource)
