"""Stratified, seeded splits: training, validation and, where a data set has none, test (protocol.md §4, "split")."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from xnas_core.errors import InvalidInputError
from xnas_core.tasks import generator
from xnas_evaluator.datasets.raw import Labels

HELD_OUT_TEST_SHARE = 0.2
"""Share of the images that is held out as test split where a data set brings none."""

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Split:
    """Indices into the training images, each ascending; disjoint.

    Attributes:
        train: what candidates are trained on.
        validation: what candidates are scored on.
        test: held out of the training images; empty where the data set has a test split of its own.
    """

    train: Indices
    validation: Indices
    test: Indices


def split(
    labels: Labels, *, seed: int, validation_fraction: float, training_fraction: float, hold_out_test: bool
) -> Split:
    """Split so that every class has its share in each part.

    A class of n samples gives round(n * fraction) of them, at least one where it has two or more, and never its last
    one. The test split is taken first, then validation, then the training fraction of the rest.

    Args:
        labels: (N,) class of each training image.
        seed: the search's seed.
        validation_fraction: share of what is left after the test split.
        training_fraction: share of what is left after the validation split.
        hold_out_test: take a test split, too.

    Raises:
        InvalidInputError: no class has enough samples to give one away.
    """
    random = generator(seed, "split")
    parts: tuple[list[Indices], list[Indices], list[Indices]] = ([], [], [])
    for label in np.unique(labels):
        rest = random.permutation(np.flatnonzero(labels == label))
        held_out = _share(len(rest), HELD_OUT_TEST_SHARE) if hold_out_test else 0
        test, rest = rest[:held_out], rest[held_out:]
        scored = _share(len(rest), validation_fraction)
        validation, rest = rest[:scored], rest[scored:]
        used = max(1, round(len(rest) * training_fraction))
        for part, chosen in zip(parts, (rest[:used], validation, test), strict=True):
            part.append(chosen)
    train, validation, test = (np.sort(np.concatenate(part)).astype(np.int64) for part in parts)
    if not len(validation) or (hold_out_test and not len(test)):
        raise InvalidInputError(
            f"{len(labels)} images of {len(parts[0])} classes are too few for a validation split; "
            "give at least one class three images"
        )
    return Split(train, validation, test)


def _share(count: int, fraction: float) -> int:
    return min(max(1, round(count * fraction)), count - 1)
