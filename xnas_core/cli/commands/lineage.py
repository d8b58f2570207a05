"""`xnas lineage`."""

from __future__ import annotations

from typing import Annotated

import typer

from xnas_core.cli.cluster.options import operator_options
from xnas_core.cli.options import AsJson, CandidateId, SearchPlace
from xnas_core.cli.session import begin

EXAMPLE = """Examples:
  xnas lineage runs/first c01ab --depth 3
  xnas lineage team-a/digits c01ab --json"""

Depth = Annotated[int, typer.Option("--depth", min=1, max=1000, help="Generations of ancestors that are drawn.")]


@operator_options
def lineage(
    context: typer.Context, search: SearchPlace, identity: CandidateId, depth: Depth = 5, as_json: AsJson = False
) -> None:
    """Show where a candidate comes from: parents, their parents, and so on.

    With --json all ancestors are listed, nearest first, whatever the depth.
    """
    from xnas_core.cli.documents import brief_document
    from xnas_core.cli.sources import opened
    from xnas_core.cli.viewing import find_candidate
    from xnas_core.search.ancestry import ancestry

    session = begin(context, as_json=as_json)
    with opened(session, search) as source:
        view = source.view()
    record = find_candidate(view, identity)
    ancestors = ancestry(view, record)[1:]
    if session.json:
        listed = [
            {**brief_document(view, a.record), "operators": list(a.record.operators), "distance": a.distance}
            for a in ancestors
        ]
        session.answer({"candidate": brief_document(view, record), "ancestors": listed})
        return
    from xnas_core.cli import terminal
    from xnas_core.cli.tables import ancestor_tree
    from xnas_core.report.numbers import plural

    console = terminal.output()
    console.print(ancestor_tree(view, record, depth))
    console.print(f"{plural(len(ancestors), 'ancestor')} in all")
