"""`xnas compare`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from xnas_core.cli.cluster.options import operator_options
from xnas_core.cli.options import AsJson
from xnas_core.cli.session import begin

EXAMPLE = """Example:
  xnas compare runs/nsga2-* runs/random-* --output compare.html"""

Searches = Annotated[
    list[str],
    typer.Argument(
        metavar="SEARCH...", help="Searches: output folders, NAMESPACE/NAME or s3://...", show_default=False
    ),
]
Output = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write it as a page, too: one offline file.")
]


@operator_options
def compare(context: typer.Context, searches: Searches, output: Output = None, as_json: AsJson = False) -> None:
    """Compare searches: hypervolume, fronts and best values, with intervals over seeds.

    Searches whose files differ in nothing but the seed (and in limits, where they run and what is kept) are one arm.
    All are measured with one reference point. Two arms with at least two searches each are tested against each other:
    paired where they have the same seeds, else by ranks. The objectives must be the same.
    """
    from xnas_core.analysis.arms import compare as put_together
    from xnas_core.cli.sources import opened

    session = begin(context, as_json=as_json)
    views = []
    for place in searches:
        with opened(session, place) as source:
            views.append((place, source.view()))
    comparison = put_together(views)
    if output is not None:
        from xnas_core.report.comparison import write_comparison

        write_comparison(comparison, output.absolute())
    from xnas_core.cli.comparing import comparison_document, comparison_text

    if session.json:
        page = str(output.absolute()) if output is not None else None
        session.answer({**comparison_document(comparison), "page": page})
        return
    from xnas_core.cli import terminal

    console = terminal.output()
    console.print(comparison_text(comparison, console))
    if output is not None:
        console.print(str(output), soft_wrap=True)
