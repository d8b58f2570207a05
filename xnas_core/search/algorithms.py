"""Search algorithms: a population that is told finished candidates, and makes children of it.

All are told only eligible candidates (scored, every objective defined). Which population comes of it follows from what
was told and in which order; which children, from the generator that is given.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from xnas_core.api.spec import AlgorithmName, AlgorithmSpec, CrossoverName
from xnas_core.search import nsga2
from xnas_core.search.candidates import Candidate
from xnas_core.spaces.base import Genes


@dataclass(frozen=True, slots=True)
class Sketch:
    """Genes that may be proposed, where they come from (candidate ids) and how they were made."""

    genes: Genes
    parents: tuple[str, ...] = ()
    operators: tuple[str, ...] = ()


class Algorithm(Protocol):
    """A population and how it breeds."""

    def tell(self, candidates: Sequence[Candidate]) -> None:
        """Take in eligible candidates, in this order."""
        ...

    def breed(self, rng: np.random.Generator, count: int) -> list[Sketch]:
        """Return at least `count` children, or none while there is nobody to breed from. Changes nothing."""
        ...

    def members(self) -> list[int]:
        """Return the population's numbers, in order."""
        ...

    def restore(self, members: Sequence[Candidate]) -> None:
        """Make these the population; the inverse of `members`."""
        ...


def make(spec: AlgorithmSpec, cardinalities: Sequence[int]) -> Algorithm:
    """Return the algorithm that a spec names, with an empty population."""
    match spec.name:
        case AlgorithmName.NSGA2:
            return Nsga2(spec, cardinalities)
        case AlgorithmName.REGULARIZED_EVOLUTION:
            return RegularizedEvolution(spec, cardinalities)
        case AlgorithmName.RANDOM:
            return RandomSearch(cardinalities)


def draw(rng: np.random.Generator, cardinalities: Sequence[int], count: int) -> list[Genes]:
    """Return random gene vectors, all encodings equally likely."""
    rows: list[list[int]] = rng.integers(0, cardinalities, size=(count, len(cardinalities))).tolist()
    return [tuple(row) for row in rows]


class RandomSearch:
    """No population: every child is random."""

    def __init__(self, cardinalities: Sequence[int]) -> None:
        self._cardinalities = tuple(cardinalities)

    def tell(self, candidates: Sequence[Candidate]) -> None:
        """Learn nothing."""

    def breed(self, rng: np.random.Generator, count: int) -> list[Sketch]:
        """Return random genes."""
        return [Sketch(genes, (), ("random",)) for genes in draw(rng, self._cardinalities, count)]

    def members(self) -> list[int]:
        """Return nothing: there is no population."""
        return []

    def restore(self, members: Sequence[Candidate]) -> None:
        """Do nothing."""


