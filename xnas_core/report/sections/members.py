"""Front members: a table, then a card for each with drawing, metrics and files."""

from __future__ import annotations

from xnas_core.report.cards import cards
from xnas_core.report.material import Material, Section
from xnas_core.report.pages import fragment


def section(material: Material) -> Section | None:
    """Return the section; None for an empty front."""
    made = cards(material)
    if not made:
        return None
    html = fragment(
        "members.html.j2",
        view=material.view,
        data=material.data,
        cards=made,
        confirmed=any(quantity.confirmed for card in made for quantity in card.quantities),
        owing=material.owing,
        term=material.glossary.link,
    )
    return Section("members", "Members", html)
