"""Reading a space's free-form parameters: types, bounds and unknown names, each error naming the parameter.

The resource model cannot know the parameters of a plug-in, so a space checks its own with this reader.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from xnas_core.errors import InvalidInputError
from xnas_core.spaces.base import DataShape


class InvalidParameterError(InvalidInputError):
    """A parameter of a search space is wrong.

    Attributes:
        parameter: its name, so that `xnas validate` can point at its line.
    """

    reason = "InvalidParameter"

    def __init__(self, parameter: str, message: str) -> None:
        super().__init__(f"search space parameter {parameter!r} {message}")
        self.parameter = parameter


class ParameterReader:
    """Reads one mapping; call `finish` after the last read, so that a misspelt name is not ignored."""

    def __init__(self, parameters: Mapping[str, Any]) -> None:
        self._parameters = parameters
        self._known: list[str] = []

    def _value(self, name: str, default: Any) -> Any:
        self._known.append(name)
        return self._parameters.get(name, default)

    def integer(self, name: str, default: int, low: int, high: int) -> int:
        """Return a whole number in low..high, both included; raise InvalidParameterError."""
        value = self._value(name, default)
        if not _whole(value) or not low <= value <= high:
            raise InvalidParameterError(name, f"is {value!r}, but must be a whole number from {low} to {high}")
        return int(value)

    def boolean(self, name: str, default: bool) -> bool:
        """Return true or false; raise InvalidParameterError."""
        value = self._value(name, default)
        if not isinstance(value, bool):
            raise InvalidParameterError(name, f"is {value!r}, but must be true or false")
        return value

    def choices(self, name: str, default: tuple[int, ...], low: int, high: int, odd: bool = False) -> tuple[int, ...]:
        """Return a list of 1 to 16 different (odd, if asked) numbers in low..high; raise InvalidParameterError."""
        value = self._value(name, default)
        kind = "odd numbers" if odd else "whole numbers"
        if not isinstance(value, list | tuple) or not 1 <= len(value) <= 16:
            raise InvalidParameterError(name, f"is {value!r}, but must be a list of 1 to 16 {kind}")
        wrong = [v for v in value if not _whole(v) or not low <= v <= high or (odd and v % 2 == 0)]
        if wrong:
            raise InvalidParameterError(name, f"holds {wrong[0]!r}, but only {kind} from {low} to {high} are allowed")
        if len(set(value)) != len(value):
            raise InvalidParameterError(name, f"is {list(value)!r}, but each value may be named only once")
        return tuple(int(v) for v in value)

    def finish(self) -> None:
        """Raise InvalidParameterError if the mapping holds a name that was never read."""
        for name in self._parameters:
            if name not in self._known:
                near = next(iter(difflib.get_close_matches(str(name), self._known, 1)), None)
                hint = f"; did you mean {near!r}?" if near else ""
                raise InvalidParameterError(str(name), f"is unknown{hint} (known: {', '.join(self._known)})")


def check_shape(space: str, shape: DataShape, smallest: int) -> None:
    """Raise InvalidInputError unless images are at least `smallest` pixels high and wide and there are 2 classes."""
    if shape.channels < 1:
        raise InvalidInputError(f"{space} needs images with at least 1 channel, the data have {shape.channels}")
    if min(shape.height, shape.width) < smallest:
        raise InvalidInputError(
            f"{space} needs images of at least {smallest}x{smallest} pixels, the data have {shape.height}x{shape.width}"
        )
    if shape.classes < 2:
        raise InvalidInputError(f"{space} needs data with at least 2 classes, the data have {shape.classes}")


def check_genes(genes: tuple[int, ...], cardinalities: tuple[int, ...]) -> None:
    """Raise InvalidInputError unless there is one gene in 0..cardinality-1 for each cardinality."""
    if len(genes) != len(cardinalities):
        raise InvalidInputError(f"{len(genes)} genes were given, the space has {len(cardinalities)}")
    for index, (value, cardinality) in enumerate(zip(genes, cardinalities, strict=True)):
        if not 0 <= value < cardinality:
            check_gene(index, value, cardinalities)


def check_gene(gene: int, value: int, cardinalities: tuple[int, ...]) -> None:
    """Raise InvalidInputError unless there is a gene of that index and `value` is one of its values."""
    if not 0 <= gene < len(cardinalities):
        raise InvalidInputError(f"there is no gene {gene}, the space has {len(cardinalities)}")
    if not 0 <= value < cardinalities[gene]:
        raise InvalidInputError(f"gene {gene} is {value}, but must be from 0 to {cardinalities[gene] - 1}")


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
