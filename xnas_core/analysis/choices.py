"""How often each gene has each value (each edge each operation): on the front, and among all scored candidates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xnas_core.analysis.motifs import MotifStudy
from xnas_core.analysis.population import Population


@dataclass(frozen=True, slots=True)
class Choice:
    """A gene's value.

    Attributes:
        label: what it means.
        front, everyone: front members, and scored candidates, that have it.
        corrected: p value corrected for all choices of all genes; None where it was not tested (too rare).
    """

    label: str
    front: int
    everyone: int
    corrected: float | None


def choices(population: Population, study: MotifStudy) -> tuple[tuple[Choice, ...], ...]:
    """Return the choices of each gene, in the space's order.

    Args:
        population: the scored candidates.
        study: of them, with largest=1.
    """
    tested = {(m.genes[0], m.values[0]): m.corrected for m in study.motifs if len(m.genes) == 1}
    found = []
    for gene, labels in enumerate(population.labels):
        column = population.genes[:, gene]
        everyone = np.bincount(column, minlength=len(labels)).tolist()
        front = np.bincount(column[population.front], minlength=len(labels)).tolist()
        found.append(
            tuple(
                Choice(label, front[value], everyone[value], tested.get((gene, value)))
                for value, label in enumerate(labels)
            )
        )
    return tuple(found)
