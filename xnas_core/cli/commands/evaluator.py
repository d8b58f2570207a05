"""`xnas evaluator`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from xnas_core.cli.options import Device, Place
from xnas_core.cli.session import begin

EXAMPLE = """Example:
  xnas run search.yaml --output runs/first --listen 0.0.0.0:7411
  xnas evaluator --connect HOST:7411 --token-file token     (in another terminal, or on another machine)

Example, for a search on a cluster:
  xnas evaluator --connect xnas.example.org:8443 --search team-a/fashion --token-file token --ca-file ca.crt

More exit codes: 4 the run is gone, 5 it refused this evaluator."""

Connect = Annotated[
    str,
    typer.Option(
        "--connect", metavar="ADDRESS", help="HOST:PORT or unix:PATH of a run, or of an operator.", show_default=False
    ),
]
Slots = Annotated[int, typer.Option("--slots", min=1, max=64, help="Candidates trained side by side.")]
TokenFile = Annotated[
    Path | None,
    typer.Option(
        "--token-file", metavar="FILE", help="File with the token; TCP needs one. Read anew each time.",
        show_default=False,
    ),
]  # fmt: skip
Search = Annotated[
    str | None,
    typer.Option("--search", metavar="NAMESPACE/NAME", help="The search to serve, on a cluster.", show_default=False),
]
CaFile = Annotated[
    Path | None,
    typer.Option(
        "--ca-file", metavar="FILE", help="Authority of the server's certificate; with it TLS is used.",
        show_default=False,
    ),
]  # fmt: skip
ServerName = Annotated[
    str | None,
    typer.Option(
        "--server-name", metavar="NAME", help="Name in the server's certificate, where it is not the address's.",
        show_default=False,
    ),
]  # fmt: skip
StoreCaFile = Annotated[
    Path | None,
    typer.Option(
        "--store-ca-file", metavar="FILE", help="Authority of the store's certificate; else the system's.",
        show_default=False,
    ),
]  # fmt: skip
GiveUp = Annotated[
    int, typer.Option("--give-up-seconds", min=1, max=604_800, help="End when the run is silent for so long.")
]


def evaluator(
    context: typer.Context,
    connect: Connect,
    slots: Slots = 1,
    device: Device = Place.AUTO,
    token_file: TokenFile = None,
    search: Search = None,
    ca_file: CaFile = None,
    server_name: ServerName = None,
    store_ca_file: StoreCaFile = None,
    give_up_seconds: GiveUp = 600,
) -> None:
    """Join a running search from another terminal or machine, and train candidates for it.

    Ctrl-C hands back what is being trained; nothing that was finished is lost. Where the run is stopped or the network
    is gone, what is being trained is finished, and the evaluator waits for the run to come back.
    """
    import os
    import sys

    from xnas_core.cli.evaluator_side import require_evaluator
    from xnas_core.errors import InvalidInputError

    begin(context)
    require_evaluator()
    if token_file is not None and not token_file.is_file():
        raise InvalidInputError(
            f"there is no token file {token_file}; `xnas run --listen` says where it puts the token, and for a cluster "
            "`kubectl create token` makes one"
        )
    command = [sys.executable, "-m", "xnas_evaluator.agent", "--connect", connect]
    command += ["--slots", str(slots), "--device", device.value, "--give-up-seconds", str(give_up_seconds)]
    given = {"--token-file": token_file, "--search": search, "--ca-file": ca_file, "--server-name": server_name}
    for option, value in {**given, "--store-ca-file": store_ca_file}.items():
        if value is not None:
            command += [option, str(value)]
    sys.stdout.flush()
    sys.stderr.flush()
    # The agent takes this process's place: signals and exit code are its own.
    os.execv(sys.executable, command)
