"""The scored candidates of a search as a table of genes, and which genes are neighbours."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from xnas_core.search.view import CandidateState, SearchView
from xnas_core.spaces.base import SearchSpace

Integers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

_EDGE = re.compile(r"edge (\w+)-(\w+)")
_NUMBERED = re.compile(r"(\D+\d+) ")


@dataclass(frozen=True)
class Population:
    """The scored candidates.

    Attributes:
        genes: (N, G) gene values.
        front: (N,) whether a candidate is on the front.
        names: name of each gene.
        labels: for each gene, what its values mean.
        neighbours: for each gene, the genes that it touches (see `neighbours_of`).
    """

    genes: Integers
    front: Flags
    names: tuple[str, ...]
    labels: tuple[tuple[str, ...], ...]
    neighbours: tuple[frozenset[int], ...]

    @property
    def scored(self) -> int:
        """Number of candidates, N."""
        return len(self.front)

    @property
    def members(self) -> int:
        """Number of candidates on the front."""
        return int(self.front.sum())


def population_of(view: SearchView, space: SearchSpace) -> Population:
    """Return the scored candidates of a search; those whose genes are not of this space are left out."""
    bounds = space.cardinalities
    rows = [c for c in view.candidates if c.state is CandidateState.SUCCEEDED and _fits(c.genes, bounds)]
    front = frozenset(view.front)
    return Population(
        genes=np.array([c.genes for c in rows], dtype=np.int64).reshape(len(rows), len(bounds)),
        front=np.array([c.id in front for c in rows], dtype=np.bool_),
        names=tuple(space.gene_names),
        labels=tuple(tuple(space.gene_label(g, v) for v in range(bound)) for g, bound in enumerate(bounds)),
        neighbours=neighbours_of(space.gene_names),
    )


def neighbours_of(names: Sequence[str]) -> tuple[frozenset[int], ...]:
    """Return for each gene the genes that it touches, read from the names.

    - "edge 0-1": edges touch where they share a node of the cell.
    - "stage 2 kernel": genes of one stage touch each other and those of the stage before and after.
    - Names of any other form: all genes touch.
    """
    edges = [_EDGE.fullmatch(name) for name in names]
    stages = [_NUMBERED.match(name) for name in names]
    places: list[tuple[str, ...]] = [()] * len(names)
    if all(edges):
        places = [found.groups() for found in edges if found]
    elif all(stages):
        order = list(dict.fromkeys(found[1] for found in stages if found))
        # A stage is a node between two borders, so that neighbouring stages share one.
        places = [(str(order.index(f[1])), str(order.index(f[1]) + 1)) for f in stages if f]
    touching: list[set[int]] = [set() for _ in names]
    for a, b in itertools.combinations(range(len(names)), 2):
        if not places[a] or set(places[a]) & set(places[b]):
            touching[a].add(b)
            touching[b].add(a)
    return tuple(frozenset(others) for others in touching)


def _fits(genes: Sequence[int], bounds: Sequence[int]) -> bool:
    return len(genes) == len(bounds) and all(0 <= gene < bound for gene, bound in zip(genes, bounds, strict=True))
