"""`xnas watch`: a picture that stays in place on a terminal; elsewhere a line, or a JSON document, for each event."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from xnas_core.cli import exit_codes, terminal
from xnas_core.cli.cluster.connecting import Reached
from xnas_core.cli.cluster.picture import FrontPart, Picture
from xnas_core.cli.documents import brief_document
from xnas_core.cli.session import Session
from xnas_core.cli.tables import front_table, objective_values
from xnas_core.errors import XnasError
from xnas_core.report.numbers import number, plural
from xnas_core.search.view import CandidateRecord, CandidateState, SearchProgress
from xnas_core.service.values import (
    CandidateQuery,
    Deleted,
    Finished,
    FrontSummary,
    NewFront,
    NewState,
    Progressed,
    Standing,
    Stands,
    WatchEvent,
)

SHOWN_MEMBERS = 12
_BAR = 40
_PER_SECOND = 4.0
_IDS = 500


class Teller(Protocol):
    """Tells a user what happens."""

    def event(self, event: WatchEvent, picture: Picture) -> None:
        """Tell of an event that the picture has taken."""


def follow(session: Session, to: Reached, *, from_beginning: bool) -> int:
    """Watch until the search has ended; return the exit code."""
    place = f"{to.namespace}/{to.name}"
    picture = Picture(place)
    events = to.client.watch(to.namespace, to.name, from_beginning=from_beginning)
    if session.json:
        _tell(to, picture, events, JsonLines(session))
    else:
        console = terminal.output()
        if console.is_terminal:
            with Live(
                console=console, get_renderable=lambda: render(picture, console), refresh_per_second=_PER_SECOND,
                transient=True,
            ):  # fmt: skip
                _tell(to, picture, events, Silent())
            console.print(render(picture, console, over=True))
        else:
            _tell(to, picture, events, Lines())
    if picture.deleted:
        raise XnasError(f"{place} was deleted")
    standing = picture.standing
    if standing is not None and standing.state.value == "Failed":
        raise XnasError(f"the search failed ({standing.reason}): {standing.message}")
    return exit_codes.OK


def _tell(to: Reached, picture: Picture, events: Iterator[WatchEvent], teller: Teller) -> None:
    for event in events:
        picture.take(event)
        if picture.spec is None and picture.progress is not None:
            accepted = to.client.get(to.namespace, to.name).accepted
            picture.spec = accepted.spec if accepted is not None else None
        unknown = picture.unknown[:_IDS]
        if unknown and not isinstance(event, Deleted):
            picture.know(list(to.client.candidates(to.namespace, to.name, CandidateQuery(ids=unknown))))
        teller.event(event, picture)


# --- on a terminal -------------------------------------------------------------------------------------------------


class Silent:
    """The picture is drawn by itself."""

    def event(self, event: WatchEvent, picture: Picture) -> None:
        """See Teller."""


def render(picture: Picture, console: Console, *, over: bool = False) -> RenderableType:
    """Return the picture as it is now; `over`: it stays."""
    standing = picture.standing
    if standing is None:
        return Text(f"{picture.place} · connecting", style="dim")
    head = Text(picture.place, style="bold")
    head.append(f" · {standing.state.value}", style="not bold")
    lines: list[RenderableType] = [head]
    if standing.message:
        lines.append(Text(standing.message, style="dim"))
    if picture.progress is not None:
        lines += [_bar(picture.progress, console), Text(_front_facts(picture.front))]
    members = picture.members
    if members is not None:
        lines += [Text(""), front_table(members, console, limit=None if over else SHOWN_MEMBERS)]
    return Group(*lines)


def _bar(progress: SearchProgress, console: Console) -> RenderableType:
    done, total = progress.succeeded + progress.failed, progress.max_evaluations
    word = "evaluations"
    if progress.finalising:
        done, total, word = progress.finalised, progress.finalising, "explained"
    told = f"{done}/{total} {word}" if total else f"{done} {word}"
    told += f" · {progress.running} running" if progress.running else ""
    told += f" · {progress.failed} failed" if progress.failed else ""
    room = console.width - len(told) - 2
    if not total or room < 10:
        return Text(told)
    row = Table.grid(padding=(0, 1, 0, 0))
    bar = ProgressBar(
        total=total, completed=min(done, total), width=min(_BAR, room), style="bright_black", complete_style="cyan",
        finished_style="green",
    )  # fmt: skip
    row.add_row(bar, Text(told, no_wrap=True))
    return row


def _front_facts(front: FrontSummary) -> str:
    return f"front {front.size} · hypervolume {number(front.hypervolume)}" if front.size else "no front yet"


# --- elsewhere -----------------------------------------------------------------------------------------------------


class Lines:
    """A line of text for each event."""

    def __init__(self) -> None:
        self._told = ""

    def event(self, event: WatchEvent, picture: Picture) -> None:
        """See Teller."""
        for line in _lines(event, picture):
            # Signs of life repeat what is known.
            if line != self._told:
                print(f"{time.strftime('%H:%M:%S')} {line}", flush=True)
                self._told = line


def _lines(event: WatchEvent, picture: Picture) -> Iterator[str]:
    match event:
        case Stands(_, standing, progress, front):
            yield f"{picture.place} · {_state(standing)}"
            if progress is not None:
                yield f"{_counts(progress)} · {_front_facts(front)}"
        case NewState(standing):
            yield f"{picture.place} · {_state(standing)}"
        case NewFront(front):
            yield _front_facts(front)
        case Progressed(progress) if progress is not None:
            yield _counts(progress)
        case Finished(candidates):
            for candidate in candidates:
                yield _candidate(candidate, picture)
        case Deleted():
            yield f"{picture.place} · deleted"
        case _:
            pass


def _state(standing: Standing) -> str:
    reason = f" ({standing.reason})" if standing.reason else ""
    return f"{standing.state.value}{reason}" + (f": {standing.message}" if standing.message else "")


def _counts(progress: SearchProgress) -> str:
    done = progress.succeeded + progress.failed
    limit = progress.max_evaluations
    told = f"{done} of {limit} evaluations" if limit else plural(done, "evaluation")
    told += f" · {progress.failed} failed" if progress.failed else ""
    return told + (f" · {progress.finalised} of {progress.finalising} explained" if progress.finalising else "")


def _candidate(candidate: CandidateRecord, picture: Picture) -> str:
    if candidate.state is CandidateState.FAILED:
        return f"{candidate.id} failed: {candidate.failure}"
    if picture.spec is None:
        return f"{candidate.id} scored"
    return f"{candidate.id} · {objective_values(FrontPart(picture.spec, (candidate,), ()), candidate)}"


class JsonLines:
    """A JSON document for each event, a line each."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def event(self, event: WatchEvent, picture: Picture) -> None:
        """See Teller."""
        self._session.line({"event": _word(event), **_event_document(event, picture), "token": event.token})


