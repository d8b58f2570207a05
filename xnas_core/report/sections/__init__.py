"""The sections of the report, in the order in which a reader meets them.

Each module has `section(material)`, which returns the section, or None where there is nothing to say. To add one, write
such a module and name it here; to add something to what is shown of each explained candidate, see `explanations.PARTS`.
"""

from __future__ import annotations

from collections.abc import Callable

from xnas_core.report.material import Material, Section
from xnas_core.report.sections import (
    candidates,
    costs,
    descent,
    explanations,
    failures,
    found,
    front,
    meanings,
    members,
    preferences,
    progress,
    reproduction,
)

SECTIONS: tuple[Callable[[Material], Section | None], ...] = (
    found.section,
    front.section,
    members.section,
    candidates.section,
    explanations.section,
    progress.section,
    descent.section,
    preferences.section,
    costs.section,
    failures.section,
    reproduction.section,
    meanings.section,
)
