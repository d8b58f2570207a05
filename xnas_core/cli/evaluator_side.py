"""The evaluator is another package, which may not be installed where the command line is."""

from __future__ import annotations

from importlib.util import find_spec

from xnas_core.errors import InvalidInputError


def require_evaluator() -> None:
    """Raise InvalidInputError unless the evaluator's code and torch are installed. Imports neither."""
    for package in ("xnas_evaluator", "torch"):
        if find_spec(package) is None:
            raise InvalidInputError(f"{package} is not installed here; install xnas[local], or xnas[evaluator]")