def _word(event: WatchEvent) -> str:
    name = type(event).__name__
    return name[:1].lower() + name[1:]


def _event_document(event: WatchEvent, picture: Picture) -> dict[str, Any]:
    match event:
        case Stands(uid, standing, progress, front):
            return {"uid": uid, **_standing(standing), "progress": _progress(progress), "front": _front(front)}
        case NewState(standing):
            return _standing(standing)
        case NewFront(front):
            return {"front": _front(front)}
        case Progressed(progress):
            return {"progress": _progress(progress)}
        case Finished(candidates) if picture.spec is not None:
            part = FrontPart(picture.spec, candidates, ())
            return {"candidates": [brief_document(part, candidate) for candidate in candidates]}
        case Finished(candidates):
            return {"candidates": [{"id": c.id, "state": c.state.value} for c in candidates]}
        case _:
            return {}


def _standing(standing: Standing) -> dict[str, Any]:
    return {"state": standing.state.value, "reason": standing.reason, "message": standing.message}


def _front(front: FrontSummary) -> dict[str, Any]:
    return {"members": list(front.members), "size": front.size, "hypervolume": front.hypervolume}


def _progress(progress: SearchProgress | None) -> dict[str, Any] | None:
    if progress is None:
        return None
    return {
        "proposed": progress.proposed,
        "running": progress.running,
        "succeeded": progress.succeeded,
        "failed": progress.failed,
        "limit": progress.max_evaluations,
        "generation": progress.generation,
        "finalising": progress.finalising,
        "finalised": progress.finalised,
    }
