"""Motifs: connected sub-patterns of architectures that the front has more, or less, often than all that was scored.

A motif fixes the values of some genes (operations on some edges of a cell) and leaves all others free. Its genes are
connected: each is reached from each through genes that touch (edges that share a node), where genes between them may be
free ("any operation"). Motifs that fix the same genes to the same values match the same candidates whatever lies
between, so they are one motif, written with the fewest free genes that connect it.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from xnas_core.analysis.population import Integers, Population
from xnas_core.analysis.significance import ExactTest, corrected

LARGEST = 4
"""Genes that a motif fixes at most; larger ones are nearly single architectures."""
SUPPORT = 5
"""Candidates that must have a motif, and must not have it, before it is tested."""
ALPHA = 0.05
"""Corrected p value up to which a motif is called over- or under-represented."""
KEPT = 2_000
"""Motifs that a study lists at most; all are counted, tested and corrected for."""
_CODES = 4_000_000
"""Entries of the table (candidates x gene sets); the size of motifs is cut where it would be larger."""
_WORK = 60_000_000
"""Patterns looked at over all random fronts; decides how many are drawn, within the two bounds."""
_DRAWS = (200, 2_000)


@dataclass(frozen=True, slots=True)
class Motif:
    """A pattern of genes.

    Attributes:
        genes: the genes that are fixed, in order.
        values: their values.
        free: genes between them that may have any value.
        front: front members that have it.
        everyone: scored candidates that have it, front members included.
        expected: members that would have it if the front were a random draw.
        p: two-sided p value of this motif alone (exact).
        corrected: p value corrected for all motifs tested (min-P).
    """

    genes: tuple[int, ...]
    values: tuple[int, ...]
    free: tuple[int, ...]
    front: int
    everyone: int
    expected: float
    p: float
    corrected: float

    @property
    def lift(self) -> float:
        """How many times as frequent on the front as expected."""
        return self.front / self.expected


@dataclass(frozen=True, slots=True)
class MotifStudy:
    """What was tested, and what came out.

    Attributes:
        scored, members: candidates compared.
        largest: genes that the largest motif fixes.
        tested: number of motifs.
        draws: random fronts behind the corrected p values.
        motifs: smallest p value first, at most KEPT of them.
    """

    scored: int
    members: int
    largest: int
    tested: int
    draws: int
    motifs: tuple[Motif, ...]

    def found(self, *, over: bool, limit: int) -> tuple[Motif, ...]:
        """Return the over- (or under-) represented motifs, strongest evidence first.

        A motif is left out where a simpler one that is part of it is listed and is at least as strongly over- (or
        under-) represented: it would say the same again.
        """
        chosen: list[Motif] = []
        for motif in self.motifs:
            if motif.corrected > ALPHA or (motif.front > motif.expected) != over:
                continue
            strength = motif.lift if over else -motif.lift
            if not any(_contains(motif, c) and (c.lift if over else -c.lift) >= strength for c in chosen):
                chosen.append(motif)
        chosen.sort(key=lambda m: (m.corrected, m.p, len(m.genes)))
        return tuple(chosen[:limit])


def study(population: Population, seed: int, largest: int = LARGEST) -> MotifStudy:
    """Count and test all motifs of up to `largest` genes.

    Args:
        population: the scored candidates.
        seed: of the random fronts.
        largest: genes that a motif may fix; fewer where the table of counts would grow too large.

    Nothing can be tested where the front is empty or holds every candidate: then `motifs` is empty.
    """
    scored, members = population.scored, population.members
    sets, largest = _gene_sets(population, largest)
    if not 0 < members < scored or not sets:
        return MotifStudy(scored, members, largest, 0, 0, ())
    codes, patterns = _patterns(population, sets)
    everyone = np.bincount(codes.ravel(), minlength=len(patterns))
    kept = np.flatnonzero((everyone >= SUPPORT) & (everyone <= scored - SUPPORT))
    renumber = np.full(len(patterns), len(kept))
    renumber[kept] = np.arange(len(kept))
    codes, everyone = renumber[codes], everyone[kept]
    front = np.bincount(codes[population.front].ravel(), minlength=len(kept) + 1)[: len(kept)]
    observed = ExactTest(everyone, scored, members).p_values(front)
    draws = int(np.clip(_WORK // (members * codes.shape[1] + len(kept)), *_DRAWS))
    adjusted = corrected(codes, everyone, members, observed, draws, seed)
    connecting = {genes: free_between(genes, population.neighbours) or () for genes in sets}
    motifs = []
    for k in np.argsort(observed, kind="stable")[:KEPT].tolist():
        place, code = patterns[kept[k]].tolist()
        genes = sets[place]
        counts = int(front[k]), int(everyone[k]), members * int(everyone[k]) / scored
        values = _values(code, [len(population.labels[g]) for g in genes])
        motifs.append(Motif(genes, values, connecting[genes], *counts, float(observed[k]), float(adjusted[k])))
    return MotifStudy(scored, members, largest, len(kept), draws, tuple(motifs))


def free_between(genes: Sequence[int], neighbours: Sequence[frozenset[int]]) -> tuple[int, ...] | None:
    """Return the fewest other genes that connect these, nearest to their middle; None where nothing does."""
    others = [g for g in range(len(neighbours)) if g not in genes]
    middle = sum(genes) / len(genes)
    for count in range(len(others) + 1):
        found = [c for c in itertools.combinations(others, count) if _connected({*genes, *c}, neighbours)]
        if found:
            return min(found, key=lambda chosen: (sum(abs(g - middle) for g in chosen), chosen))
    return None


def _connected(genes: set[int], neighbours: Sequence[frozenset[int]]) -> bool:
    reached: set[int] = set()
    todo = list(genes)[:1]
    while todo:
        gene = todo.pop()
        if gene not in reached:
            reached.add(gene)
            todo.extend(neighbours[gene] & genes)
    return reached == genes


def _gene_sets(population: Population, largest: int) -> tuple[list[tuple[int, ...]], int]:
    """Return the sets of genes that motifs fix, smallest first, and the size of the largest.

    Genes that one free gene at most connects; a cell's edges are all of that kind.
    """
    genes, budget = len(population.names), _CODES // max(1, population.scored)
    sets: list[tuple[int, ...]] = []
    size = 0
    for size in range(1, min(largest, genes) + 1):
        more = [s for s in itertools.combinations(range(genes), size) if _near(s, population.neighbours)]
        if size > 1 and len(sets) + len(more) > budget:
            return sets, size - 1
        sets += more
    return sets, size


def _near(genes: tuple[int, ...], neighbours: Sequence[frozenset[int]]) -> bool:
    if _connected(set(genes), neighbours):
        return True
    return any(_connected({*genes, g}, neighbours) for g in range(len(neighbours)) if g not in genes)


def _patterns(population: Population, sets: Sequence[tuple[int, ...]]) -> tuple[Integers, Integers]:
    """Return (N, S) numbers of the patterns that each candidate has, and (P, 2) the set and value code of each."""
    columns: list[Integers] = []
    patterns: list[Integers] = []
    count = 0
    for place, genes in enumerate(sets):
        code = np.zeros(population.scored, dtype=np.int64)
        for gene in genes:
            code = code * len(population.labels[gene]) + population.genes[:, gene]
        kinds, column = np.unique(code, return_inverse=True)
        columns.append(column + count)
        patterns.append(np.stack([np.full(len(kinds), place), kinds], axis=1))
        count += len(kinds)
    return np.stack(columns, axis=1), np.concatenate(patterns)


def _values(code: int, bounds: Sequence[int]) -> tuple[int, ...]:
    """Return the values behind a code: its digits, the last one first."""
    values = []
    for bound in reversed(bounds):
        code, value = divmod(code, bound)
        values.append(value)
    return tuple(reversed(values))


def _contains(motif: Motif, part: Motif) -> bool:
    """Return whether `part` fixes some of the genes of `motif`, to the same values."""
    return set(zip(part.genes, part.values, strict=True)) < set(zip(motif.genes, motif.values, strict=True))
