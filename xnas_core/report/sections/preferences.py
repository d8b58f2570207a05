"""What the front prefers: single choices, and motifs, against all that was scored."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

from xnas_core.analysis.choices import Choice, choices
from xnas_core.analysis.motifs import Motif
from xnas_core.report.cards import drawing_of
from xnas_core.report.drawings import draw, label_colours
from xnas_core.report.material import Material, Section
from xnas_core.report.pages import fragment
from xnas_core.report.wording import ANY, motif_words
from xnas_core.spaces.base import Drawing, DrawnEdge

SHOWN = 10
"""Motifs that are listed of each kind."""


@dataclass(frozen=True, slots=True)
class Row:
    """A motif as a reader sees it: words, drawing (or ""), and its figures."""

    motif: Motif
    words: str
    drawing: Markup


def section(material: Material) -> Section | None:
    """Return the section; None without a front or where the space is not installed here."""
    people, single, study = material.people, material.choices, material.motifs
    if people is None or single is None or study is None or not people.members:
        return None
    genes: list[tuple[str, tuple[Choice, ...]]] = list(zip(people.names, choices(people, single), strict=True))
    html = fragment(
        "preferences.html.j2",
        genes=genes,
        people=people,
        single=single,
        study=study,
        over=_rows(material, study.found(over=True, limit=SHOWN), "over"),
        under=_rows(material, study.found(over=False, limit=SHOWN), "under"),
        seed=material.view.spec.seed,
        shown=SHOWN,
        term=material.glossary.link,
    )
    return Section("choices", "Choices", html)


def _rows(material: Material, motifs: tuple[Motif, ...], kind: str) -> list[Row]:
    drawings = [_drawing(material, motif) for motif in motifs]
    colours = label_colours([drawing for drawing in drawings if drawing is not None])
    rows = []
    for place, (motif, drawing) in enumerate(zip(motifs, drawings, strict=True)):
        words = motif_words(material, motif)
        picture = draw(drawing, colours, f"Motif: {words}", f"{kind}-{place}") if drawing else Markup("")
        rows.append(Row(motif, words, picture))
    return rows


def _drawing(material: Material, motif: Motif) -> Drawing | None:
    """Return the motif in its cell, other edges dotted and without a name; None where genes are not edges."""
    people = material.people
    whole = drawing_of(material.space, material.view.candidates[material.data.front[0]])
    if people is None or whole is None:
        return None
    nodes = {node.id for node in whole.nodes}
    fixed = {g: people.labels[g][v] for g, v in zip(motif.genes, motif.values, strict=True)}
    edges = []
    for gene, name in enumerate(people.names):
        source, _, target = name.removeprefix("edge ").partition("-")
        if source not in nodes or target not in nodes:
            return None
        label = fixed.get(gene, ANY if gene in motif.free else "")
        edges.append(DrawnEdge(source, target, label, live=gene in fixed and label != "none"))
    return Drawing(whole.nodes, tuple(edges))
