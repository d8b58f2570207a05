"""The glossary: every name in the page with formula and source."""

from __future__ import annotations

from xnas_core.report.material import Material, Section
from xnas_core.report.pages import fragment


def section(material: Material) -> Section:
    """Return the section."""
    return Section("glossary", "Glossary", fragment("glossary.html.j2", glossary=material.glossary))
