"""Options and arguments that several commands share."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from xnas_core.cli.session import LogFormat


class Place(StrEnum):
    """What candidates are trained on."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


AsJson = Annotated[bool, typer.Option("--json", help="Answer with one JSON document on standard output.")]
Verbose = Annotated[
    int,
    typer.Option(
        "--verbose", "-v", count=True, help="Show logs on standard error; twice: all of them.", show_default=False
    ),
]
Logs = Annotated[LogFormat | None, typer.Option("--log-format", help="console or json (one object a line).")]
SearchFile = Annotated[Path, typer.Argument(metavar="FILE", help="The search: a YAML file.", show_default=False)]
OutputFolder = Annotated[
    Path, typer.Argument(metavar="DIR", help="The output folder of `xnas run`.", show_default=False)
]
CandidateId = Annotated[
    str, typer.Argument(metavar="ID", help="Id of a candidate, or its unique beginning.", show_default=False)
]
Slots = Annotated[
    int | None,
    typer.Option("--slots", min=1, max=64, help="Candidates trained side by side.", show_default="the file's"),
]
Device = Annotated[Place, typer.Option("--device", help="Where candidates are trained; auto: the GPU if there is one.")]
SearchPlace = Annotated[
    str,
    typer.Argument(
        metavar="SEARCH",
        help="Output folder of `xnas run`, NAMESPACE/NAME on a cluster, or s3://BUCKET/PREFIX.",
        show_default=False,
    ),
]
ClusterSearch = Annotated[
    str, typer.Argument(metavar="SEARCH", help="NAMESPACE/NAME, or NAME with -n.", show_default=False)
]
