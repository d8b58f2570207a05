"""From genes that might be proposed to those that are: never the same network twice, never one that is not allowed."""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass

import numpy as np

from xnas_core.search.algorithms import Sketch, draw
from xnas_core.search.problem import Problem
from xnas_core.spaces.base import Genes, SearchSpace
from xnas_core.tasks import candidate_id, derived_seed, generator

BATCH = 64
"""Random gene vectors in one draw, at least."""
FRUITLESS_BATCHES = 8
"""Batches in a row without one new candidate, after which the next way of finding some is tried."""
ENUMERATED_UP_TO = 2**18
"""Spaces of at most so many encodings are searched to the end before they count as exhausted."""
TRIES = 50_000
"""Encodings of a larger space that are looked at before the search gives up."""

Breeder = Callable[[np.random.Generator], list[Sketch]]


@dataclass(frozen=True, slots=True)
class Choice:
    """What will be proposed."""

    sketch: Sketch
    id: str
    parameters: int
    macs: int


class Proposer:
    """Finds new candidates. Pure but for a memory that only saves time: what was found unfit stays unfit.

    Args:
        proposed: ids of all candidates of the search; looked at, never changed.
    """

    def __init__(self, problem: Problem, space: SearchSpace, proposed: Container[str]) -> None:
        self._problem = problem
        self._space = space
        self._proposed = proposed
        self._size = space.size()
        self._passed = 0  # encodings at the beginning of the enumeration that are known to be of no use
        self._used: set[Genes] = set()  # genes that are proposed already, or never can be

    def initial(self, count: int, batch: int) -> list[Choice]:
        """Return up to `count` random candidates of the first population (protocol.md §4, "initial")."""
        return self._collect(count, (self._problem.seed, "initial"), None, max(BATCH, batch))

    def offspring(self, count: int, place: int, breed: Breeder, batch: int) -> list[Choice]:
        """Return up to `count` children; random ones where breeding brings nothing new (protocol.md §4, "offspring").

        Args:
            place: the generation, or the number of candidates proposed before.
            batch: size of a random draw, at least.
        """
        return self._collect(count, (self._problem.seed, "offspring", place), breed, max(BATCH, batch))

    def _collect(self, count: int, path: tuple[object, ...], breed: Breeder | None, batch: int) -> list[Choice]:
        chosen: dict[str, Choice] = {}
        for sketches in self._sources(path, breed, batch, chosen):
            for sketch in sketches:
                if len(chosen) == count:
                    return list(chosen.values())
                choice = self._accept(sketch, chosen)
                if choice is not None:
                    chosen[choice.id] = choice
            if len(chosen) == count:
                break
        return list(chosen.values())

    def _sources(
        self, path: tuple[object, ...], breed: Breeder | None, batch: int, chosen: dict[str, Choice]
    ) -> Iterator[list[Sketch]]:
        """Yield children until they bring nothing new, then random genes, then every encoding in turn."""
        number = 0

        def random(rng: np.random.Generator) -> list[Sketch]:
            return [Sketch(genes, (), ("random",)) for genes in draw(rng, self._space.cardinalities, batch)]

        for source in (breed, random) if breed else (random,):
            fruitless = 0
            while fruitless < FRUITLESS_BATCHES:
                before = len(chosen)
                sketches = source(generator(*path, number))
                number += 1
                if not sketches:
                    break
                yield sketches
                fruitless = 0 if len(chosen) > before else fruitless + 1
        yield from self._enumerate()

    def _enumerate(self) -> Iterator[list[Sketch]]:
        """Yield all encodings once, in an order that the seed shuffles, or TRIES of them in a large space."""
        size = self._size
        step = derived_seed(self._problem.seed, "enumeration") % size | 1
        while math.gcd(step, size) != 1:
            step += 2
        index = self._passed
        # Counted from the beginning, not from what was passed: a search that was resumed must come to the same end.
        end = size if size <= ENUMERATED_UP_TO else TRIES
        while index < end:
            genes = self._decode((index * step) % size)
            yield [Sketch(genes, (), ("enumeration",))]
            if index == self._passed and genes in self._used:
                self._passed += 1
            index += 1

    def _decode(self, index: int) -> Genes:
        genes = []
        for cardinality in self._space.cardinalities:
            index, gene = divmod(index, cardinality)
            genes.append(gene)
        return tuple(genes)

    def _accept(self, sketch: Sketch, chosen: Container[str]) -> Choice | None:
        genes = sketch.genes
        if genes in self._used:
            return None
        if not self._space.connected(genes):
            self._used.add(genes)
            return None
        candidate = candidate_id(self._problem.identity(self._space, genes))
        if candidate in self._proposed:
            self._used.add(genes)
            return None
        if candidate in chosen:
            return None
        static = self._space.static_metrics(genes)
        if not self._problem.allowed(static.parameters, static.macs):
            self._used.add(genes)
            return None
        return Choice(sketch, candidate, static.parameters, static.macs)
