"""What was found, in words: headline, best values, knee point, counts, time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from xnas_core.objectives import to_minimise
from xnas_core.report.data import ReportData, standard_error
from xnas_core.report.numbers import duration, grouped, number, plural, tick, with_error
from xnas_core.search.view import CandidateRecord, CandidateState, SearchState, SearchView


@dataclass(frozen=True, slots=True)
class Tile:
    """A figure on the first screen: value, "± standard error", detail.

    `candidate`: id of the one it speaks of. `term`: the glossary's name for the label.
    """

    label: str
    value: str
    spread: str = ""
    detail: str = ""
    candidate: str = ""
    term: str = ""


@dataclass(frozen=True, slots=True)
class Summary:
    """The first screen's words."""

    headline: str
    notice: str
    tiles: tuple[Tile, ...]
    knee: int | None


def summarise(data: ReportData) -> Summary:
    """Return the first screen's words for any search, also one that has found nothing yet."""
    knee = knee_point(data)
    return Summary(_headline(data), _notice(data.view), tuple(_tiles(data, knee)), knee)


def knee_point(data: ReportData) -> int | None:
    """Return the front's knee: the member with the smallest sum of objectives, each scaled to [0, 1] on the front.

    With two objectives it is the member furthest from the chord between the extremes, on the better side
    (Das 1999, "On characterizing the knee of the Pareto curve"). None where no member lies on that side.
    """
    rows = [(i, _minimised(data.view, data.view.candidates[i])) for i in data.front]
    points = [(i, row) for i, row in rows if row is not None]
    if len(points) < 3 or len(data.objectives) < 2:
        return None
    lows = [min(row[k] for _, row in points) for k in data.objectives]
    highs = [max(row[k] for _, row in points) for k in data.objectives]

    def total(row: Sequence[float]) -> float:
        return sum((v - lo) / (hi - lo) for v, lo, hi in zip(row, lows, highs, strict=True) if hi > lo)

    best, row = min(points, key=lambda point: (total(point[1]), point[0]))
    return best if total(row) < 1 - 1e-9 else None


def elapsed_seconds(view: SearchView) -> float | None:
    """Return the time from start to end, or to the last thing that is known to have happened."""
    if view.finished_at is not None:
        return view.finished_at - view.started_at
    times = [time for c in view.candidates for time in (c.proposed_at, c.finished_at) if time is not None]
    return max(0.0, max(times) - view.started_at) if times else None


def data_name(view: SearchView) -> str:
    """Return what the search ran on, in words."""
    if view.spec.benchmark is not None:
        return f"the table {view.spec.benchmark.table}"
    if view.spec.dataset is None:
        return "the graph alone"
    if view.spec.dataset.name is not None:
        return view.spec.dataset.name
    source = view.spec.dataset.source
    paths = [] if source is None else [source.idx, source.image_folder, source.npz]
    return next((path for path in paths if path), "a data set of its own")


def count(view: SearchView, *states: CandidateState) -> int:
    """Return how many candidates are in one of these states."""
    return sum(candidate.state in states for candidate in view.candidates)


def listed(names: Sequence[str]) -> str:
    """Return "a", "a and b", "a, b and c"."""
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else "".join(names)


def _headline(data: ReportData) -> str:
    view = data.view
    names = [objective.name for objective in view.spec.objectives]
    scored = count(view, CandidateState.SUCCEEDED)
    if not scored:
        return (
            f"No candidate has been scored yet. The search looks for architectures of {view.spec.search_space.name} "
            f"that are good in {listed(names)} on {data_name(view)}."
        )
    how = "from" if view.spec.benchmark is None and view.spec.dataset is None else "on"
    where = f"{plural(scored, 'architecture')} of {view.spec.search_space.name} scored {how} {data_name(view)}"
    if len(names) == 1:
        best = view.candidates[data.front[0]] if data.front else None
        value = number(best.objectives[0]) if best else "unknown"
        return f"{where}; the best {names[0]} is {value}."
    if not data.front:
        return f"{where}; none of them meets all constraints, so the front is empty."
    if len(data.front) == 1:
        return f"{where}; one is best in {listed(names)} at once."
    return f"{where}; {grouped(len(data.front))} of them are the best trade-offs between {listed(names)}."


def _notice(view: SearchView) -> str:
    said = f" {view.message}." if view.message else ""
    return {
        SearchState.RUNNING: "The search is still running; this is its state at one moment.",
        SearchState.FINALISING: "All candidates are scored; test scores and explanations of the front are being made.",
        SearchState.SUSPENDED: f"The search is suspended.{said}",
        SearchState.FAILED: f"The search failed ({view.reason}).{said}",
        SearchState.COMPLETE: "",
    }[view.state]


def _tiles(data: ReportData, knee: int | None) -> list[Tile]:
    view = data.view
    tiles = []
    for k, objective in enumerate(view.spec.objectives):
        best = best_member(data, k)
        if best is not None:
            shown = with_error(best.objectives[k], standard_error(best, objective), data.fields[k].unit)
            value, sign, error = shown.partition(" ± ")
            tiles.append(Tile(f"Best {objective.name}", value, sign.lstrip() + error, best.id, best.id, objective.name))
    if knee is not None:
        record = view.candidates[knee]
        values = " · ".join(number(value) for value in record.objectives)
        tiles.append(Tile("Knee point", values, "", record.id, record.id, "knee point"))
    done = count(view, CandidateState.SUCCEEDED, CandidateState.FAILED)
    failed, limit = count(view, CandidateState.FAILED), view.spec.limits.max_evaluations
    detail = [f"{grouped(failed)} failed"] if failed else []
    if limit and done < limit:
        detail.append(f"of {grouped(limit)} allowed")
    tiles.append(Tile("Front", plural(len(data.front), "member"), term="front"))
    if view.reference_point is not None and view.history:
        reference = ", ".join(tick(value) for value in view.reference_point)
        tiles.append(
            Tile("Hypervolume", number(view.hypervolume), detail=f"reference ({reference})", term="hypervolume")
        )
    tiles.append(Tile("Evaluations", grouped(done), detail=", ".join(detail)))
    each = elapsed_seconds(view)
    if each is not None:
        tiles.append(Tile("Time", duration(each), detail=f"{duration(each / done)} a candidate" if done else ""))
    return tiles


def best_member(data: ReportData, k: int) -> CandidateRecord | None:
    """Return the front member with the best value of an objective, the earliest of equal ones; None without a front."""
    direction = data.view.spec.objectives[k].direction
    records = [data.view.candidates[i] for i in data.front]
    known = [(to_minimise(value, direction), r.number, r) for r in records if (value := r.objectives[k]) is not None]
    return min(known, key=lambda item: item[:2])[2] if known else None


def _minimised(view: SearchView, record: CandidateRecord) -> list[float] | None:
    values = [
        to_minimise(value, objective.direction)
        for value, objective in zip(record.objectives, view.spec.objectives, strict=True)
        if value is not None
    ]
    return values if len(values) == len(view.spec.objectives) else None
