"""`xnas plan`."""

from __future__ import annotations

from typing import Annotated

import typer

from xnas_core.cli.options import AsJson, Device, Logs, Place, SearchFile, Slots, Verbose
from xnas_core.cli.session import begin

EXAMPLE = """Example:
  xnas plan search.yaml --slots 2"""

Measure = Annotated[
    bool, typer.Option("--measure/--no-measure", help="Train the smallest, median and largest network for a moment.")
]


def plan(
    context: typer.Context,
    file: SearchFile,
    slots: Slots = None,
    device: Device = Place.AUTO,
    measure: Measure = True,
    as_json: AsJson = False,
    verbose: Verbose = 0,
    log_format: Logs = None,
) -> None:
    """Say what a search is up to before it starts: networks, data, time, memory and disk.

    The smallest, the median and the largest network of the space are trained here for a few steps each, which takes
    up to a minute; time and memory of a whole evaluation follow from that.
    """
    from xnas_core.cli.planning import make_plan, plan_document

    session = begin(context, as_json=as_json, verbosity=verbose, log_format=log_format)
    made = make_plan(file, slots=slots, device=device.value, measure=measure)
    if session.json:
        session.answer(plan_document(made))
        return
    from xnas_core.cli import terminal
    from xnas_core.cli.plan_text import print_plan

    print_plan(terminal.output(), made)
