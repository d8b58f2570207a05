"""`xnas validate`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xnas_core.cli import exit_codes
from xnas_core.cli.options import AsJson
from xnas_core.cli.session import begin

if TYPE_CHECKING:
    from xnas_core.api.problems import Problem

EXAMPLE = """Example:
  xnas validate search.yaml examples/*.yaml"""

Files = Annotated[list[Path], typer.Argument(metavar="FILE", help="Searches: YAML files.", show_default=False)]


def validate(context: typer.Context, files: Files, as_json: AsJson = False) -> int:
    """Check files: every mistake with its line, what is wrong and what would be right.

    Mistakes are written to standard output, one a line, as FILE:LINE:COLUMN FIELD: MESSAGE. Warnings alone leave a
    file valid.
    """
    from xnas_core.api.problems import errors
    from xnas_core.api.validate import validate_file

    session = begin(context, as_json=as_json)
    found = [(file, validate_file(file)) for file in files]
    wrong = sum(bool(errors(problems)) for _, problems in found)
    if session.json:
        session.answer({"valid": not wrong, "files": [_document(file, problems) for file, problems in found]})
        return exit_codes.BAD_INPUT if wrong else exit_codes.OK
    for file, problems in found:
        for problem in problems:
            print(problem)
        if not errors(problems):
            print(f"{file}: valid")
    if wrong:
        mistakes = sum(len(errors(problems)) for _, problems in found)
        sys.stdout.flush()
        print(f"error: {_counted(mistakes, 'mistake')} in {_counted(wrong, 'file')}", file=sys.stderr)
    return exit_codes.BAD_INPUT if wrong else exit_codes.OK


def _document(file: Path, problems: list[Problem]) -> dict[str, Any]:
    return {
        "file": str(file),
        "valid": not any(problem.severity.value == "error" for problem in problems),
        "problems": [
            {
                "severity": problem.severity.value,
                "line": problem.line,
                "column": problem.column,
                "field": problem.field,
                "message": problem.message,
                "suggestion": problem.suggestion,
            }
            for problem in problems
        ],
    }


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
