"""`xnas report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from xnas_core.cli.options import AsJson, OutputFolder
from xnas_core.cli.session import begin

EXAMPLE = """Example:
  xnas report runs/first --open"""

OpenIt = Annotated[bool, typer.Option("--open", help="Open the report in a browser.")]
Destination = Annotated[
    Path | None, typer.Option("--destination", help="Write the report here.", show_default="DIR/report.html")
]


def report(
    context: typer.Context,
    folder: OutputFolder,
    open_it: OpenIt = False,
    destination: Destination = None,
    as_json: AsJson = False,
) -> None:
    """Write report.html anew from the journal: one file that works offline.

    Works at any time, also while the search runs. The tables candidates.parquet and front.csv are written anew, too,
    unless --destination names another place.
    """
    from xnas_core.artifacts import keys
    from xnas_core.artifacts.folder import FolderStore
    from xnas_core.local import open_search
    from xnas_core.report import write_candidates, write_front, write_report

    session = begin(context, as_json=as_json)
    view = open_search(folder)
    path = (destination or folder / keys.REPORT).absolute()
    write_report(view, FolderStore(folder).get, path)
    if destination is None:
        write_candidates(view, folder / keys.CANDIDATES_TABLE)
        write_front(view, folder / keys.FRONT_TABLE)
    opened = open_it and _open(path)
    if session.json:
        session.answer({"report": str(path), "opened": opened})
        return
    print(path)
    if open_it and not opened:
        typer.echo(f"no browser was found here; open {path.as_uri()} in one", err=True)


def _open(path: Path) -> bool:
    import webbrowser

    try:
        return webbrowser.open(path.as_uri())
    except webbrowser.Error:
        return False
