"""`xnas front`."""

from __future__ import annotations

import typer

from xnas_core.cli.cluster.options import operator_options
from xnas_core.cli.options import AsJson, SearchPlace
from xnas_core.cli.session import begin

EXAMPLE = """Example:
  xnas front runs/first
  xnas front team-a/digits
  xnas front s3://xnas/searches/team-a/digits/UID
  xnas front runs/first --json | jq '.front[0].id'"""


@operator_options
def front(context: typer.Context, search: SearchPlace, as_json: AsJson = False) -> None:
    """Show the Pareto front of a search: the candidates that no other one beats in every objective.

    Works at any time, also while the search runs. An output folder has the whole table in front.csv.
    """
    from xnas_core.cli.documents import search_document
    from xnas_core.cli.sources import opened

    session = begin(context, as_json=as_json)
    with opened(session, search) as source:
        view = source.summary()
    if session.json:
        session.answer(search_document(view, source.folder))
        return
    from xnas_core.cli import terminal
    from xnas_core.cli.summary import state_line
    from xnas_core.cli.tables import front_table

    console = terminal.output()
    console.print(state_line(view))
    if view.front:
        console.print(front_table(view, console))
