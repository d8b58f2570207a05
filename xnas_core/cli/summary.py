"""A search in a line."""

from __future__ import annotations

from xnas_core.report.numbers import number, plural
from xnas_core.search.view import SearchState, SearchSummary


def state_line(view: SearchSummary) -> str:
    """Return what the search is, how far it got and how good its front is."""
    failed = view.failed
    done, limit = view.succeeded + failed, view.spec.limits.max_evaluations
    parts = [f"{view.name}: {_word(view)}" + (f" ({view.reason})" if view.reason else "")]
    parts.append(f"{done} of {limit} evaluations" if limit and done < limit else plural(done, "evaluation"))
    if failed:
        parts.append(f"{failed} failed")
    if view.front:
        parts.append(f"front {len(view.front)}")
        parts.append(f"hypervolume {number(view.hypervolume)}")
    elif view.state in (SearchState.COMPLETE, SearchState.FAILED):
        parts.append("the front is empty")
    else:
        parts.append("no front yet")
    return " · ".join(parts)


def _word(view: SearchSummary) -> str:
    """Return the search's state; whether a process runs it now is not known from its journal."""
    return "not finished yet" if view.state in (SearchState.RUNNING, SearchState.FINALISING) else view.state.value
