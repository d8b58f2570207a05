"""`xnas artifacts`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xnas_core.cli.cluster.options import operator_options
from xnas_core.cli.options import AsJson, SearchPlace
from xnas_core.cli.session import begin

if TYPE_CHECKING:
    from xnas_core.cli.session import Session
    from xnas_core.cli.taking import Listed
    from xnas_core.search.view import SearchView

EXAMPLE = """Examples:
  xnas artifacts team-a/digits c01ab
  xnas artifacts team-a/digits --front --match '*.png' --download pictures/"""

OneCandidate = Annotated[
    str | None, typer.Argument(metavar="[ID]", help="Of this candidate; else of all.", show_default=False)
]
Front = Annotated[bool, typer.Option("--front", help="Only of the front's members.")]
Match = Annotated[
    str, typer.Option("--match", metavar="PATTERN", help="Only those whose key fits, say '*.png'.", show_default=False)
]
Download = Annotated[
    Path | None, typer.Option("--download", metavar="DIR", help="Fetch them into this folder.", show_default=False)
]


@operator_options
def artifacts(
    context: typer.Context,
    search: SearchPlace,
    identity: OneCandidate = None,
    front: Front = False,
    match: Match = "*",
    download: Download = None,
    as_json: AsJson = False,
) -> None:
    """List what is stored of candidates: checkpoints, attributions, pictures. Or fetch it.

    What is fetched is checked against the digests in the search's journal. Files that are there already, and right,
    are not fetched again.
    """
    from xnas_core.cli.sources import opened
    from xnas_core.cli.taking import fetch, listed

    session = begin(context, as_json=as_json)
    with opened(session, search) as source:
        view = source.view()
        found = listed(view, identity, front=front, match=match)
        if download is None:
            _list(session, view, found)
            return
        written = [{"key": one.key, "path": str(path)} for one, path in fetch(source, found, download)]
    if session.json:
        session.answer({"folder": str(download.absolute()), "files": written})
        return
    from xnas_core.report.numbers import plural, size

    print(f"{plural(len(written), 'file')}, {size(sum(one.size for one in found))} in {download}")


def _list(session: Session, view: SearchView, found: list[Listed]) -> None:
    from xnas_core.report.numbers import size

    if session.json:
        documents = [{"candidate": o.candidate, "key": o.key, "size": o.size, "sha256": o.sha256} for o in found]
        session.answer({"name": view.name, "artifacts": documents})
        return
    if not found:
        typer.echo(f"{view.name} has no such artifacts yet", err=True)
    for one in found:
        print(f"{one.key}  {size(one.size)}")
