"""`xnas run`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from xnas_core.cli.options import AsJson, Device, Logs, Place, SearchFile, Slots, Verbose
from xnas_core.cli.session import begin

EXAMPLE = """Examples:
  xnas run search.yaml --output runs/first
  xnas run search.yaml --output runs/first --slots 2 --listen 0.0.0.0:7411"""

Output = Annotated[
    Path, typer.Option("--output", "-o", metavar="DIR", help="Folder for everything that is found.", show_default=False)
]
Listen = Annotated[
    str | None,
    typer.Option(
        "--listen",
        metavar="HOST:PORT",
        help="Let evaluators join from elsewhere. Not encrypted: use it in a network you trust.",
        show_default=False,
    ),
]
TokenFile = Annotated[
    Path | None,
    typer.Option(
        "--token-file", metavar="FILE", help="Token for --listen; without it a new one is made.", show_default=False
    ),
]


def run(
    context: typer.Context,
    file: SearchFile,
    output: Output,
    slots: Slots = None,
    device: Device = Place.AUTO,
    listen: Listen = None,
    token_file: TokenFile = None,
    as_json: AsJson = False,
    verbose: Verbose = 0,
    log_format: Logs = None,
) -> int:
    """Run a search on this machine, or go on with one.

    Ctrl-C stops it cleanly, a second Ctrl-C at once. The same command goes on where it was, also after a crash or
    kill -9; limits in FILE may be changed in between.
    """
    from xnas_core.cli.running import Run

    session = begin(context, as_json=as_json, verbosity=verbose, log_format=log_format)
    return Run(session, file, output, slots=slots, device=device.value, listen=listen, token_file=token_file).execute()
