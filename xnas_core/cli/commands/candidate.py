"""`xnas candidate`."""

from __future__ import annotations

import typer

from xnas_core.cli.options import AsJson, CandidateId, OutputFolder
from xnas_core.cli.session import begin

EXAMPLE = """Example:
  xnas candidate runs/first c01ab"""


def candidate(context: typer.Context, folder: OutputFolder, identity: CandidateId, as_json: AsJson = False) -> None:
    """Show all that is known of a candidate: architecture, metrics, parents, attempts, timings, files."""
    from xnas_core.cli.documents import candidate_document
    from xnas_core.cli.viewing import find_candidate
    from xnas_core.local import open_search

    session = begin(context, as_json=as_json)
    view = open_search(folder)
    record = find_candidate(view, identity)
    if session.json:
        session.answer(candidate_document(view, record))
        return
    from xnas_core.cli import terminal
    from xnas_core.cli.card import print_card

    print_card(terminal.output(), view, record)
