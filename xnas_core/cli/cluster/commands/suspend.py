"""`xnas suspend`."""

from __future__ import annotations

import typer

from xnas_core.cli.cluster.options import kubernetes_options
from xnas_core.cli.options import AsJson, ClusterSearch
from xnas_core.cli.session import begin

EXAMPLE = """Example:
  xnas suspend team-a/digits"""


@kubernetes_options
def suspend(context: typer.Context, search: ClusterSearch, as_json: AsJson = False) -> None:
    """Stop a search for now: its evaluators hand back what they train, and go.

    Nothing that was finished is lost; `xnas resume` goes on.
    """
    from xnas_core.cli.cluster.acting import named_search, tell

    session = begin(context, as_json=as_json)
    with named_search(session, search) as found:
        resource = found.change({"suspend": True})
        tell(session, f"{found.place} is being suspended; go on with: xnas resume {found.place}", resource)
