"""What is in a search space: its size and its smallest, median and largest network. For `xnas plan`."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

from xnas_core.errors import InvalidInputError
from xnas_core.spaces.base import Genes, SearchSpace, StaticMetrics
from xnas_core.tasks import generator

ENUMERATED_UP_TO = 20_000
"""Spaces of at most this many encodings are looked at in full."""


@dataclass(frozen=True, slots=True)
class SurveyedNetwork:
    """One network of the space."""

    genes: Genes
    encoding: str
    parameters: int
    macs: int


@dataclass(frozen=True, slots=True)
class SpaceSurvey:
    """A space in numbers.

    Attributes:
        size: number of encodings.
        looked_at: encodings that were looked at: all of them, or a random sample.
        exhaustive: whether all were.
        connected_share: share of these that are connected.
        networks: number of different connected networks, known only if exhaustive.
        distinct_share: different networks / connected encodings among those looked at. In a sample an upper bound of
            the whole space's share, because two encodings of one network are seldom both drawn.
        smallest, median, largest: connected networks by multiply-accumulates. In a sampled space smallest and largest
            are what greedy changes of single genes reach from the sample's extremes; the median is the sample's.
        parameters_range: fewest and most parameters among the networks looked at, those three included.
    """

    size: int
    looked_at: int
    exhaustive: bool
    connected_share: float
    networks: int | None
    distinct_share: float
    smallest: SurveyedNetwork
    median: SurveyedNetwork
    largest: SurveyedNetwork
    parameters_range: tuple[int, int]


def survey(space: SearchSpace, seed: int, samples: int = 1_000) -> SpaceSurvey:
    """Look at all encodings of a small space, or at `samples` random ones of a large one.

    Raises:
        InvalidInputError: `samples` is below 1, or nothing that was looked at is connected.
    """
    if samples < 1:
        raise InvalidInputError(f"a survey needs at least 1 sample, not {samples}")
    exhaustive = space.size() <= ENUMERATED_UP_TO
    looked_at = connected = 0
    networks: dict[str, tuple[StaticMetrics, Genes]] = {}
    for genes in _all(space) if exhaustive else _random(space, seed, samples):
        looked_at += 1
        if space.connected(genes):
            connected += 1
            networks.setdefault(space.identity(genes), (space.static_metrics(genes), genes))
    if not networks:
        raise InvalidInputError(f"none of {looked_at} encodings of {space.name} is connected; nothing can be searched")
    ordered = sorted(networks.values(), key=lambda entry: (entry[0].macs, entry[0].parameters, entry[1]))
    smallest, median, largest = (ordered[index][1] for index in (0, (len(ordered) - 1) // 2, -1))
    if not exhaustive:
        smallest, largest = _extreme(space, smallest, sign=1), _extreme(space, largest, sign=-1)
    marked = [_network(space, genes) for genes in (smallest, median, largest)]
    parameters = [metrics.parameters for metrics, _ in ordered] + [network.parameters for network in marked]
    return SpaceSurvey(
        size=space.size(),
        looked_at=looked_at,
        exhaustive=exhaustive,
        connected_share=connected / looked_at,
        networks=len(networks) if exhaustive else None,
        distinct_share=len(networks) / connected,
        smallest=marked[0],
        median=marked[1],
        largest=marked[2],
        parameters_range=(min(parameters), max(parameters)),
    )


def _all(space: SearchSpace) -> Iterator[Genes]:
    return itertools.product(*(range(cardinality) for cardinality in space.cardinalities))


def _random(space: SearchSpace, seed: int, samples: int) -> Iterator[Genes]:
    drawn = generator(seed, "survey").integers(0, space.cardinalities, size=(samples, len(space.cardinalities)))
    return (tuple(int(value) for value in row) for row in drawn)


def _extreme(space: SearchSpace, genes: Genes, sign: int) -> Genes:
    """Return where changes of single genes lead that lower sign * macs, until none does. Ends: each step lowers it."""

    def cost(candidate: Genes) -> float:
        return sign * space.static_metrics(candidate).macs if space.connected(candidate) else float("inf")

    while True:
        neighbours = (
            (*genes[:gene], value, *genes[gene + 1 :])
            for gene, cardinality in enumerate(space.cardinalities)
            for value in range(cardinality)
        )
        best = min(neighbours, key=cost)
        if cost(best) >= cost(genes):
            return genes
        genes = best


def _network(space: SearchSpace, genes: Genes) -> SurveyedNetwork:
    metrics = space.static_metrics(genes)
    return SurveyedNetwork(genes, space.encoding(genes), metrics.parameters, metrics.macs)
