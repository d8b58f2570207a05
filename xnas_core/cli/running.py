"""`xnas run`: load, run with a display, end with the front."""

from __future__ import annotations

import shlex
import sys
from dataclasses import replace
from pathlib import Path

import typer

from xnas_core import interpreter
from xnas_core.api.resource import ArchitectureSearch
from xnas_core.api.spec import ArchitectureSearchSpec
from xnas_core.api.validate import load_search, load_searches
from xnas_core.cli import exit_codes, terminal
from xnas_core.cli.documents import search_document
from xnas_core.cli.evaluator_side import require_evaluator
from xnas_core.cli.joining import JoiningObserver, earlier_token, read_token
from xnas_core.cli.logs import turning_points
from xnas_core.cli.session import Session
from xnas_core.cli.summary import state_line
from xnas_core.errors import InvalidInputError
from xnas_core.local import RunObserver, RunOptions, RunOutcome
from xnas_core.local.runner import run_search
from xnas_core.search.view import SearchState, SearchView

SHOWN_MEMBERS = 20
"""Members of the front that are listed at the end; `xnas front` lists all."""


class Run:
    """One `xnas run`."""

    def __init__(
        self,
        session: Session,
        file: Path,
        output: Path,
        *,
        slots: int | None,
        device: str,
        listen: str | None,
        token_file: Path | None,
    ) -> None:
        self._session = session
        self._file = file
        self._output = output
        if token_file is not None and listen is None:
            raise InvalidInputError("--token-file is of use with --listen only; name an address, or leave it out")
        self._token_file = token_file
        token = read_token(token_file) if token_file is not None else None
        self._options = RunOptions(slots=slots, device=device, listen=listen, token=token)

    def execute(self) -> int:
        """Run to the end; return the exit code."""
        loaded = load_searches(self._file)
        # More than one is a mistake that `load_search` explains.
        search = loaded[0].search if len(loaded) == 1 else load_search(self._file)
        for problem in loaded[0].warnings:
            typer.echo(str(problem), err=True)
        if _trains(search.spec):
            require_evaluator()
        outcome = self._run(search)
        view = outcome.view
        suspended = view.state is SearchState.SUSPENDED
        if self._session.json:
            self._session.answer(self._document(view, outcome))
        else:
            self._show(view, outcome)
        if outcome.state == "Stopped" and not suspended:
            self._say_how_to_go_on()
            return exit_codes.INTERRUPTED
        if outcome.state == "Failed":
            typer.echo(f"error: the search failed ({outcome.reason}): {outcome.message}", err=True)
            return exit_codes.FAILED
        if suspended:
            typer.echo(outcome.message, err=True)
        return exit_codes.OK

    def _run(self, search: ArchitectureSearch) -> RunOutcome:
        # Logs and a display that moves the cursor do not go together.
        if self._session.verbosity or not terminal.live_display_possible():
            from xnas_core.cli.lines import Lines

            return self._observed(search, Lines(turning_points()))
        from xnas_core.cli.live import LiveDisplay

        display = LiveDisplay(terminal.messages())
        with display.shown():
            return self._observed(search, display)

    def _observed(self, search: ArchitectureSearch, observer: RunObserver) -> RunOutcome:
        options = self._options
        joining_observer = JoiningObserver(observer, self._output, keep_token=options.token is not None)
        if options.listen is not None and options.token is None:
            options = replace(options, token=earlier_token(self._output))
        with interpreter.tuned(), joining_observer as joining:
            outcome = run_search(search, self._file, self._output, options, joining)
            if outcome.state != "Stopped":
                joining.over()
            return outcome

    def _document(self, view: SearchView, outcome: RunOutcome) -> dict[str, object]:
        return {
            **search_document(view.summary(), self._output),
            "outcome": outcome.state,
            "outcomeReason": outcome.reason,
            "outcomeMessage": outcome.message,
        }

    def _show(self, view: SearchView, outcome: RunOutcome) -> None:
        console = terminal.output()
        console.print(state_line(view.summary()), style="bold")
        if view.front:
            from xnas_core.cli.tables import front_table

            console.print()
            console.print(front_table(view, console, limit=SHOWN_MEMBERS))
            console.print()
        if outcome.report is not None:
            folder = shlex.quote(str(self._output))
            console.print(f"report: {outcome.report}", soft_wrap=True)
            console.print(f"  open it in a browser, or: xnas report {folder} --open", soft_wrap=True)
        if view.front and outcome.state == "Complete":
            console.print(f"  more of a candidate: xnas candidate {folder} {view.front[0]}", soft_wrap=True)
            if _trains(view.spec):
                console.print(f"  its network: xnas export {folder} {view.front[0]}", soft_wrap=True)
        sys.stdout.flush()

    def _say_how_to_go_on(self) -> None:
        command = ["xnas", "run", str(self._file), "--output", str(self._output)]
        if self._options.slots is not None:
            command += ["--slots", str(self._options.slots)]
        if self._options.device != "auto":
            command += ["--device", self._options.device]
        if self._options.listen is not None:
            command += ["--listen", self._options.listen]
        if self._token_file is not None:
            command += ["--token-file", str(self._token_file)]
        typer.echo(f"stopped; nothing that was finished is lost. Go on with:\n  {shlex.join(command)}", err=True)


def _trains(spec: ArchitectureSearchSpec) -> bool:
    return spec.dataset is not None
