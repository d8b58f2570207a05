"""Reproducibility: spec, versions, seed, digests, and how to run the search again."""

from __future__ import annotations

from xnas_core.api import spec_digest
from xnas_core.report import account
from xnas_core.report.material import Material, Section
from xnas_core.report.pages import fragment
from xnas_core.report.summary import data_name, elapsed_seconds


def section(material: Material) -> Section:
    """Return the section."""
    view = material.view
    html = fragment(
        "reproduction.html.j2",
        view=view,
        spec_yaml=account.spec_yaml(view),
        spec_digest=spec_digest(view.spec.to_document()),
        environments=account.environments(view),
        data_name=data_name(view),
        elapsed=elapsed_seconds(view),
    )
    return Section("run", "Reproduce", html)
