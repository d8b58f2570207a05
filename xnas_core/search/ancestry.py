"""Where a candidate comes from: its ancestors, nearest first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from xnas_core.search.view import CandidateRecord, SearchView


@dataclass(frozen=True, slots=True)
class Ancestor:
    """A candidate and how many steps it is above the one that was asked for (0: that one itself)."""

    record: CandidateRecord
    distance: int


def ancestry(view: SearchView, candidate: CandidateRecord, max_distance: int = 0) -> list[Ancestor]:
    """Return the candidate and its ancestors, each once, by distance and then by number.

    A parent that comes after its child, or is unknown, is not followed: damaged data must not lead into a loop.

    Args:
        view: the search.
        candidate: of it.
        max_distance: steps up; 0: all.
    """
    by_id = {record.id: record for record in view.candidates}
    found = {candidate.id: Ancestor(candidate, 0)}
    level = [candidate]
    distance = 0
    while level and (not max_distance or distance < max_distance):
        distance += 1
        above: dict[str, CandidateRecord] = {}
        for child in level:
            for parent in parents(by_id, child):
                if parent.id not in found:
                    above[parent.id] = parent
        level = sorted(above.values(), key=lambda record: record.number)
        found.update((record.id, Ancestor(record, distance)) for record in level)
    return list(found.values())


def parents(by_id: Mapping[str, CandidateRecord], child: CandidateRecord) -> list[CandidateRecord]:
    """Return the child's parents, each once, in the order they were named."""
    known = (by_id.get(identity) for identity in dict.fromkeys(child.parents))
    return [parent for parent in known if parent is not None and parent.number < child.number]
