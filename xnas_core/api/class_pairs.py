"""Pairs of classes as a spec or a request names them, understood with the data's class names at hand."""

from __future__ import annotations

from collections.abc import Sequence

from xnas_core.api.spec import ClassPairSpec
from xnas_core.api.suggest import unknown_name
from xnas_core.errors import InvalidInputError


def resolve_pairs(pairs: Sequence[ClassPairSpec], class_names: Sequence[str]) -> list[tuple[int, int, float]]:
    """Return (first class, second class, weight) of each pair, by numbers.

    Raises:
        InvalidInputError: a class is unknown, a pair names one class twice, or two pairs are the same.
    """
    found: dict[tuple[int, int], float] = {}
    for pair in pairs:
        first, second = sorted(class_number(reference, class_names) for reference in pair.classes)
        if first == second:
            raise InvalidInputError(f"a pair needs two classes, not {class_names[first]!r} twice")
        if (first, second) in found:
            raise InvalidInputError(f"the pair {class_names[first]!r}, {class_names[second]!r} is named twice")
        found[first, second] = pair.weight
    return [(first, second, weight) for (first, second), weight in found.items()]


def class_number(reference: int | str, class_names: Sequence[str]) -> int:
    """Return a class's number, from 0; a name goes before a number.

    Raises:
        InvalidInputError: there is no such class.
    """
    if isinstance(reference, str):
        if reference in class_names:
            return class_names.index(reference)
        if not reference.isascii() or not reference.isdigit():
            raise InvalidInputError(unknown_name("class", reference, class_names)[0])
    number = int(reference)
    if number >= len(class_names):
        raise InvalidInputError(f"there is no class {number}: the data have {len(class_names)}, numbered from 0")
    return number
