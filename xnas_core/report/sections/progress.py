"""How the search went: hypervolume over finished evaluations, as a plot and as a table."""

from __future__ import annotations

from xnas_core.report.data import steps
from xnas_core.report.material import Material, Section
from xnas_core.report.pages import fragment
from xnas_core.report.plots import hypervolume_plot
from xnas_core.search.view import HypervolumePoint

_ROWS = 12


def section(material: Material) -> Section | None:
    """Return the section; None before the first finished evaluation."""
    view = material.view
    if not view.history:
        return None
    html = fragment(
        "progress.html.j2",
        view=view,
        term=material.glossary.link,
        hypervolume_plot=hypervolume_plot(material.data),
        milestones=milestones(view.history),
    )
    return Section("progress", "Progress", html)


def milestones(history: tuple[HypervolumePoint, ...]) -> list[HypervolumePoint]:
    """Return the first point, the last, and points in between where the hypervolume passed round shares of its growth.

    With at most a dozen rows it is the plot's text form.
    """
    points = steps(history)
    last = points[-1].hypervolume
    chosen = [points[0]]
    for share in range(1, _ROWS - 1):
        wanted = last * share / (_ROWS - 1)
        passed = next(point for point in points if point.hypervolume >= wanted)
        if passed is not chosen[-1]:
            chosen.append(passed)
    if chosen[-1] is not points[-1]:
        chosen.append(points[-1])
    return chosen