class Nsga2:
    """NSGA-II (Deb et al. 2002): the best by rank and crowding stay, parents win binary tournaments."""

    def __init__(self, spec: AlgorithmSpec, cardinalities: Sequence[int]) -> None:
        self._size = spec.population_size
        self._crossover = spec.crossover
        self._mutation = spec.mutation.probability
        if self._mutation is None:
            self._mutation = 1 / max(1, len(cardinalities))
        self._eta = spec.mutation.eta
        self._cardinalities = np.asarray(cardinalities, dtype=np.int64)
        self._population: list[Candidate] = []
        self._ranking: nsga2.Ranking | None = None  # of the population, once it is known
        self._genes: nsga2.Ints | None = None  # of the population, once somebody breeds

    def tell(self, candidates: Sequence[Candidate]) -> None:
        """Let the best of population and newcomers survive."""
        if not candidates:
            return
        pool = [*self._population, *candidates]
        self._ranking = self._genes = None
        if len(pool) > self._size:
            kept, self._ranking = nsga2.survivors(*_arrays(pool), self._size)
            pool = [pool[index] for index in kept.tolist()]
        self._population = pool

    def breed(self, rng: np.random.Generator, count: int) -> list[Sketch]:
        """Return children in pairs, each pair of two parents."""
        if not self._population:
            return []
        if self._genes is None:
            self._genes = np.asarray([c.genes for c in self._population], dtype=np.int64)
        if self._ranking is None:
            self._ranking = nsga2.rank(*_arrays(self._population))
        genes, ranking = self._genes, self._ranking
        chosen = nsga2.tournament(rng, ranking, -(-count // 2))
        parents = genes[chosen]
        if self._crossover.name is CrossoverName.UNIFORM:
            crossed, mated = nsga2.cross_uniform(rng, parents, self._crossover.probability)
        else:
            crossed, mated = nsga2.cross_binary(
                rng, parents, self._cardinalities, self._crossover.probability, self._crossover.eta
            )
        children = crossed.transpose(1, 0, 2).reshape(-1, genes.shape[1])
        mutated = self._mutate(rng, children)
        changed = (mutated != children).any(axis=1).tolist()
        genes_of_children: list[list[int]] = mutated.tolist()
        sketches = []
        for pair, (first, second) in enumerate(chosen.T.tolist()):
            ids = (self._population[first].id, self._population[second].id)
            for child in (2 * pair, 2 * pair + 1):
                operators: tuple[str, ...] = (self._crossover.name.value,) if mated[pair] else ()
                operators += (self._mutation_name,) if changed[child] else ()
                # Each child's main parent, the one whose place it has, comes first.
                parents_of_child = ids if child % 2 == 0 else ids[::-1]
                sketches.append(Sketch(tuple(genes_of_children[child]), parents_of_child, operators))
        return sketches

    @property
    def _mutation_name(self) -> str:
        return "mutation" if self._crossover.name is CrossoverName.UNIFORM else "polynomial"

    def _mutate(self, rng: np.random.Generator, children: nsga2.Ints) -> nsga2.Ints:
        probability = float(self._mutation or 0.0)
        if self._crossover.name is CrossoverName.UNIFORM:
            return nsga2.mutate_uniform(rng, children, self._cardinalities, probability)
        return nsga2.mutate_polynomial(rng, children, self._cardinalities, probability, self._eta)

    def members(self) -> list[int]:
        """Return the population's numbers, best first."""
        return [candidate.number for candidate in self._population]

    def restore(self, members: Sequence[Candidate]) -> None:
        """See Algorithm.restore."""
        self._population = list(members)
        self._ranking = self._genes = None


class RegularizedEvolution:
    """Aging evolution (Real et al. 2019): a mutated copy of the best of a random sample; the oldest dies.

    The objectives are summed with weights after each was scaled to [0, 1] over the population. A candidate that
    breaks a constraint loses to every one that does not.
    """

    def __init__(self, spec: AlgorithmSpec, cardinalities: Sequence[int]) -> None:
        self._size = spec.population_size
        self._sample = spec.sample_size
        self._weights = tuple(spec.weights)
        self._mutation = spec.mutation.probability
        self._cardinalities = np.asarray(cardinalities, dtype=np.int64)
        self._population: list[Candidate] = []

    def tell(self, candidates: Sequence[Candidate]) -> None:
        """Let the youngest stay."""
        self._population = [*self._population, *candidates][-self._size :]

    def breed(self, rng: np.random.Generator, count: int) -> list[Sketch]:
        """Return mutated winners of random samples."""
        if not self._population:
            return []
        values, violation = _arrays(self._population)
        span = np.ptp(values, axis=0)
        scaled = (values - values.min(axis=0)) / np.where(span > 0, span, 1.0)
        weights = np.asarray(self._weights or (1.0,) * values.shape[1])
        fitness = scaled @ weights + np.where(violation > 0, weights.sum() + 1.0 + violation, 0.0)
        size = len(self._population)
        sampled = np.asarray([rng.permutation(size)[: self._sample] for _ in range(count)])
        winners = sampled[np.arange(count), np.argmin(fitness[sampled], axis=1)]
        genes = np.asarray([self._population[winner].genes for winner in winners], dtype=np.int64)
        if self._mutation is None:
            mutated = nsga2.mutate_one(rng, genes, self._cardinalities)
        else:
            mutated = nsga2.mutate_uniform(rng, genes, self._cardinalities, self._mutation)
        rows: list[list[int]] = mutated.tolist()
        return [
            Sketch(tuple(row), (self._population[winner].id,), ("mutation",))
            for row, winner in zip(rows, winners.tolist(), strict=True)
        ]

    def members(self) -> list[int]:
        """Return the population's numbers, oldest first."""
        return [candidate.number for candidate in self._population]

    def restore(self, members: Sequence[Candidate]) -> None:
        """See Algorithm.restore."""
        self._population = list(members)


def _arrays(candidates: Sequence[Candidate]) -> tuple[nsga2.Floats, nsga2.Floats]:
    """Return values (n, m) and violations (n,) of eligible candidates."""
    return (
        np.asarray([candidate.values for candidate in candidates], dtype=np.float64),
        np.asarray([candidate.violation for candidate in candidates], dtype=np.float64),
    )
