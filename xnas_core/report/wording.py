"""Motifs in words."""

from __future__ import annotations

from xnas_core.analysis.motifs import Motif
from xnas_core.report.material import Material

ANY = "any"
"""What a gene is called that a motif leaves free."""


def motif_words(material: Material, motif: Motif) -> str:
    """Return "edge 0-1 nor_conv_3x3, edge 1-2 any", genes in the space's order."""
    people = material.people
    if people is None:
        return ""
    said = {g: people.labels[g][v] for g, v in zip(motif.genes, motif.values, strict=True)} | dict.fromkeys(
        motif.free, ANY
    )
    return ", ".join(f"{people.names[gene]} {said[gene]}" for gene in sorted(said))
