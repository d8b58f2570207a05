"""The archive: the Pareto front of all feasible candidates so far, and its hypervolume, kept as candidates finish."""

from __future__ import annotations

import bisect
import math

import moocore
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

EXACT_UP_TO = 5
"""Objectives up to which the hypervolume is exact. With eight, 120 points take the exact algorithm a fifth of a second
each time, and twice as many take seconds."""
_DIRECTIONS = 16_384


class _Radial:
    """Hypervolume of many objectives, within about 2 %, at a cost that hardly grows with the number of points.

    The dominated region seen from the reference point: its volume is the mean of reach^m over all directions of the
    positive orthant, times the orthant's solid angle / m (Deng and Zhang 2019, eq. 8). The reach in a direction is the
    largest over the points. Objectives are scaled by the front's best values, so the result is a function of the front
    alone; when a best value improves, all is measured anew in other directions, and the volume may seem to fall by
    less than its error.

    Args:
        reference: (m,) reference point.
        best: (m,) best value of each objective on the front.
    """

    def __init__(self, reference: Floats, best: Floats) -> None:
        objectives = len(reference)
        self.best = best
        scale = np.where(best < reference, reference - best, 1.0)
        directions = np.abs(np.random.default_rng(0).normal(size=(_DIRECTIONS, objectives)))
        self._directions = directions / np.linalg.norm(directions, axis=1, keepdims=True) * scale
        self._reference = reference
        self._reach = np.zeros(_DIRECTIONS)
        sphere = 2 * math.pi ** (objectives / 2) / math.gamma(objectives / 2)
        self._factor = sphere / 2**objectives / objectives * float(scale.prod())

    def add(self, point: Floats) -> None:
        """Take a point in."""
        reach = ((self._reference - point) / self._directions).min(axis=1)
        np.maximum(self._reach, reach, out=self._reach)

    def volume(self) -> float:
        """Return the volume that the points dominate."""
        return float((self._reach ** len(self._reference)).mean() * self._factor)


class _Staircase:
    """A front of two objectives as steps, left to right and down: a dominated point is known in logarithmic time.

    Most points are dominated, and fronts grow to thousands of members.
    """

    def __init__(self) -> None:
        self._steps: list[tuple[float, float]] = []

    def dominates(self, x: float, y: float) -> bool:
        """Return whether some step dominates the point. The lowest step that is not to its right decides."""
        place = bisect.bisect_right(self._steps, (x, math.inf))
        return place > 0 and self._steps[place - 1][1] <= y and self._steps[place - 1] != (x, y)

    def add(self, x: float, y: float) -> None:
        """Take in a point that is not dominated; steps that it dominates leave."""
        place = end = bisect.bisect_left(self._steps, (x, y))
        while end < len(self._steps) and self._steps[end][1] >= y:
            end += 1
        self._steps[place:end] = [(x, y)]


class FrontArchive:
    """Non-dominated points, each with a key; equal points stay side by side.

    Args:
        dimensions: number of objectives.
    """

    def __init__(self, dimensions: int) -> None:
        self._points: Floats = np.empty((0, dimensions))
        self.keys: list[int] = []
        self.reference: Floats | None = None
        """Reference point, to be minimised like the points; None until known."""
        self.hypervolume = 0.0
        self._radial: _Radial | None = None
        self._stairs = _Staircase() if dimensions == 2 else None

    def insert(self, key: int, point: Floats) -> bool:
        """Add a point; return whether it is on the front now. Dominated points leave."""
        if self._stairs is not None:
            x, y = point.tolist()
            if self._stairs.dominates(x, y):
                return False
            self._stairs.add(x, y)
        # One row for each objective: comparing along the points is what numpy does fast.
        rows, column = self._points.T, point[:, None]
        if rows.shape[1]:
            not_worse = (rows <= column).all(axis=0)
            if not_worse.any() and (rows[:, not_worse] < column).any():
                return False
            # Equal points are not worse either way; all others that the new one reaches, it dominates.
            kept = np.logical_not((rows >= column).all(axis=0)) | not_worse
            if not kept.all():
                rows = rows[:, kept]
                self.keys = [k for k, keep in zip(self.keys, kept.tolist(), strict=True) if keep]
        self._points = np.concatenate((rows, column), axis=1).T
        self.keys.append(key)
        self._measure(point)
        return True

    def set_reference(self, reference: Floats) -> None:
        """Fix the reference point."""
        self.reference = reference
        self._radial = None
        self._measure()

    def _measure(self, added: Floats | None = None) -> None:
        """Bring the hypervolume up to date, after one point was added or (None) from scratch."""
        if self.reference is None or not len(self._points):
            return
        if len(self.reference) > EXACT_UP_TO:
            self._measure_many(self.reference, added)
            return
        inside = self._points[(self._points < self.reference).all(axis=1)]
        # A single objective has no hypervolume in moocore; it is the distance to the reference.
        if not len(inside):
            self.hypervolume = 0.0
        elif inside.shape[1] == 1:
            self.hypervolume = float(self.reference[0] - inside.min())
        else:
            self.hypervolume = float(moocore.hypervolume(inside, ref=self.reference))

    def _measure_many(self, reference: Floats, added: Floats | None) -> None:
        best = self._points.min(axis=0)
        if self._radial is None or added is None or (best < self._radial.best).any():
            self._radial = _Radial(reference, best)
            for point in self._points:
                self._radial.add(point)
        else:
            self._radial.add(added)
        self.hypervolume = self._radial.volume()
