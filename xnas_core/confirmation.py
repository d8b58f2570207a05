"""`confirmation.json`: a candidate trained again with other seeds, and what its objectives were each time."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from statistics import fmean, stdev
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from xnas_core.errors import IntegrityError

FORMAT: Literal["xnas-confirmation/1"] = "xnas-confirmation/1"
PREFIX = "confirmed_"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class SeedResult(_Part):
    """One training.

    Attributes:
        values: each objective that is defined, in its own sign.
        failure: why there are no values: the training gave a value that is not finite; "" otherwise.
    """

    seed: int
    values: dict[str, float]
    failure: str = ""


class Confirmation(_Part):
    """The document. `fingerprint` says what all trainings have in common; results of another one are not for it."""

    format: Literal["xnas-confirmation/1"] = FORMAT
    fingerprint: str
    results: tuple[SeedResult, ...]


def read(data: bytes) -> Confirmation:
    """Read what an attempt stored.

    Raises:
        IntegrityError: it is torn, altered or of another version.
    """
    try:
        return Confirmation.model_validate_json(data)
    except ValidationError as error:
        raise IntegrityError(
            f"confirmation.json is torn, or of another version ({error.error_count()} faults)"
        ) from error


def summary(results: Sequence[SeedResult], objectives: Iterable[str]) -> tuple[dict[str, float], dict[str, float]]:
    """Return metrics and standard errors, by name, of all trainings together.

    For each objective: `confirmed_<objective>_<k>` for the k-th seed, `_mean`, and `_deviation`, the sample standard
    deviation (n - 1), which takes two values. `confirmed_seeds` counts trainings that gave values. The standard error
    of a mean is its deviation divided by the square root of n. What is undefined is left out.
    """
    metrics: dict[str, float] = {f"{PREFIX}seeds": float(sum(not result.failure for result in results))}
    errors: dict[str, float] = {}
    for name in objectives:
        values = {k: r.values[name] for k, r in enumerate(results, start=1) if name in r.values}
        metrics |= {f"{PREFIX}{name}_{k}": value for k, value in values.items()}
        if values:
            metrics[f"{PREFIX}{name}_mean"] = fmean(values.values())
        if len(values) > 1:
            deviation = stdev(values.values())
            metrics[f"{PREFIX}{name}_deviation"] = deviation
            errors[f"{PREFIX}{name}_mean"] = deviation / math.sqrt(len(values))
    return metrics, errors
