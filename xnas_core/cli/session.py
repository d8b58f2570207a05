"""What one call of the command line carries from its options to its end."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from xnas_core.cli.cluster.options import ClusterOptions


class LogFormat(StrEnum):
    """How log lines look."""

    CONSOLE = "console"
    JSON = "json"


@dataclass(slots=True)
class Session:
    """Settings of this call.

    Attributes:
        json: the answer is one JSON document on standard output, errors included.
        verbosity: 0 warnings, 1 information, 2 everything.
        log_format: how log lines look.
        answered: the JSON document has been written.
        cluster: what was said of a cluster, in commands that have to do with one.
    """

    json: bool = False
    verbosity: int = 0
    log_format: LogFormat = LogFormat.CONSOLE
    answered: bool = False
    cluster: ClusterOptions | None = None

    def line(self, document: dict[str, Any]) -> None:
        """Write one JSON document to a line of standard output, where there is one for each event."""
        self.answered = True
        print(json.dumps(document, ensure_ascii=False, allow_nan=False), flush=True)

    def answer(self, document: dict[str, Any]) -> None:
        """Write the one JSON document to standard output."""
        self.answered = True
        json.dump(document, sys.stdout, indent=2, ensure_ascii=False, allow_nan=False)
        sys.stdout.write("\n")


def begin(
    context: typer.Context, *, as_json: bool = False, verbosity: int = 0, log_format: str | None = None
) -> Session:
    """Return the call's session with a command's own options added; logging is set up as they say."""
    from xnas_core.cli.logs import configure

    session = context.find_root().obj
    if not isinstance(session, Session):
        raise TypeError("commands are run through xnas_core.cli.app.app")
    session.json = session.json or as_json
    session.verbosity = max(session.verbosity, verbosity)
    if log_format is not None:
        session.log_format = LogFormat(log_format)
    configure(session.verbosity, session.log_format)
    return session
