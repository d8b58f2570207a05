"""`xnas candidate`."""

from __future__ import annotations

import typer

from xnas_core.cli.cluster.options import operator_options
from xnas_core.cli.options import AsJson, CandidateId, SearchPlace
from xnas_core.cli.session import begin

EXAMPLE = """Examples:
  xnas candidate runs/first c01ab
  xnas candidate team-a/digits c01ab"""


@operator_options
def candidate(context: typer.Context, search: SearchPlace, identity: CandidateId, as_json: AsJson = False) -> None:
    """Show all that is known of a candidate: architecture, metrics, parents, attempts, timings, files."""
    from xnas_core.cli.documents import candidate_document
    from xnas_core.cli.sources import opened
    from xnas_core.cli.viewing import find_candidate

    session = begin(context, as_json=as_json)
    with opened(session, search) as source:
        view = source.view()
    record = find_candidate(view, identity)
    if session.json:
        session.answer(candidate_document(view, record))
        return
    from xnas_core.cli import terminal
    from xnas_core.cli.card import print_card

    print_card(terminal.output(), view, record)
