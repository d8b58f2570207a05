"""Explanations: for each front member what its trained network looks at, and what it confuses.

PARTS is the list of what is shown of a candidate. A part is a function that returns markup or None; it asks
`material.pictures` for what it needs, so that all parts share one bound of embedded pictures. The knee point and the
ends of the front are made first: where room is short, theirs are the pictures that are kept.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from markupsafe import Markup

from xnas_core.artifacts.keys import SIDE_BY_SIDE
from xnas_core.report.diagnosis import diagnosis
from xnas_core.report.material import Material, Section
from xnas_core.report.numbers import number
from xnas_core.report.pages import fragment
from xnas_core.report.pictures import Picture
from xnas_core.search.view import CandidateRecord
from xnas_core.tasks import TaskKind

_PANEL = re.compile(r"/explanations/([^/]+)\.png$")
_TOGETHER = SIDE_BY_SIDE.removeprefix("explanations/").removesuffix(".png")

Part = Callable[[Material, CandidateRecord], Markup | None]


@dataclass(frozen=True, slots=True)
class Explained:
    """A front member, its objectives' values as text, its parts; `unexplained` says why there are none, or ""."""

    record: CandidateRecord
    rank: int
    knee: bool
    values: str
    parts: tuple[Markup, ...]
    unexplained: str


def attributions(material: Material, record: CandidateRecord) -> Markup | None:
    """Return the picture of all methods side by side, and one panel for each; None where the candidate has none."""
    found = {match.group(1): artifact.key for artifact in record.artifacts if (match := _PANEL.search(artifact.key))}
    if not found:
        return None
    # Asked for first: where room is short, the comparison says most.
    together = found.pop(_TOGETHER, None)
    comparison = material.pictures.embed(together) if together else None
    panels = [(method, material.pictures.embed(key)) for method, key in found.items()]
    return fragment("attributions.html.j2", record=record, comparison=comparison, panels=panels)


PARTS: tuple[Part, ...] = (attributions, diagnosis)


def section(material: Material) -> Section | None:
    """Return the section; None for an empty front."""
    if not material.chosen:
        return None
    made = {i: _explained(material, i) for i in material.by_weight}
    rows = [made[i] for i in material.chosen]
    html = fragment(
        "explanations.html.j2",
        rows=rows,
        nothing=_shared_reason(rows),
        first=made[material.by_weight[0]].record.id,
        left_out=material.pictures.left_out,
        term=material.glossary.link,
    )
    return Section("explanations", "Explanations", html)


def _explained(material: Material, i: int) -> Explained:
    record = material.view.candidates[i]
    parts = tuple(made for part in PARTS if (made := part(material, record)) is not None)
    why = "" if parts else _unexplained(material, record)
    values = " · ".join(
        f"{field.name} {number(value, field.unit)}"
        for field, value in zip(material.data.fields, record.objectives, strict=False)
    )
    return Explained(record, material.data.front.index(i) + 1, i == material.summary.knee, values, parts, why)


def _shared_reason(rows: list[Explained]) -> str:
    """Return why nobody is explained where that is one reason for all, else ""."""
    reasons = {row.unexplained for row in rows}
    return reasons.pop() if len(reasons) == 1 else ""


def _unexplained(material: Material, record: CandidateRecord) -> str:
    spec = material.view.spec
    if spec.benchmark is not None:
        return "A search on a table trains nothing, so there is no network to explain."
    if spec.dataset is None:
        return "The graph alone decides this search; nothing is trained, so there is no network to explain."
    ended = [a for a in record.history if a.task is TaskKind.FINALISE and a.outcome not in ("running", "succeeded")]
    if ended:
        return f"No explanations: {ended[-1].outcome}. {ended[-1].message}".strip()
    if not spec.explanations.methods or spec.explanations.scope == "none":
        return "No explanations were asked for."
    return "No explanations yet; they are made when the search is complete."


__all__ = ["PARTS", "Explained", "Part", "Picture", "attributions", "section"]
