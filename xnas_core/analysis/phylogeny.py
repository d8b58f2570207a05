"""Descent: who comes from whom, generation by generation, and which lines led to the front."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from xnas_core.search.ancestry import parents
from xnas_core.search.view import SearchView


@dataclass(frozen=True)
class Phylogeny:
    """The family tree of a search; candidates by position in `view.candidates`.

    Attributes:
        generation: of each candidate.
        parents: of each candidate; what is not in the view, or does not come before its child, is left out.
        front: members of the front.
    """

    generation: tuple[int, ...]
    parents: tuple[tuple[int, ...], ...]
    front: tuple[int, ...]

    @cached_property
    def ancestral(self) -> frozenset[int]:
        """Front members and all their ancestors: the lines that led to the front."""
        return self.ancestors(self.front) | frozenset(self.front)

    @cached_property
    def generations(self) -> tuple[tuple[int, ...], ...]:
        """Candidates of each generation that occurs, oldest first."""
        rows: dict[int, list[int]] = {}
        for i, number in enumerate(self.generation):
            rows.setdefault(number, []).append(i)
        return tuple(tuple(rows[number]) for number in sorted(rows))

    @property
    def edges(self) -> Iterable[tuple[int, int]]:
        """(parent, child) of all descents."""
        return ((parent, child) for child, parents in enumerate(self.parents) for parent in parents)

    @property
    def founders(self) -> tuple[int, ...]:
        """Candidates without parents from which the front descends, or which are on it."""
        return tuple(sorted(i for i in self.ancestral if not self.parents[i]))

    def ancestors(self, members: Iterable[int]) -> frozenset[int]:
        """Return all ancestors of these candidates; a member is among them only if it is another's ancestor."""
        found: set[int] = set()
        todo = list(members)
        while todo:
            for parent in self.parents[todo.pop()]:
                if parent not in found:
                    found.add(parent)
                    todo.append(parent)
        return frozenset(found)


def phylogeny(view: SearchView) -> Phylogeny:
    """Return the family tree of a search."""
    index = {c.id: i for i, c in enumerate(view.candidates)}
    by_id = {c.id: c for c in view.candidates}
    above = tuple(tuple(index[parent.id] for parent in parents(by_id, c)) for c in view.candidates)
    front = tuple(index[identity] for identity in view.front if identity in index)
    return Phylogeny(tuple(c.generation for c in view.candidates), above, front)
