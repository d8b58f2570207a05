"""Parameters of metrics and explainers as values: names, kinds, bounds and defaults, and what is wrong with a value."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from xnas_core.api.suggest import nearest
from xnas_core.errors import InvalidInputError


class Kind(Enum):
    """What a parameter's value is."""

    CHOICE = "one of a few words"
    WHOLE = "whole number"
    NUMBER = "number"
    EXPLAINER = "an explainer's name"
    PATH = "the path of a file"
    TEXT = "a text"
    TEXTS = "list of texts"


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter.

    Attributes:
        description: a few words for the reference page.
        kind: what its value is.
        default: the value where none is given; None: it follows from something else, as the description says.
        choices: the words of a CHOICE.
        low, high: bounds of a number, both allowed.
    """

    description: str
    kind: Kind
    default: Any
    choices: tuple[str, ...] = ()
    low: float = 0
    high: float = 0

    def wrong(self, value: Any) -> str | None:
        """Return what is wrong with a value, or None."""
        if self.kind is Kind.CHOICE:
            return None if value in self.choices else f"must be {self.allowed}"
        if self.kind in (Kind.WHOLE, Kind.NUMBER):
            types = int if self.kind is Kind.WHOLE else int | float
            number = isinstance(value, types) and not isinstance(value, bool) and math.isfinite(value)
            return None if number and self.low <= value <= self.high else f"must be a {self.allowed}"
        if self.kind is Kind.TEXTS:
            right = isinstance(value, Sequence) and not isinstance(value, str) and value
            return None if right and all(isinstance(v, str) and v for v in value) else f"must be a {self.allowed}"
        return None if isinstance(value, str) and value else f"must be {self.allowed}"

    @property
    def allowed(self) -> str:
        """What is allowed, in words."""
        if self.kind is Kind.CHOICE:
            *others, last = self.choices
            return " or ".join((*((", ".join(others),) if others else ()), last))
        if self.kind in (Kind.WHOLE, Kind.NUMBER):
            return f"{self.kind.value} {_shown(self.low)} to {_shown(self.high)}"
        return str(self.kind.value)


def _shown(number: float) -> str:
    return f"{int(number):,}" if float(number).is_integer() else f"{number:g}"


class Settings:
    """Parameters, checked, with defaults filled in. The getters' names say the type."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = dict(values)

    def word(self, name: str) -> str:
        """Return a choice, an explainer's name or a path; "" where there is none."""
        return str(self._values[name])

    def whole(self, name: str) -> int:
        """Return a whole number."""
        return int(self._values[name])

    def number(self, name: str) -> float:
        """Return a number."""
        return float(self._values[name])

    def words(self, name: str) -> tuple[str, ...]:
        """Return a list of texts."""
        return tuple(self._values[name])


class UnknownParameterError(InvalidInputError):
    """A parameter that its owner does not have; the sentence says which one was probably meant.

    Attributes:
        parameter: its name.
        known: those that there are.
    """

    def __init__(self, owner: str, parameter: str, known: Collection[str]) -> None:
        self.parameter, self.known = parameter, tuple(known)
        meant = nearest(parameter, known)
        hint = f"; did you mean {meant!r}?" if meant else ""
        sentence = f"{owner} has no parameter {parameter!r}{hint} (known: {', '.join(known)})"
        super().__init__(sentence if known else f"{owner} takes no parameters; remove {parameter!r}")


def read(owner: str, known: Mapping[str, Parameter], parameters: Mapping[str, Any]) -> Settings:
    """Return settings.

    Args:
        owner: whose parameters they are, for the message.
        known: the parameters that it has.
        parameters: as the spec has them.

    Raises:
        InvalidInputError: an unknown parameter, or a value that is not allowed; the message says what is.
    """
    for name, value in parameters.items():
        if name not in known:
            raise UnknownParameterError(owner, name, known)
        if (wrong := known[name].wrong(value)) is not None:
            raise InvalidInputError(f"{owner}: {name} is {value!r}, but {wrong}")
    return Settings({name: parameters.get(name, about.default) for name, about in known.items()})


def choice(description: str, *choices: str) -> Parameter:
    """Return a choice; the first is the default."""
    return Parameter(description, Kind.CHOICE, choices[0], choices)


def whole(description: str, default: int | None, low: int, high: int) -> Parameter:
    """Return a whole number."""
    return Parameter(description, Kind.WHOLE, default, low=low, high=high)


def number(description: str, default: float, low: float, high: float) -> Parameter:
    """Return a number."""
    return Parameter(description, Kind.NUMBER, default, low=low, high=high)
