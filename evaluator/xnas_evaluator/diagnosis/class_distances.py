"""Class distances beside the folded confusion matrix: near classes are those that get confused.

Carmichael et al. 2023, section 4: the negated cosine distance of two classes' mean activations correlates with how
often one is taken for the other, C + C^T.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from xnas_core.diagnosis import MAX_SHOWN, PAIRS, Classes, ClassPair
from xnas_evaluator.diagnosis.correlation import Values, pearson, spearman

Counts = npt.NDArray[np.int64]


def confusion_matrix(labels: Counts, predictions: Counts, classes: int) -> Counts:
    """Return (K, K) samples by true class (row) and predicted class (column)."""
    return np.bincount(labels * classes + predictions, minlength=classes * classes).reshape(classes, classes)


def compare(distances: Values, confusion: Counts) -> Classes:
    """Return the two matrices, their correlation, and the pairs that stand out.

    Args:
        distances: (K, K) symmetric, NaN where undefined; the diagonal is not used.
        confusion: (K, K), from `confusion_matrix`.
    """
    classes = len(confusion)
    first, second = np.triu_indices(classes, 1)
    mistakes = (confusion + confusion.T)[first, second]
    apart = distances[first, second]
    defined = ~np.isnan(apart)
    near, folded = -apart[defined], mistakes[defined].astype(np.float64)

    def pair(at: int) -> ClassPair:
        distance = float(apart[at]) if defined[at] else None
        return ClassPair(first=int(first[at]), second=int(second[at]), distance=distance, mistakes=int(mistakes[at]))

    # Stable sorts, NaN last: the same order everywhere.
    nearest = np.argsort(apart, kind="stable")[: min(PAIRS, int(defined.sum()))]
    confused = [at for at in np.argsort(-mistakes, kind="stable")[:PAIRS] if mistakes[at]]
    shown = _shown(confusion)
    return Classes(
        shown=tuple(int(k) for k in shown),
        distances=tuple(
            tuple(0.0 if c == k else None if np.isnan(distances[c, k]) else float(distances[c, k]) for k in shown)
            for c in shown
        ),
        confusion=tuple(tuple(int(confusion[c, k]) for k in shown) for c in shown),
        pearson=pearson(near, folded),
        spearman=spearman(near, folded),
        pairs=int(defined.sum()),
        nearest=tuple(pair(int(at)) for at in nearest),
        most_confused=tuple(pair(int(at)) for at in confused),
    )


def _shown(confusion: Counts) -> Counts:
    """Return all classes, or of more than MAX_SHOWN those with the most mistakes, in their own order."""
    wrong = confusion.sum(0) + confusion.sum(1) - 2 * confusion.diagonal()
    return np.sort(np.argsort(-wrong, kind="stable")[:MAX_SHOWN]).astype(np.int64)
