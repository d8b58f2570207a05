"""`xnas watch`."""

from __future__ import annotations

from typing import Annotated

import typer

from xnas_core.cli.cluster.options import operator_options, said
from xnas_core.cli.options import AsJson, ClusterSearch
from xnas_core.cli.session import begin

EXAMPLE = """Examples:
  xnas watch team-a/digits
  xnas watch team-a/digits --json | jq -r 'select(.event == "finished").candidates[].id'"""

FromBeginning = Annotated[
    bool, typer.Option("--from-beginning", help="Also tell of candidates that have finished before.")
]


@operator_options
def watch(
    context: typer.Context, search: ClusterSearch, from_beginning: FromBeginning = False, as_json: AsJson = False
) -> int:
    """Follow a search on the cluster until it has ended: numbers and front on a terminal, elsewhere a line an event.

    With --json one document a line. A connection that breaks is made again, and nothing is missed. Exit code 1 if the
    search fails or is deleted. Ctrl-C ends the watch, not the search.
    """
    from xnas_core.cli.cluster.source import cluster_source
    from xnas_core.cli.cluster.watching import follow
    from xnas_core.cli.places import cluster_place

    session = begin(context, as_json=as_json)
    options = said(session)
    with cluster_source(cluster_place(search, options), options) as source:
        return follow(session, source.reached, from_beginning=from_beginning)
