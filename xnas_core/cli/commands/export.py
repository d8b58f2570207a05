"""`xnas export`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xnas_core.cli.cluster.options import operator_options
from xnas_core.cli.options import AsJson, CandidateId, SearchPlace
from xnas_core.cli.session import begin

if TYPE_CHECKING:
    from xnas_core.cli.sources import Source

EXAMPLE = """Examples:
  xnas export runs/first c01ab --format onnx --destination models/
  xnas export team-a/digits c01ab"""


class Format(StrEnum):
    """What to export to."""

    TORCH = "torch"
    ONNX = "onnx"
    BOTH = "both"


Formats = Annotated[Format, typer.Option("--format", help="torch.export (.pt2), ONNX, or both.")]
Destination = Annotated[
    Path | None,
    typer.Option("--destination", help="Folder to write to.", show_default="SEARCH/exports, or exports"),
]


@operator_options
def export(
    context: typer.Context,
    search: SearchPlace,
    identity: CandidateId,
    form: Formats = Format.BOTH,
    destination: Destination = None,
    as_json: AsJson = False,
) -> None:
    """Export a trained candidate for use without XNAS, checked to give the same output on real images.

    The files take normalised images and give class scores; class names, mean and standard deviation are in them. The
    images of the check are this machine's, also for a search on a cluster.
    """
    from xnas_core.cli.evaluator_side import require_evaluator
    from xnas_core.cli.sources import opened
    from xnas_core.cli.viewing import find_candidate
    from xnas_core.local.describe import ask_evaluator
    from xnas_core.report.numbers import plural, size

    session = begin(context, as_json=as_json)
    with opened(session, search) as source:
        record = find_candidate(source.view(), identity)
        require_evaluator()
        question = {
            **_place(source),
            "candidate": record.id,
            "destination": str((destination or (source.folder or Path()) / "exports").absolute()),
            "formats": ["torch", "onnx"] if form is Format.BOTH else [form.value],
        }
        answer = ask_evaluator("xnas_evaluator.export_cli", question)
    if session.json:
        session.answer(answer)
        return
    for file in answer["files"]:
        print(f"{file['path']}  {size(file['size'])}, largest difference {file['maxAbsDifference']:.1e}")
    print(f"checked on {plural(answer['samples'], 'validation image')}")


def _place(source: Source) -> dict[str, Any]:
    """Return how the evaluator's side finds the search."""
    from xnas_core.cli.cluster.source import ClusterSource
    from xnas_core.errors import InvalidInputError

    if source.folder is not None:
        return {"folder": str(source.folder.absolute())}
    if isinstance(source, ClusterSource):
        return {"service": source.reached.document()}
    raise InvalidInputError(
        f"a network is exported from a folder or a cluster, not from {source.place}; in Python load_model reads it"
    )
