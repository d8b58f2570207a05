"""The front: plot with axis pickers, and its members as a table."""

from __future__ import annotations

from xnas_core.report.material import Material, Section
from xnas_core.report.pages import fragment
from xnas_core.report.plots import front_plot


def section(material: Material) -> Section:
    """Return the section."""
    view, data, summary = material.view, material.data, material.summary
    html = fragment(
        "front.html.j2",
        view=view,
        data=data,
        summary=summary,
        term=material.glossary.link,
        plotted=any(None not in c.objectives for c in view.candidates),
        front_plot=front_plot(data, frozenset(material.chosen), summary.knee),
    )
    return Section("front", "Front" if len(view.spec.objectives) > 1 else "Best", html)
