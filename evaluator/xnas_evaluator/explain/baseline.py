"""The image without information that a method compares with: every pixel of one value in normalised space."""

from __future__ import annotations

import math

from xnas_core.errors import InvalidInputError


def check_baseline(method: str, baseline: float) -> float:
    """Return the baseline, in standard deviations from each channel's mean; raise InvalidInputError if not finite."""
    if not math.isfinite(baseline):
        raise InvalidInputError(f"{method} needs a finite baseline, at least a number, not {baseline}")
    return float(baseline)


def described(baseline: float) -> str:
    """Return what the baseline is, for an explanation's parameters.

    0 is a flat image of each channel's mean over the training split.
    """
    if baseline == 0:
        return "mean image (0 in normalised space)"
    return f"mean image {baseline:+g} standard deviations"
