"""What a trained candidate confuses, for the report: class distances, calibration, mistakes, suspected labels.

Everything is drawn from the candidate's `diagnosis.json`, which any store gives by its key; see `xnas_core.diagnosis`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from markupsafe import Markup

from xnas_core.artifacts import keys
from xnas_core.diagnosis import ClassPair, Detection, Diagnosis, Suspect, read_diagnosis
from xnas_core.errors import IntegrityError
from xnas_core.report.diagnosis_curves import calibration_plot, detection_plot
from xnas_core.report.diagnosis_matrices import distance_matrix, mistake_matrix
from xnas_core.report.diagnosis_plane import plane_legend, plane_plot
from xnas_core.report.material import Material
from xnas_core.report.numbers import number, plural
from xnas_core.report.pages import fragment
from xnas_core.report.pictures import Picture
from xnas_core.search.view import CandidateRecord

DRAWN_BYTES = 100_000
"""What drawings and thumbnails of one diagnosis count against the page's bound of pictures."""
MAPS_BYTES = 40_000
"""A larger picture of heat maps is named instead of embedded."""
_WIDE = 1.96
"""Standard errors to each side of a 95 % interval."""


@dataclass(frozen=True, slots=True)
class PairRow:
    """Two classes, as text."""

    names: str
    distance: str
    mistakes: int


@dataclass(frozen=True, slots=True)
class SuspectRow:
    """A training image with a label that looks wrong, as text."""

    suspect: Suspect
    place: str
    label: str
    predicted: str
    distance: str


def diagnosis(material: Material, record: CandidateRecord) -> Markup | None:
    """Return the part of a candidate's explanations; None where it was not diagnosed.

    A diagnosis that cannot be read, or that the page has no room for, is named with the reason.
    """
    sizes = {artifact.key: artifact.size for artifact in record.artifacts}
    key = next((key for key in reversed(sizes) if key.endswith(f"/{keys.DIAGNOSIS}")), None)
    if key is None:
        return None
    found, why = _read(material, key)
    if found is None:
        return fragment("diagnosis_missing.html.j2", key=key, why=why)
    maps = key.removesuffix(keys.DIAGNOSIS) + keys.HEAT_MAPS
    small = sizes.get(maps, 0) <= MAPS_BYTES
    return fragment(
        "diagnosis.html.j2",
        record=record,
        found=found,
        sentence=_sentence(found),
        distances=distance_matrix(found),
        mistakes=mistake_matrix(found),
        pairs=_pairs(found),
        calibration=calibration_plot(found),
        detection=detection_plot(found),
        plane=plane_plot(found),
        legend=plane_legend(found),
        maps=_maps(material, maps, small=small) if found.blocks else None,
        suspects=_suspects(found),
    )


def _maps(material: Material, key: str, *, small: bool) -> Picture:
    return material.pictures.embed(key) if small else Picture(key, "", "it is large", 0, 0)


def _read(material: Material, key: str) -> tuple[Diagnosis | None, str]:
    content = material.pictures.content(key)
    if content is None:
        return None, "the file is missing"
    try:
        found = read_diagnosis(content, "the file")
    except IntegrityError as error:
        return None, str(error)
    if not material.pictures.take(DRAWN_BYTES):
        return None, "left out to keep this page small"
    return found, ""


def _sentence(found: Diagnosis) -> str:
    """Return what a reader should know first."""
    mistakes = found.mispredictions.mistakes
    said = f"{plural(mistakes, 'mistake')} on {plural(found.validation.used, 'validation sample')}"
    if found.classes.most_confused:
        pair = found.classes.most_confused[0]
        said += f", most often between {_names(found, pair)} ({pair.mistakes} of them)"
    said += "."
    if found.classes.nearest:
        said += f" Nearest to each other are the activations of {_names(found, found.classes.nearest[0])}."
    activation, softmax = found.mispredictions.activation, found.mispredictions.softmax
    if activation and softmax:
        said += (
            f" Activations tell mistakes from right predictions {_compared(activation, softmax)} softmax does"
            f" (AUC {number(activation.auc)} against {number(softmax.auc)})."
        )
    return said


def _compared(one: Detection, other: Detection) -> str:
    """Return "better than", "worse than", or "neither better nor worse than" where samples cannot decide it.

    They do where the difference is beyond its 95 % interval, taken as if the two were independent. Both rank the same
    samples, which makes it too wide rather than too narrow.
    """
    apart = one.auc - other.auc
    if abs(apart) <= _WIDE * math.hypot(one.auc_error, other.auc_error):
        return "neither better nor worse, beyond chance, than"
    return "better than" if apart > 0 else "worse than"


def _names(found: Diagnosis, pair: ClassPair) -> str:
    return f"{found.class_names[pair.first]} and {found.class_names[pair.second]}"


def _pairs(found: Diagnosis) -> list[PairRow]:
    """Return nearest and most confused pairs, each once, nearest first."""
    both = {(p.first, p.second): p for p in (*found.classes.nearest, *found.classes.most_confused)}
    ordered = sorted(both.values(), key=lambda p: (p.distance is None, p.distance or 0.0, p.first, p.second))
    return [PairRow(_names(found, p), number(p.distance), p.mistakes) for p in ordered]


def _suspects(found: Diagnosis) -> list[SuspectRow]:
    return [
        SuspectRow(
            suspect,
            f"training image {suspect.position}" if suspect.source is None else f"image {suspect.source}",
            found.class_names[suspect.label],
            found.class_names[suspect.predicted],
            number(1 - suspect.similarity),
        )
        for suspect in found.suspects
    ]
