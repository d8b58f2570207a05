"""`xnas init`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from xnas_core.cli.options import AsJson
from xnas_core.cli.session import begin

EXAMPLE = """Examples:
  xnas init
  xnas init search.yaml --dataset fashion-mnist --objective accuracy --objective parameters --evaluations 100
  xnas init search.yaml --dataset images/ --yes
  xnas init search.yaml --table nb201.csv.gz --objective c10_test_200:maximize --objective c10_mflops:minimize"""

File = Annotated[Path, typer.Argument(metavar="FILE", help="Where to write the search.")]
Space = Annotated[str | None, typer.Option("--space", help="Search space.", show_default="nas-bench-201")]
Dataset = Annotated[
    str | None,
    typer.Option(
        "--dataset",
        help="digits, lines, mnist, fashion-mnist, cifar10, a plug-in's name, a folder of images, an npz file; "
        "or none: objectives from the graph alone.",
        show_default="digits",
    ),
]
Table = Annotated[
    str | None, typer.Option("--table", help="Benchmark table (CSV) in place of data.", show_default=False)
]
Objectives = Annotated[
    list[str] | None,
    typer.Option(
        "--objective", metavar="NAME[:DIRECTION]", help="May be repeated.", show_default="accuracy, introspectability"
    ),
]
Evaluations = Annotated[
    int | None, typer.Option("--evaluations", min=1, max=10_000_000, help="How many to score.", show_default="48")
]
Seed = Annotated[int | None, typer.Option("--seed", min=0, help="Seed of every random choice.", show_default="1")]
Name = Annotated[str | None, typer.Option("--name", help="Name of the search.", show_default="from FILE")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing; take the defaults.")]
Force = Annotated[bool, typer.Option("--force", help="Replace FILE if it exists.")]


def init(
    context: typer.Context,
    file: File = Path("search.yaml"),
    space: Space = None,
    dataset: Dataset = None,
    table: Table = None,
    objective: Objectives = None,
    evaluations: Evaluations = None,
    seed: Seed = None,
    name: Name = None,
    yes: Yes = False,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Write a commented search.yaml: after a few questions on a terminal, else from the options."""
    from xnas_core.cli.interview import Answers, Interview
    from xnas_core.cli.writing import write_search

    session = begin(context, as_json=as_json)
    given = Answers(space, dataset, table, tuple(objective or ()), evaluations, seed, name)
    choices = Interview(given, file, asking=not (yes or session.json)).choices()
    write_search(choices, file, replace=force)
    if session.json:
        session.answer({"file": str(file), "name": choices.name})
        return
    print(f"{file} is written and valid. Next:")
    print(f"  xnas plan {file}")
    print(f"  xnas run {file} --output runs/{choices.name}")
