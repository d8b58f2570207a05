"""Logs of a search's evaluator pods, by the Kubernetes API: once, or as they grow."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from xnas_core.cli.cluster.kube import JsonObject, Kube, path_of
from xnas_core.errors import InvalidInputError, XnasError
from xnas_core.service.errors import DeadlineError, NotFoundError

UID_LABEL = "xnas.dev/search-uid"
CONTAINER = "evaluator"
LOOK_SECONDS = 5.0
"""How often new pods are looked for while logs are followed."""
SILENCE_SECONDS = 3600.0
"""A connection that was silent for so long is made anew: the cluster may have forgotten it."""
_WAITING = ("is waiting to start", "ContainerCreating", "is not available", "not found")


@dataclass(frozen=True, slots=True)
class LogLine:
    """A line and the pod that wrote it."""

    pod: str
    text: str


class EvaluatorLogs:
    """The logs of one search.

    Args:
        kube: the API server.
        namespace: of the search.
        uid: of the search.
        chosen: name of a pod, or its beginning; "": all.
    """

    def __init__(self, kube: Kube, namespace: str, uid: str, chosen: str = "") -> None:
        self._kube = kube
        self._namespace = namespace
        self._uid = uid
        self._chosen = chosen

    def pods(self) -> list[str]:
        """Return the names of the search's evaluator pods that have, or had, a container.

        Raises:
            InvalidInputError: there are pods, but none of the chosen name.
        """
        path = path_of("/api/v1", "namespaces", self._namespace, "pods")
        found = self._kube.items(path, {"labelSelector": f"{UID_LABEL}={self._uid}"})
        names = sorted(pod["metadata"]["name"] for pod in found)
        chosen = [name for name in names if name.startswith(self._chosen)]
        if names and not chosen:
            raise InvalidInputError(
                f"no evaluator's name begins with {self._chosen!r}; there are {', '.join(names[:8])}"
            )
        return [pod["metadata"]["name"] for pod in found if pod["metadata"]["name"] in chosen and _started(pod)]

    def now(self, tail: int | None) -> Iterator[LogLine]:
        """Yield what the pods have written, one pod after the other.

        Args:
            tail: newest lines of each pod; None: all that the cluster has kept.
        """
        for pod in self.pods():
            try:
                for text in self._kube.lines(self._path(pod), self._query(tail, follow=False)):
                    yield LogLine(pod, text)
            except XnasError as error:
                if not _waits(error):
                    raise

    def follow(self, tail: int | None, over: Callable[[], bool]) -> Iterator[LogLine]:
        """Yield lines as they are written, by pods that come later too, until the search is over and its pods are gone.

        Args:
            tail: older lines of each pod that is there at the beginning.
            over: whether the search needs no more evaluators; asked now and then.
        """
        lines: queue.Queue[LogLine] = queue.Queue(10_000)
        readers: dict[str, _Reader] = {}
        first = True
        looked = float("-inf")
        while True:
            if time.monotonic() - looked >= LOOK_SECONDS:
                looked = time.monotonic()
                pods = self.pods()
                for pod in pods:
                    if pod not in readers:
                        readers[pod] = _Reader(
                            self._kube, self._path(pod), self._query(tail if first else None, follow=True)
                        )
                        readers[pod].start(pod, lines)
                first = False
                if over() and not any(reader.alive for reader in readers.values()) and lines.empty():
                    return
            try:
                yield lines.get(timeout=min(0.5, LOOK_SECONDS))
            except queue.Empty:
                continue

    def _path(self, pod: str) -> str:
        return path_of("/api/v1", "namespaces", self._namespace, "pods", pod, "log")

    def _query(self, tail: int | None, *, follow: bool) -> dict[str, str]:
        query = {"container": CONTAINER}
        if follow:
            query["follow"] = "true"
        if tail is not None:
            query["tailLines"] = str(tail)
        return query


class _Reader:
    """Reads one pod's log in a thread that ends with the log, or with the process."""

    def __init__(self, kube: Kube, path: str, query: dict[str, str]) -> None:
        self._kube = kube
        self._path = path
        self._query = query
        self._thread: threading.Thread | None = None

    @property
    def alive(self) -> bool:
        """Whether more may come."""
        return self._thread is not None and self._thread.is_alive()

    def start(self, pod: str, lines: queue.Queue[LogLine]) -> None:
        """Put lines into the queue."""
        self._thread = threading.Thread(target=self._read, args=(pod, lines), name=f"log of {pod}", daemon=True)
        self._thread.start()

    def _read(self, pod: str, lines: queue.Queue[LogLine]) -> None:
        query = self._query
        while True:
            try:
                for text in self._kube.lines(self._path, query, SILENCE_SECONDS):
                    lines.put(LogLine(pod, text))
                return
            except DeadlineError:
                query = {**query, "tailLines": "0"}
            except XnasError as error:
                if not _waits(error):
                    lines.put(LogLine(pod, f"(the log breaks off: {error})"))
                return


def _started(pod: JsonObject) -> bool:
    """Return whether a container has run: before, there is no log."""
    statuses = (pod.get("status") or {}).get("containerStatuses")
    phase = (pod.get("status") or {}).get("phase")
    return phase in ("Running", "Succeeded", "Failed") or any(
        status.get("started") or "terminated" in (status.get("state") or {}) for status in statuses or ()
    )


def _waits(error: XnasError) -> bool:
    """Return whether the pod only has no log yet, or is gone meanwhile."""
    return isinstance(error, NotFoundError) or any(word in str(error) for word in _WAITING)
