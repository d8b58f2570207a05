"""Where a candidate comes from: it and its ancestors, nearest first."""

from __future__ import annotations

from xnas_core.search.view import SearchView
from xnas_core.service.candidates import find
from xnas_core.service.sizes import fitting
from xnas_core.service.values import Lineage, LineageMember

MAX_MEMBERS = 1000


def lineage(view: SearchView, candidate_id: str, max_distance: int = 0) -> Lineage:
    """Return a candidate and its ancestors, each once, by distance and then by number.

    A parent that comes after its child, or is unknown, is not followed: damaged data must not lead into a loop.

    Args:
        view: the search.
        candidate_id: the candidate.
        max_distance: steps up; 0: all.

    Raises:
        NotFoundError: there is no such candidate.
    """
    candidate = find(view, candidate_id)
    by_id = {record.id: record for record in view.candidates}
    distances = {candidate.id: 0}
    level, distance = [candidate], 0
    while level and (not max_distance or distance < max_distance):
        distance += 1
        above = {}
        for child in level:
            for identity in child.parents:
                parent = by_id.get(identity)
                if parent is not None and parent.number < child.number and parent.id not in distances:
                    above[parent.id] = parent
        level = sorted(above.values(), key=lambda record: record.number)
        distances.update((record.id, distance) for record in level)
    kept = tuple(fitting(by_id[identity] for identity in list(distances)[:MAX_MEMBERS]))
    members = tuple(LineageMember(record, distances[record.id]) for record in kept)
    return Lineage(members, truncated=len(members) < len(distances))
