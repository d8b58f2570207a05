"""The first screen: what was found, in figures and plain sentences."""

from __future__ import annotations

from xnas_core.report.findings import findings
from xnas_core.report.material import Material, Section
from xnas_core.report.pages import fragment


def section(material: Material) -> Section:
    """Return the section."""
    html = fragment("found.html.j2", summary=material.summary, findings=findings(material), term=material.glossary.link)
    return Section("found", "Found", html)
