"""Parameters of tasks on demand, as a request carries them (protocol.md §3)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

from pydantic import Field, ValidationError

from xnas_core.api.base import Model
from xnas_core.api.explaining import ExplainerName, ExplainerSpec
from xnas_core.api.model_tree import aliases, dotted
from xnas_core.api.spec import ClassPairSpec
from xnas_core.errors import InvalidInputError

M = TypeVar("M", bound=Model)
_UNION_PARTS = frozenset({"int", "constrained-int", "constrained-str", "str"})
"""What pydantic adds to the place of a mistake in a value that may have one of two types."""


class ExplainParameters(Model):
    """Of `explain`: what is left out, the spec says (`explanations`)."""

    methods: Annotated[list[ExplainerName], Field(min_length=1, max_length=16)] | None = None
    """Names of explainers."""
    explainers: Annotated[list[ExplainerSpec], Field(max_length=16)] | None = None
    """Parameters of these explainers; one that is not named here is the spec's."""
    samples_per_class: Annotated[int, Field(ge=1, le=100)] | None = None
    """Validation samples of each class, seeded."""


class RefineParameters(Model):
    """Of `refine`."""

    pairs: Annotated[list[ClassPairSpec], Field(min_length=1, max_length=64)]
    """Pairs of classes that are to be pulled apart, with the weight of each."""
    epochs: Annotated[int, Field(ge=1, le=10_000)] = 5
    """Further passes over the training split."""
    learning_rate: Annotated[float, Field(gt=0, le=100)] = 0.001
    """Learning rate, the same throughout."""


class NoParameters(Model):
    """Of all other kinds: there are none."""


def read_parameters(what: str, model: type[M], parameters: Mapping[str, Any]) -> M:
    """Return the parameters of a request.

    Raises:
        InvalidInputError: one is unknown or wrong; the sentence names it.
    """
    try:
        return model.model_validate_json(json.dumps(dict(parameters)))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = dotted([part for part in first["loc"] if part not in _UNION_PARTS])
        if first["type"] == "extra_forbidden":
            known = ", ".join(aliases(model)) or "none"
            raise InvalidInputError(f"{what} has no parameter {place!r} (known: {known})") from error
        raise InvalidInputError(f"{what}: {place or 'parameters'} is wrong: {first['msg']}") from error
    except (TypeError, ValueError) as error:
        raise InvalidInputError(f"{what}: the parameters are no JSON: {error}") from error
