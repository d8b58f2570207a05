"""Hypervolume over finished evaluations, of one search or of several with a reference point in common."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from xnas_core.analysis.significance import Floats
from xnas_core.objectives import to_minimise
from xnas_core.search.front import FrontArchive
from xnas_core.search.view import CandidateRecord, CandidateState, SearchView


def arrivals(view: SearchView) -> tuple[CandidateRecord, ...]:
    """Return the finished candidates in the order in which they finished."""
    done = [c for c in view.candidates if c.state in (CandidateState.SUCCEEDED, CandidateState.FAILED)]
    return tuple(sorted(done, key=lambda c: (c.finished_at if c.finished_at is not None else math.inf, c.number)))


def volumes(view: SearchView, reference: Sequence[float]) -> Floats:
    """Return the hypervolume after each finished evaluation, (evaluations,).

    Args:
        view: the search. What failed or breaks a constraint counts as an evaluation and adds nothing.
        reference: a value for each objective, in its own sign.
    """
    ways = [objective.direction for objective in view.spec.objectives]
    archive = FrontArchive(len(ways))
    archive.set_reference(np.array([to_minimise(v, way) for v, way in zip(reference, ways, strict=True)]))
    found = []
    for candidate in arrivals(view):
        values = [v for v in candidate.objectives if v is not None]
        if len(values) == len(ways) and not candidate.violation and candidate.state is CandidateState.SUCCEEDED:
            point = [to_minimise(v, way) for v, way in zip(values, ways, strict=True)]
            archive.insert(candidate.number, np.array(point, dtype=np.float64))
        found.append(archive.hypervolume)
    return np.array(found, dtype=np.float64)


def common_reference(views: Sequence[SearchView]) -> tuple[float, ...] | None:
    """Return for each objective the worst of the searches' own reference values; None where none has any yet.

    So no search's own reference point dominates it, and no front is cut shorter than its search did itself.
    """
    known = [view.reference_point for view in views if view.reference_point is not None]
    if not known:
        return None
    worst = []
    for k, objective in enumerate(views[0].spec.objectives):
        # The sign rule is its own inverse.
        value = max(to_minimise(point[k], objective.direction) for point in known)
        worst.append(to_minimise(value, objective.direction))
    return tuple(worst)
