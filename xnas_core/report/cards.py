"""What is shown of each front member: drawing, metrics with errors, attributions, files with digests."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from dataclasses import dataclass

from markupsafe import Markup

from xnas_core.artifacts.keys import check_key
from xnas_core.errors import InvalidInputError, StoreError
from xnas_core.report.data import Field, ReportData, standard_error
from xnas_core.report.drawings import draw, label_colours
from xnas_core.report.numbers import size, with_error
from xnas_core.search.view import CandidateRecord, StoredArtifact
from xnas_core.spaces.base import Drawing, SearchSpace
from xnas_core.tasks import TaskKind

CARD_LIMIT = 100
"""Front members with a card of their own; a larger front is shown by members spread evenly over it."""
EMBEDDED_LIMIT = 7_500_000
"""Bytes of pictures embedded in all (a third more as base64); the others are named by their path."""

_PANEL = re.compile(r"/explanations/([^/]+)\.png$")
_PNG = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True, slots=True)
class Quantity:
    """A metric as text, with what it means."""

    name: str
    value: str
    about: str
    objective: bool
    timing: bool

    @property
    def short(self) -> str:
        """The value without its standard error and unit."""
        return self.value.partition(" ± ")[0]

    @property
    def spread(self) -> str:
        """The standard error and the unit, or ""."""
        return self.value.partition(" ± ")[2]


@dataclass(frozen=True, slots=True)
class Panel:
    """An attribution panel: `uri` is a data URI, or "" and `why` says why the picture is not here."""

    method: str
    key: str
    uri: str
    why: str
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class File:
    """A stored file. `link` is a plain relative path, or "" where the key is not one."""

    key: str
    link: str
    size: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Card:
    """A front member."""

    position: int
    record: CandidateRecord
    rank: int
    knee: bool
    drawing: Markup
    caption: str
    quantities: tuple[Quantity, ...]
    panels: tuple[Panel, ...]
    unexplained: str
    files: tuple[File, ...]


def carded(data: ReportData, knee: int | None) -> tuple[int, ...]:
    """Return the positions of the front members that get a card: all, or 100 with both ends and the knee among them."""
    front = data.front
    if len(front) <= CARD_LIMIT:
        return front
    chosen = {front[round(k * (len(front) - 1) / (CARD_LIMIT - 1))] for k in range(CARD_LIMIT)}
    return tuple(i for i in front if i in chosen or i == knee)


def cards(
    data: ReportData, space: SearchSpace | None, read: Callable[[str], bytes], knee: int | None
) -> tuple[Card, ...]:
    """Return the cards, best first objective first. What cannot be read or drawn is left out and said so."""
    chosen = carded(data, knee)
    drawings = {i: _drawing(space, data.view.candidates[i]) for i in chosen}
    colours = label_colours([drawing for drawing in drawings.values() if drawing is not None])
    budget = _Budget(EMBEDDED_LIMIT)
    made = []
    for i in chosen:
        record = data.view.candidates[i]
        drawing = drawings[i]
        panels = tuple(_panel(artifact, read, budget) for artifact in record.artifacts if _PANEL.search(artifact.key))
        made.append(
            Card(
                position=i,
                record=record,
                rank=data.front.index(i) + 1,
                knee=i == knee,
                drawing=draw(drawing, colours, f"Architecture {record.arch}", record.id) if drawing else Markup(""),
                caption=drawing.caption if drawing else "",
                quantities=quantities(data, i),
                panels=panels,
                unexplained="" if panels else _unexplained(data, record),
                files=tuple(_file(artifact) for artifact in record.artifacts),
            )
        )
    return tuple(made)


def quantities(data: ReportData, i: int) -> tuple[Quantity, ...]:
    """Return all that is known of a candidate, objectives first, as text with units and standard errors."""
    record = data.view.candidates[i]
    shown = []
    for k, field in enumerate(data.fields[:-1]):
        exact = (
            record.objectives[k] if field.objective else record.metrics.get(field.name, record.timings.get(field.name))
        )
        if exact is not None or field.objective:
            error = (
                standard_error(record, data.view.spec.objectives[k])
                if field.objective
                else record.errors.get(field.name)
            )
            value = with_error(exact, error, field.unit)
            shown.append(Quantity(field.name, value, field.description, field.objective, _is_timing(record, field)))
    return tuple(shown)


def _is_timing(record: CandidateRecord, field: Field) -> bool:
    return not field.objective and field.name not in record.metrics


class _Budget:
    def __init__(self, left: int) -> None:
        self.left = left

    def take(self, amount: int) -> bool:
        if amount > self.left:
            return False
        self.left -= amount
        return True


def _drawing(space: SearchSpace | None, record: CandidateRecord) -> Drawing | None:
    if space is None:
        return None
    try:
        return space.drawing(record.genes)
    except InvalidInputError:
        return None


def _panel(artifact: StoredArtifact, read: Callable[[str], bytes], budget: _Budget) -> Panel:
    match = _PANEL.search(artifact.key)
    method = match.group(1) if match else artifact.key
    content, why = b"", ""
    try:
        content = read(artifact.key)
    except (KeyError, OSError, StoreError, InvalidInputError):
        why = "the file is missing"
    if content and not content.startswith(_PNG):
        content, why = b"", "the file is not a PNG"
    elif content and not budget.take(len(content)):
        content, why = b"", "left out to keep this page small"
    uri = f"data:image/png;base64,{base64.b64encode(content).decode()}" if content else ""
    width, height = (int.from_bytes(content[at : at + 4], "big") for at in (16, 20))
    return Panel(method, artifact.key, uri, why or ("" if content else "the file is empty"), width, height)


def _unexplained(data: ReportData, record: CandidateRecord) -> str:
    if data.view.spec.benchmark is not None:
        return "A search on a table trains nothing, so there is no network to explain."
    if data.view.spec.dataset is None:
        return "The graph alone decides this search; nothing is trained, so there is no network to explain."
    ended = [a for a in record.history if a.task is TaskKind.FINALISE and a.outcome not in ("running", "succeeded")]
    if ended:
        return f"No explanations: {ended[-1].outcome}. {ended[-1].message}".strip()
    if not data.view.spec.explanations.methods or data.view.spec.explanations.scope == "none":
        return "No explanations were asked for."
    return "No explanations yet; they are made when the search is complete."


def _file(artifact: StoredArtifact) -> File:
    try:
        link = check_key(artifact.key)
    except InvalidInputError:
        link = ""
    return File(artifact.key, link, size(artifact.size), artifact.sha256)
