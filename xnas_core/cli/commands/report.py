"""`xnas report`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xnas_core.cli.cluster.options import operator_options
from xnas_core.cli.options import AsJson, SearchPlace
from xnas_core.cli.session import begin

if TYPE_CHECKING:
    from xnas_core.cli.sources import Source

EXAMPLE = """Examples:
  xnas report runs/first --open
  xnas report team-a/digits --destination digits.html"""

OpenIt = Annotated[bool, typer.Option("--open", help="Open the report in a browser.")]
Destination = Annotated[
    Path | None,
    typer.Option("--destination", help="Write it here.", show_default="SEARCH/report.html, or report-NAME.html"),
]


@operator_options
def report(
    context: typer.Context,
    search: SearchPlace,
    open_it: OpenIt = False,
    destination: Destination = None,
    as_json: AsJson = False,
) -> None:
    """Write a search's report: one file that works offline.

    Works at any time, also while the search runs. In a folder it is written anew from the journal, and so are the
    tables candidates.parquet and front.csv, unless --destination names another place. Of a search on a cluster or in a
    store that has ended, the report that was stored is fetched.
    """
    from xnas_core.cli.sources import opened

    session = begin(context, as_json=as_json)
    with opened(session, search) as source:
        if source.folder is not None:
            path = _from_folder(source, source.folder, destination)
        else:
            path = _from_afar(source, destination)
    open_now = open_it and _open(path)
    if session.json:
        session.answer({"report": str(path), "opened": open_now})
        return
    print(path)
    if open_it and not open_now:
        typer.echo(f"no browser was found here; open {path.as_uri()} in one", err=True)


def _from_folder(source: Source, folder: Path, destination: Path | None) -> Path:
    from xnas_core.artifacts import keys
    from xnas_core.report import write_candidates, write_front, write_report

    view = source.view()
    path = (destination or folder / keys.REPORT).absolute()
    write_report(view, source.get, path)
    if destination is None:
        write_candidates(view, folder / keys.CANDIDATES_TABLE)
        write_front(view, folder / keys.FRONT_TABLE)
    return path


def _from_afar(source: Source, destination: Path | None) -> Path:
    from xnas_core.artifacts import keys
    from xnas_core.report import write_report
    from xnas_core.report.files import replace_file
    from xnas_core.search.view import SearchState

    view = source.view()
    # A name out of a store may be anything.
    name = "".join(character if character.isalnum() or character in "-_" else "-" for character in view.name)[:100]
    path = (destination or Path(f"report-{name}.html")).absolute()
    if view.state in (SearchState.COMPLETE, SearchState.FAILED):
        try:
            replace_file(path, source.get(keys.REPORT))
            return path
        except KeyError:
            # The end came before the report was stored.
            pass
    write_report(view, source.get, path)
    return path


def _open(path: Path) -> bool:
    import webbrowser

    try:
        return webbrowser.open(path.as_uri())
    except webbrowser.Error:
        return False
