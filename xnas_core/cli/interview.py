"""The few questions of `xnas init`, each answered by an option, by the user or by a default."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from xnas_core.api.template import (
    STATIC,
    Choices,
    ObjectiveChoice,
    default_objectives,
    default_population,
    name_from,
    parse_objective,
)
from xnas_core.errors import InvalidInputError
from xnas_core.objectives import METRICS
from xnas_core.plugins import PluginKind, names

NO_DATA = "none"


@dataclass(frozen=True, slots=True)
class Answers:
    """What the options say; None or empty where they say nothing."""

    space: str | None = None
    dataset: str | None = None
    table: str | None = None
    objectives: tuple[str, ...] = ()
    evaluations: int | None = None
    seed: int | None = None
    name: str | None = None


class Interview:
    """Asks for what the options left open, if standard input is a terminal.

    Args:
        given: the options.
        file: the file that will be written; its name gives the search's.
        asking: False: take defaults.
    """

    def __init__(self, given: Answers, file: Path, asking: bool) -> None:
        self._given = given
        self._file = file
        self._asking = asking and sys.stdin.isatty() and sys.stderr.isatty()

    def choices(self) -> Choices:
        """Return all answers.

        Raises:
            InvalidInputError: an answer that cannot be; the message says what can.
        """
        given = self._given
        if given.table is not None and given.dataset is not None:
            raise InvalidInputError("--table and --dataset exclude each other: a table answers in place of training")
        space = given.space or self._ask("Search space", "nas-bench-201", names(PluginKind.SPACE))
        dataset = None if given.table is not None else self._dataset()
        objectives = self._objectives(dataset)
        evaluations = given.evaluations or self._number("Networks to score", 1_000 if given.table else 48, 1)
        seed = given.seed if given.seed is not None else self._number("Seed", 1, 0)
        return Choices(
            name=given.name or name_from(self._file),
            space=space,
            dataset=dataset,
            table=given.table,
            objectives=objectives,
            evaluations=evaluations,
            population=default_population(evaluations),
            seed=seed,
        )

    def _dataset(self) -> str | None:
        known = ", ".join((*names(PluginKind.DATASET), NO_DATA))
        text = self._given.dataset or self._ask(f"Data set ({known}, or a path)", "digits")
        return None if text == NO_DATA else text

    def _objectives(self, dataset: str | None) -> tuple[ObjectiveChoice, ...]:
        offered = default_objectives(dataset, self._given.table)
        if self._given.objectives:
            chosen: tuple[str, ...] = self._given.objectives
        elif not offered:
            if not self._asking:
                raise InvalidInputError("--table needs at least one --objective COLUMN:maximize or COLUMN:minimize")
            chosen = _split(self._ask("Columns to search for, with :maximize or :minimize", ""))
        else:
            known = ", ".join(METRICS if dataset is not None else sorted(STATIC))
            chosen = _split(self._ask(f"Objectives ({known})", ", ".join(offered)))
        return tuple(parse_objective(text) for text in chosen)

    def _ask(self, question: str, default: str, choices: list[str] | None = None) -> str:
        if not self._asking:
            return default
        from rich.prompt import Prompt

        from xnas_core.cli.terminal import messages

        return Prompt.ask(question, console=messages(), default=default, choices=choices)

    def _number(self, question: str, default: int, lowest: int) -> int:
        if not self._asking:
            return default
        from rich.prompt import IntPrompt

        from xnas_core.cli.terminal import messages

        console = messages()
        while (answer := IntPrompt.ask(question, console=console, default=default)) < lowest:
            console.print(f"Please enter {lowest} or more")
        return answer


def _split(text: str) -> tuple[str, ...]:
    return tuple(part for part in text.replace(",", " ").split() if part)
