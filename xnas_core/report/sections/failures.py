"""Failures and retries, and candidates that failed for good."""

from __future__ import annotations

from xnas_core.report import account
from xnas_core.report.material import Material, Section
from xnas_core.report.pages import fragment

_SHOWN = 200


def section(material: Material) -> Section:
    """Return the section."""
    failed = account.failed_candidates(material.view)
    html = fragment(
        "failures.html.j2",
        ended=account.ended_attempts(material.view),
        failed=failed[:_SHOWN],
        failed_hidden=max(0, len(failed) - _SHOWN),
    )
    return Section("failures", "Failures", html)
