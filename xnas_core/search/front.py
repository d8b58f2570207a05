"""The archive: the Pareto front of all feasible candidates so far, and its hypervolume, kept as candidates finish."""

from __future__ import annotations

import moocore
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


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

    def insert(self, key: int, point: Floats) -> bool:
        """Add a point; return whether it is on the front now. Dominated points leave."""
        points = self._points
        if len(points):
            not_worse = (points <= point).all(axis=1)
            if (not_worse & (points < point).any(axis=1)).any():
                return False
            worse: npt.NDArray[np.bool_] = np.logical_and((point <= points).all(axis=1), (point < points).any(axis=1))
            kept = np.logical_not(worse)
            if not kept.all():
                points = points[kept]
                self.keys = [k for k, keep in zip(self.keys, kept.tolist(), strict=True) if keep]
        self._points = np.vstack((points, point))
        self.keys.append(key)
        self._measure()
        return True

    def set_reference(self, reference: Floats) -> None:
        """Fix the reference point."""
        self.reference = reference
        self._measure()

    def _measure(self) -> None:
        if self.reference is None:
            return
        inside = self._points[(self._points < self.reference).all(axis=1)]
        # A single objective has no hypervolume in moocore; it is the distance to the reference.
        if not len(inside):
            self.hypervolume = 0.0
        elif inside.shape[1] == 1:
            self.hypervolume = float(self.reference[0] - inside.min())
        else:
            self.hypervolume = float(moocore.hypervolume(inside, ref=self.reference))
