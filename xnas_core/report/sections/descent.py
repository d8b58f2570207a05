"""Descent: the family tree of all candidates, and the ancestors of each front member."""

from __future__ import annotations

from xnas_core.report.family_tree import LARGEST, draw_tree, generation_rows
from xnas_core.report.lineage import LIMIT, lineage
from xnas_core.report.material import Material, Section
from xnas_core.report.pages import fragment


def section(material: Material) -> Section | None:
    """Return the section; None for an empty front."""
    if not material.chosen:
        return None
    knee = material.summary.knee
    tree = draw_tree(material.data, material.tree)
    html = fragment(
        "descent.html.j2",
        view=material.view,
        term=material.glossary.link,
        tree=tree,
        tree_limit=LARGEST,
        generations=generation_rows(material.data, material.tree),
        ancestral=len(material.tree.ancestral),
        founders=len(material.tree.founders),
        lineages=[lineage(material.data, i) for i in material.chosen],
        first=knee if knee is not None else material.chosen[0],
        limit=LIMIT,
    )
    return Section("lineage", "Descent", html)
