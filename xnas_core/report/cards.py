"""What is shown of each front member: drawing, metrics with errors and meaning, files with digests."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

from xnas_core.artifacts.keys import check_key
from xnas_core.errors import InvalidInputError
from xnas_core.report.confirmed import SEEDS, confirmed_text, source_of
from xnas_core.report.data import Field, ReportData, standard_error
from xnas_core.report.drawings import draw, label_colours
from xnas_core.report.material import Material
from xnas_core.report.numbers import size, with_error
from xnas_core.search.view import CandidateRecord, StoredArtifact
from xnas_core.spaces.base import Drawing, SearchSpace


@dataclass(frozen=True, slots=True)
class Quantity:
    """A metric as text, with what it means; `confirmed`: mean ± deviation of other trainings, or ""."""

    name: str
    value: str
    about: str
    objective: bool
    timing: bool
    confirmed: str = ""

    @property
    def short(self) -> str:
        """The value without its standard error and unit."""
        return self.value.partition(" ± ")[0]

    @property
    def spread(self) -> str:
        """The standard error and the unit, or ""."""
        return self.value.partition(" ± ")[2]


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
    files: tuple[File, ...]


def cards(material: Material) -> tuple[Card, ...]:
    """Return the cards, best first objective first. What cannot be drawn is left out."""
    data, chosen = material.data, material.chosen
    drawings = {i: drawing_of(material.space, data.view.candidates[i]) for i in chosen}
    colours = label_colours([drawing for drawing in drawings.values() if drawing is not None])
    made = []
    for i in chosen:
        record = data.view.candidates[i]
        drawing = drawings[i]
        made.append(
            Card(
                position=i,
                record=record,
                rank=data.front.index(i) + 1,
                knee=i == material.summary.knee,
                drawing=draw(drawing, colours, f"Architecture {record.arch}", record.id) if drawing else Markup(""),
                caption=drawing.caption if drawing else "",
                quantities=quantities(data, i),
                files=tuple(_file(artifact) for artifact in record.artifacts),
            )
        )
    return tuple(made)


def quantities(data: ReportData, i: int) -> tuple[Quantity, ...]:
    """Return all that is known of a candidate, objectives first, as text with units and standard errors."""
    record = data.view.candidates[i]
    names = {objective.name: "" for objective in data.view.spec.objectives}
    shown = []
    for k, field in enumerate(data.fields[:-1]):
        if field.name == SEEDS or source_of(field.name, names):
            # Shown beside the search's own value.
            continue
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
            again = confirmed_text(record, field.name, field.unit) if field.objective else ""
            timing = _is_timing(record, field)
            shown.append(Quantity(field.name, value, field.description, field.objective, timing, again))
    return tuple(shown)


def drawing_of(space: SearchSpace | None, record: CandidateRecord) -> Drawing | None:
    """Return a candidate's drawing; None where the space is not installed or the genes are not its own."""
    if space is None:
        return None
    try:
        return space.drawing(record.genes)
    except InvalidInputError:
        return None


def _is_timing(record: CandidateRecord, field: Field) -> bool:
    return not field.objective and field.name not in record.metrics


def _file(artifact: StoredArtifact) -> File:
    try:
        link = check_key(artifact.key)
    except InvalidInputError:
        link = ""
    return File(artifact.key, link, size(artifact.size), artifact.sha256)
