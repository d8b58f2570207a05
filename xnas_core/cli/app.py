"""All commands, put together."""

from __future__ import annotations

import typer

from xnas_core.cli import exit_codes
from xnas_core.cli.cluster.commands import artifacts, delete, get, logs, resume, retry, scale, submit, suspend, watch
from xnas_core.cli.cluster.commands import list as list_
from xnas_core.cli.cluster.options import SectionedCommand
from xnas_core.cli.commands import (
    candidate,
    compare,
    evaluator,
    explain,
    export,
    front,
    init,
    lineage,
    plan,
    refine,
    report,
    run,
    validate,
    version,
)
from xnas_core.cli.group import XnasGroup
from xnas_core.cli.options import Logs, Verbose
from xnas_core.cli.session import Session

_EPILOG = f"""\b
A first search:
  xnas init search.yaml
  xnas run search.yaml --output runs/first
  xnas front runs/first

\b
On a cluster:
  xnas submit search.yaml
  xnas watch first

{exit_codes.TABLE}"""

app = typer.Typer(
    name="xnas",
    cls=XnasGroup,
    # Plain help: quick, and readable in 40 columns, in a pipe and on paper.
    rich_markup_mode=None,
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=_EPILOG,
)


@app.callback(invoke_without_command=True)
def _options(context: typer.Context, verbose: Verbose = 0, log_format: Logs = None) -> None:
    """XNAS searches for neural networks that are accurate and can be explained."""
    session = context.obj
    if isinstance(session, Session):
        session.verbosity = verbose
        session.log_format = log_format or session.log_format
    if context.invoked_subcommand is None:
        print(context.get_help())


_MODULES = (
    init, validate, plan, run, submit, list_, watch, front, candidate, lineage, artifacts, report, compare,
    explain, refine, export, get, suspend, resume, scale, retry, logs, delete, evaluator, version,
)  # fmt: skip
for module in _MODULES:
    name = module.__name__.rpartition(".")[2]
    command = getattr(module, name, None) or getattr(module, f"{name}_")
    app.command(name, cls=SectionedCommand, epilog=f"\b\n{module.EXAMPLE}\n\n{exit_codes.TABLE}")(command)
