"""`xnas retry` in an output folder."""

from __future__ import annotations

from pathlib import Path

from xnas_core.cli.requesting import Wish, check_ended, on_this_machine
from xnas_core.cli.session import Session
from xnas_core.cli.viewing import find_candidate
from xnas_core.local import open_search
from xnas_core.search.view import SearchState, TaskState
from xnas_core.tasks import TaskKind

_ENDED = (SearchState.COMPLETE, SearchState.FAILED)


def retry_here(session: Session, folder: Path, place: str, identity: str, device: str) -> None:
    """Evaluate a candidate again, or write down that it shall be; say what came of it.

    Raises:
        TaskFailedError: it failed again.
        XnasError: it is not possible.
    """
    record = find_candidate(open_search(folder), identity)
    outcome = on_this_machine(session, folder, record.id, Wish(TaskKind.EVALUATE, device=device))
    record = find_candidate(outcome.view, record.id)
    later = record.tasks.get(TaskKind.EVALUATE) is TaskState.OPEN and outcome.view.state not in _ENDED
    if not later:
        check_ended(record, TaskKind.EVALUATE, place)
    if session.json:
        from xnas_core.cli.documents import candidate_document

        session.answer({**candidate_document(outcome.view, record), "retried": not later})
    elif later:
        print(f"{record.id} will be evaluated again after the search's last evaluation; `xnas run` goes on with it")
    else:
        front = "is on the front" if record.on_front else "is not on the front"
        print(f"{record.id} was evaluated again: it {front}\n  more of it: xnas candidate {place} {record.id}")
