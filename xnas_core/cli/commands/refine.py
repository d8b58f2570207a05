"""`xnas refine`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from xnas_core.cli.cluster.options import operator_options
from xnas_core.cli.options import AsJson, CandidateId, Device, Place, SearchPlace, Verbose
from xnas_core.cli.session import begin

EXAMPLE = """Examples:
  xnas refine runs/first c01ab --separate 3,8
  xnas refine team-a/fashion c01ab --separate shirt,coat --epochs 10 --weight 40"""

Separate = Annotated[
    list[str],
    typer.Option("--separate", metavar="CLASS,CLASS", help="Two classes; may be repeated.", show_default=False),
]
Epochs = Annotated[int, typer.Option("--epochs", min=1, max=10_000, help="Further epochs.")]
LearningRate = Annotated[float, typer.Option("--learning-rate", help="The same throughout.")]
Weight = Annotated[float, typer.Option("--weight", min=0, help="Of the pair's similarity; that of others is 1.")]


@operator_options
def refine(
    context: typer.Context,
    search: SearchPlace,
    identity: CandidateId,
    separate: Separate,
    epochs: Epochs = 5,
    learning_rate: LearningRate = 0.001,
    weight: Weight = 25.0,
    device: Device = Place.AUTO,
    as_json: AsJson = False,
    verbose: Verbose = 0,
) -> None:
    """Train a candidate further so that two classes it confuses are pulled apart; show what has changed.

    The candidate's own scores and checkpoint stay as they are: the refined network is stored beside them.
    """
    from xnas_core import refinement
    from xnas_core.artifacts.keys import REFINEMENT
    from xnas_core.cli.requesting import Wish, done
    from xnas_core.tasks import TaskKind

    session = begin(context, as_json=as_json, verbosity=verbose)
    parameters: dict[str, Any] = {
        "pairs": [{"classes": _classes(text), "weight": weight} for text in separate],
        "epochs": epochs,
        "learningRate": learning_rate,
    }
    with done(session, search, identity, Wish(TaskKind.REFINE, parameters, device.value)) as found:
        document = refinement.read(found.get(found.prefix + REFINEMENT))
        if session.json:
            answer = document.model_dump(mode="json")
            session.answer({"candidate": found.record.id, "prefix": found.prefix, "refinement": answer})
            return
        from xnas_core.cli import terminal
        from xnas_core.cli.refined import print_refinement

        print_refinement(terminal.output(), found.record.id, document)
        print(f"\nthe refined network: load_model({found.place!r}, {found.record.id!r}, refined=True)")


def _classes(text: str) -> list[str]:
    """Return the two classes. A name may have a comma: then the one in the middle divides it."""
    from xnas_core.errors import InvalidInputError

    parts = text.split(",")
    half = len(parts) // 2
    classes = [",".join(parts[:half]).strip(), ",".join(parts[half:]).strip()]
    if len(parts) % 2 or not all(classes):
        raise InvalidInputError(f"--separate {text!r} does not name two classes: write CLASS,CLASS")
    return classes
