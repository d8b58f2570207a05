"""`xnas front`."""

from __future__ import annotations

import typer

from xnas_core.cli.options import AsJson, OutputFolder
from xnas_core.cli.session import begin

EXAMPLE = """Example:
  xnas front runs/first
  xnas front runs/first --json | jq '.front[0].id'"""


def front(context: typer.Context, folder: OutputFolder, as_json: AsJson = False) -> None:
    """Show the Pareto front of a search: the candidates that no other one beats in every objective.

    Works at any time, also while the search runs. The whole table lies in DIR/front.csv.
    """
    from xnas_core.cli.documents import search_document
    from xnas_core.local import open_search

    session = begin(context, as_json=as_json)
    view = open_search(folder)
    if session.json:
        session.answer(search_document(view, folder))
        return
    from xnas_core.cli import terminal
    from xnas_core.cli.summary import state_line
    from xnas_core.cli.tables import front_table

    console = terminal.output()
    console.print(state_line(view))
    if view.front:
        console.print(front_table(view, console))
