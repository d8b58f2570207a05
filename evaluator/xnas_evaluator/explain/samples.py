"""Which validation samples are explained: the same ones for every candidate of a search, so that maps compare."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from xnas_core.errors import InvalidInputError
from xnas_core.tasks import generator


def choose_samples(labels: npt.ArrayLike, per_class: int, seed: int) -> npt.NDArray[np.int64]:
    """Return positions of samples to explain, class by class, drawn without replacement.

    Args:
        labels: (N,) class of each sample of the validation split.
        per_class: samples of each class; a class with fewer gives all it has.
        seed: `spec.seed`; the generator is that of protocol.md §4, "samples to explain".

    Returns:
        Positions in `labels`, first those of the smallest class number, each class in the order drawn.

    Raises:
        InvalidInputError: `per_class` is below 1 or there are no samples.
    """
    classes = np.asarray(labels)
    if per_class < 1 or classes.ndim != 1 or classes.size == 0:
        raise InvalidInputError(
            f"samples to explain: {per_class} for each class of {classes.size} samples; both must be at least 1"
        )
    shuffled = generator(seed, "explain").permutation(classes.size)
    drawn = [shuffled[classes[shuffled] == label][:per_class] for label in np.unique(classes)]
    return np.concatenate(drawn).astype(np.int64)
