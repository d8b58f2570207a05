"""Where a candidate comes from: it and its ancestors, nearest first."""

from __future__ import annotations

from xnas_core.search.ancestry import ancestry
from xnas_core.search.view import SearchView
from xnas_core.service.candidates import find
from xnas_core.service.sizes import fitting
from xnas_core.service.values import Lineage, LineageMember

MAX_MEMBERS = 1000


def lineage(view: SearchView, candidate_id: str, max_distance: int = 0) -> Lineage:
    """Return a candidate and its ancestors, as `ancestry` does, so far as they fit in an answer.

    Args:
        view: the search.
        candidate_id: the candidate.
        max_distance: steps up; 0: all.

    Raises:
        NotFoundError: there is no such candidate.
    """
    found = ancestry(view, find(view, candidate_id), max_distance)
    kept = fitting(ancestor.record for ancestor in found[:MAX_MEMBERS])
    members = tuple(LineageMember(record, found[k].distance) for k, record in enumerate(kept))
    return Lineage(members, truncated=len(members) < len(found))
