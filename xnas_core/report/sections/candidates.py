"""All candidates: a table that filters and sorts."""

from __future__ import annotations

from xnas_core.report.material import Material, Section
from xnas_core.report.pages import fragment


def section(material: Material) -> Section:
    """Return the section; its rows are made by the page's script from the page's data."""
    return Section("candidates", "Candidates", fragment("candidates.html.j2", count=len(material.view.candidates)))
