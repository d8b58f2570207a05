"""Tasks that a user asks for: where the search is, the way there, and the wait for the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xnas_core.cli.places import ClusterPlace, FolderPlace, Place, understand
from xnas_core.cli.session import Session
from xnas_core.errors import InvalidInputError, XnasError
from xnas_core.tasks import TaskKind, attempt_prefix

if TYPE_CHECKING:
    from xnas_core.client import SearchClient
    from xnas_core.local import RunObserver, RunOutcome
    from xnas_core.search.view import CandidateRecord, SearchView


class TaskFailedError(XnasError):
    """The task failed for good."""

    reason = "TaskFailed"


class TaskOpenError(XnasError):
    """The task was not done: it was stopped, and stays open."""

    reason = "TaskOpen"


@dataclass(frozen=True, slots=True)
class Wish:
    """What is asked for.

    Attributes:
        device: where it is done, on this machine.
    """

    kind: TaskKind
    parameters: Mapping[str, Any] = field(default_factory=dict)
    device: str = "auto"


@dataclass(frozen=True)
class Done:
    """A task that has ended well.

    Attributes:
        prefix: key prefix of its last attempt's objects.
        place: what to type as SEARCH.
        get: returns an object by key.
    """

    view: SearchView
    record: CandidateRecord
    prefix: str
    place: str
    get: Callable[[str], bytes]


def place_of(session: Session, text: str) -> Place:
    """Return where the search is; raise InvalidInputError for a place where nothing can be done."""
    from xnas_core.cli.cluster.kubeconfig import configured
    from xnas_core.cli.cluster.options import said

    options = said(session)
    place = understand(text, options, cluster=configured(options))
    if not isinstance(place, FolderPlace | ClusterPlace):
        raise InvalidInputError(f"{text} is a store, where nothing runs; give an output folder, or NAMESPACE/NAME")
    return place


@contextmanager
def done(session: Session, text: str, identity: str, wish: Wish) -> Iterator[Done]:
    """Ask for a task on a candidate and wait for its end.

    Args:
        session: this call.
        text: SEARCH as typed.
        identity: of the candidate, or its unique beginning.
        wish: what is asked for.

    Raises:
        TaskFailedError: the task failed for good.
        TaskOpenError: it was stopped before its end.
        XnasError: it is not possible, or the search can't be reached.
    """
    from xnas_core.cli.sources import opened
    from xnas_core.cli.viewing import find_candidate

    place = place_of(session, text)
    with opened(session, text) as source:
        record = find_candidate(source.view(), identity)
        if isinstance(place, FolderPlace):
            view = on_this_machine(session, place.folder, record.id, wish).view
            record = find_candidate(view, record.id)
        else:
            record = _on_the_cluster(source, record.id, wish)
            view = source.view()
        check_ended(record, wish.kind, source.place)
        attempt = max(a.attempt for a in record.history if a.task is wish.kind and a.outcome == "succeeded")
        yield Done(view, record, attempt_prefix(record.id, wish.kind, attempt), source.place, source.get)


def on_this_machine(session: Session, folder: Path, candidate: str, wish: Wish) -> RunOutcome:
    """Do a task in an output folder, with a display."""
    from xnas_core.cli import terminal
    from xnas_core.cli.evaluator_side import require_evaluator
    from xnas_core.cli.logs import turning_points
    from xnas_core.local import RunOptions
    from xnas_core.local.runner import run_tasks
    from xnas_core.search.requests import TaskRequest

    require_evaluator()
    request = TaskRequest(wish.kind, candidate, wish.parameters)

    def run(observer: RunObserver) -> RunOutcome:
        return run_tasks(folder, [request], RunOptions(device=wish.device), observer)

    if session.verbosity or not terminal.live_display_possible():
        from xnas_core.cli.lines import Lines

        return run(Lines(turning_points()))
    from xnas_core.cli.live import LiveDisplay

    display = LiveDisplay(terminal.messages())
    with display.shown():
        return run(display)


def check_ended(record: CandidateRecord, kind: TaskKind, place: str) -> None:
    """Raise unless the task has succeeded."""
    from xnas_core.search.view import TaskState

    state = record.tasks.get(kind)
    if state is TaskState.FAILED:
        why = record.failure if kind is TaskKind.EVALUATE else record.environment.get(f"{kind.value}.failed", "")
        raise TaskFailedError(f"{kind.value} of {record.id} failed: {why}")
    if state is not TaskState.SUCCEEDED:
        raise TaskOpenError(f"{kind.value} of {record.id} in {place} was stopped before its end; repeat the command")


def _on_the_cluster(source: Any, candidate: str, wish: Wish) -> CandidateRecord:
    to = source.reached
    to.client.request_task(to.namespace, to.name, candidate, wish.kind, wish.parameters)
    return wait_for_task(to.client, to.namespace, to.name, candidate, wish.kind)


def wait_for_task(client: SearchClient, namespace: str, name: str, candidate: str, kind: TaskKind) -> CandidateRecord:
    """Return the candidate when its task is not open any more, as the search's watch tells.

    Raises:
        XnasError: the search was deleted meanwhile, or can't be reached.
    """
    from xnas_core.search.view import TaskState
    from xnas_core.service.errors import NotFoundError
    from xnas_core.service.values import Deleted

    for event in client.watch(namespace, name, until_finished=False):
        if isinstance(event, Deleted):
            break
        record = client.candidate(namespace, name, candidate)
        if record.tasks.get(kind) is not TaskState.OPEN:
            return record
    raise NotFoundError(f"the search {namespace}/{name} was deleted before {kind.value} of {candidate} had ended")
