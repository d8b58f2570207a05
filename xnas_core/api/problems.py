"""Mistakes in a file as data: where, what is wrong, what would be right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from xnas_core.errors import InvalidInputError


class Severity(StrEnum):
    """An error refuses the file; a warning is said and the file is used."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake.

    Attributes:
        file: the file as the user named it.
        line, column: from 1; line 0 where the file as a whole is meant.
        field: dotted camelCase path, list items as [i] from 0 ("spec.objectives[1].direction"); "" for the document.
        message: what is wrong and what would be right.
        suggestion: the word that was probably meant, or None. The message contains it.
    """

    file: str
    line: int
    column: int
    field: str
    message: str
    suggestion: str | None = None
    severity: Severity = Severity.ERROR

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        kind = "warning: " if self.severity is Severity.WARNING else ""
        subject = f"{self.field}: " if self.field else ""
        separator = " " if self.line else ": "
        return f"{place}{separator}{kind}{subject}{self.message}"


class SpecError(InvalidInputError):
    """A file does not hold a valid search.

    Attributes:
        problems: every mistake in it, warnings included, in the order of lines.
    """

    reason = "InvalidSpec"

    def __init__(self, path: str | Path, problems: Sequence[Problem]) -> None:
        errors = [str(problem) for problem in problems if problem.severity is Severity.ERROR]
        head = errors[0] if len(errors) == 1 else "\n".join((f"{path} has {len(errors)} mistakes:", *errors))
        super().__init__(head)
        self.problems = tuple(problems)


def errors(problems: Sequence[Problem]) -> list[Problem]:
    """Return the problems that are errors."""
    return [problem for problem in problems if problem.severity is Severity.ERROR]
