"""Bring a data set from the store into the cache folder, once for all processes that share it (protocol.md §6.9)."""

from __future__ import annotations

import errno
import fcntl
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from xnas_core.artifacts.download import Download
from xnas_core.artifacts.transport import Transport
from xnas_evaluator.datasets.cache import explained
from xnas_evaluator.datasets.copies import Copy, copy_path, find_copy, notes_path

MAX_BYTES = 64 * 1024**3
"""Largest object that is taken: decoded images are kept in memory, so what is larger is most likely a mistake."""
_LOCK_SECONDS = 0.5


def fetch(
    uri: str,
    cache: Path,
    transport: Transport,
    ask: Callable[[], str],
    *,
    alive: Callable[[float], None],
    sleep: Callable[[float], None],
    max_bytes: int = MAX_BYTES,
) -> Copy:
    """Return the copy of an object; make it first if there is none. Of several processes, one does and others wait.

    Args:
        uri: the s3:// address.
        cache: the cache folder; made if absent.
        transport: to the store.
        ask: returns a presigned URL; called anew when one has expired.
        alive: called while this takes time, with the share that is there; what it raises ends it.
        sleep: waits, in seconds; what it raises ends it.
        max_bytes: largest size that is taken.

    Raises:
        InvalidInputError: there is no such object, or it is too large.
        StoreError: the store could not, repetitions used up; or the cache folder cannot be used.
    """
    with explained(cache):
        found = find_copy(cache, uri)
        if found is not None:
            return found
        path = copy_path(cache, uri)
        path.parent.mkdir(parents=True, exist_ok=True)
        with _locked(path.with_suffix(".lock"), alive, sleep):
            found = find_copy(cache, uri)
            if found is not None:
                return found
            done = Download(transport, ask, uri, path, max_bytes, alive, sleep).run()
            notes = {"uri": uri, "size": done.size, "sha256": done.sha256}
            draft = path.with_suffix(".json.partial")
            draft.write_text(json.dumps(notes))
            draft.replace(notes_path(cache, uri))
            return Copy(path, done.sha256)


@contextmanager
def _locked(path: Path, alive: Callable[[float], None], sleep: Callable[[float], None]) -> Iterator[None]:
    """Hold the lock; while another process has it, give signs of life."""
    with path.open("w") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError as error:
                if error.errno not in (errno.EAGAIN, errno.EACCES):
                    raise
            alive(0.0)
            sleep(_LOCK_SECONDS)
        yield
