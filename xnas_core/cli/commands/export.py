"""`xnas export`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from xnas_core.cli.options import AsJson, CandidateId, OutputFolder
from xnas_core.cli.session import begin

EXAMPLE = """Example:
  xnas export runs/first c01ab --format onnx --destination models/"""


class Format(StrEnum):
    """What to export to."""

    TORCH = "torch"
    ONNX = "onnx"
    BOTH = "both"


Formats = Annotated[Format, typer.Option("--format", help="torch.export (.pt2), ONNX, or both.")]
Destination = Annotated[
    Path | None, typer.Option("--destination", help="Folder to write to.", show_default="DIR/exports")
]


def export(
    context: typer.Context,
    folder: OutputFolder,
    identity: CandidateId,
    form: Formats = Format.BOTH,
    destination: Destination = None,
    as_json: AsJson = False,
) -> None:
    """Export a trained candidate for use without XNAS, checked to give the same output on real images.

    The files take normalised images and give class scores; class names, mean and standard deviation are in them.
    """
    from xnas_core.cli.evaluator_side import require_evaluator
    from xnas_core.cli.viewing import find_candidate
    from xnas_core.local import open_search
    from xnas_core.local.describe import ask_evaluator
    from xnas_core.report.numbers import plural, size

    session = begin(context, as_json=as_json)
    view = open_search(folder)
    record = find_candidate(view, identity)
    require_evaluator()
    question = {
        "folder": str(folder.absolute()),
        "candidate": record.id,
        "destination": str((destination or folder / "exports").absolute()),
        "formats": ["torch", "onnx"] if form is Format.BOTH else [form.value],
    }
    answer = ask_evaluator("xnas_evaluator.export_cli", question)
    if session.json:
        session.answer(answer)
        return
    for file in answer["files"]:
        print(f"{file['path']}  {size(file['size'])}, largest difference {file['maxAbsDifference']:.1e}")
    print(f"checked on {plural(answer['samples'], 'validation image')}")
