"""Class pairs of the regulariser as a matrix of weights."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from xnas_core.api.class_pairs import resolve_pairs
from xnas_core.api.spec import ClassPairSpec


def pair_matrix(pairs: Sequence[ClassPairSpec], class_names: Sequence[str]) -> Tensor | None:
    """Return the (K, K) symmetric weights of all pairs, 1 where nothing else is said; None where all are 1.

    Raises:
        InvalidInputError: a class is unknown, a pair names one class twice, or two pairs are the same.
    """
    found = resolve_pairs(pairs, class_names)
    if not found:
        return None
    weights = torch.ones((len(class_names), len(class_names)))
    for first, second, weight in found:
        weights[first, second] = weights[second, first] = weight
    return weights
