"""report.html: one file that works offline, on a phone and on paper.

The page holds its style, its script, its data and its pictures; a content security policy forbids it to load
anything and to run any other script. Without JavaScript it still shows all but the table of all candidates
(docs/adr/0003-report-plots.md says why plots are our own SVG). The same view gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from markupsafe import Markup

from xnas_core.report.data import compact_json
from xnas_core.report.family_tree import tree_places
from xnas_core.report.files import replace_file
from xnas_core.report.material import material
from xnas_core.report.pages import fragment, policy, text
from xnas_core.report.plots import front_axes
from xnas_core.report.sections import SECTIONS
from xnas_core.search.view import SearchView

_SCRIPTS = ("plot.js", "candidates.js", "tree.js", "page.js")


def write_report(view: SearchView, read: Callable[[str], bytes], path: Path) -> None:
    """Write `render(view, read)`, replacing the file whole; raise StoreError if it cannot."""
    replace_file(path, render(view, read).encode())


def render(view: SearchView, read: Callable[[str], bytes]) -> str:
    """Return the report as HTML.

    Args:
        view: the search, finished or not.
        read: gives an artifact's content by its key; KeyError, OSError or StoreError where it is not to be had.
            Asked for the front's explanations only.

    A space that is not installed here, a picture that is gone: the page says so and shows the rest.
    """
    made = material(view, read)
    data = made.data
    style, script = text("report.css"), "\n".join(text(name) for name in _SCRIPTS)
    across, up = front_axes(data)
    return str(
        fragment(
            "report.html.j2",
            view=view,
            summary=made.summary,
            sections=[section for make in SECTIONS if (section := make(made)) is not None],
            policy=policy(style, script),
            style=Markup(style),
            script=Markup(script),
            json=Markup(compact_json(data, knee=made.summary.knee, x=across, y=up, tree=tree_places(data, made.tree))),
        )
    )
