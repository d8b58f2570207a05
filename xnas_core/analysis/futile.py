"""Which front members owe their place to activations on which no class score depends (futile blocks)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from xnas_core.api.spec import ObjectiveSpec
from xnas_core.objectives import futile_share_of, to_minimise
from xnas_core.search.view import CandidateRecord, CandidateState, SearchView


@dataclass(frozen=True, slots=True)
class Owing:
    """A front member that would not be on the front if only live activations counted.

    Attributes:
        share: the largest share of an objective's value that is owed to futile activations.
        objective: its position in the spec.
        by: the candidate that then beats it.
    """

    share: float
    objective: int
    by: str


def share_of(record: CandidateRecord, objective: ObjectiveSpec) -> float | None:
    """Return the share of an objective's value that is owed to futile activations; None where it was not measured."""
    for name in (objective.name, objective.metric_name):
        share = record.metrics.get(futile_share_of(name))
        if share is not None and "introspectability" in objective.metric_name:
            return share
    return None


def owing(view: SearchView) -> Mapping[str, Owing]:
    """Return the front members that owe their place to futile activations, by id.

    Every scored, feasible candidate is given the values that its live activations have, v (1 - share). A member that
    another candidate then equals or beats in every objective, and beats in one, is listed.
    """
    rows = [c for c in view.candidates if c.state is CandidateState.SUCCEEDED and not c.violation]
    rows = [c for c in rows if all(v is not None and math.isfinite(v) for v in c.objectives)]
    objectives = view.spec.objectives
    shares = [[share_of(c, o) or 0.0 for o in objectives] for c in rows]
    if not any(any(row) for row in shares):
        return {}
    live = np.array([
        [to_minimise((v or 0.0) * (1 - s), o.direction) for v, s, o in zip(c.objectives, row, objectives, strict=True)]
        for c, row in zip(rows, shares, strict=True)
    ])  # fmt: skip
    front = frozenset(view.front)
    found = {}
    for place, (record, row) in enumerate(zip(rows, shares, strict=True)):
        if record.id not in front or not any(row):
            continue
        beating = np.flatnonzero((live <= live[place]).all(axis=1) & (live < live[place]).any(axis=1))
        if len(beating):
            worst = max(range(len(row)), key=row.__getitem__)
            found[record.id] = Owing(row[worst], worst, rows[int(beating[0])].id)
    return found
