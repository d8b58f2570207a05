"""From what a user types to a candidate."""

from __future__ import annotations

import difflib

from xnas_core.errors import InvalidInputError
from xnas_core.search.view import CandidateRecord, SearchView


def find_candidate(view: SearchView, text: str) -> CandidateRecord:
    """Return the candidate of an id, or of an id's unique beginning.

    Raises:
        InvalidInputError: none or several; the message says which.
    """
    wanted = text.strip().lower()
    if not wanted:
        raise InvalidInputError("the candidate's id is empty; `xnas front SEARCH` lists ids")
    found = [c for c in view.candidates if c.id == wanted] or [
        c for c in view.candidates if c.id.startswith(wanted) or c.id.startswith(f"c{wanted}")
    ]
    if len(found) == 1:
        return found[0]
    if found:
        shown = ", ".join(c.id for c in found[:4]) + (", …" if len(found) > 4 else "")
        raise InvalidInputError(f"{text!r} is the beginning of {len(found)} candidates ({shown}); give more of the id")
    near = difflib.get_close_matches(wanted, [c.id for c in view.candidates], 1, 0.7)
    hint = f"; did you mean {near[0]!r}?" if near else "; `xnas front SEARCH` lists ids"
    raise InvalidInputError(f"search {view.name!r} has no candidate {text!r}{hint}")
