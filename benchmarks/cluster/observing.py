"""When things happened on the cluster, finer than the whole seconds that the API's own times have.

Objects are watched from here, and each state gets this machine's time as it arrives. A container's start is read from
the process itself: the kubelet tells of it up to a second late.
"""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tests.e2e.cluster_tools import Cluster, Document, until

_STARTED = (
    "import os, time\n"
    "fields = open('/proc/1/stat').read().rpartition(')')[2].split()\n"
    "up = float(open('/proc/uptime').read().split()[0])\n"
    "print(time.time() - up + int(fields[19]) / os.sysconf('SC_CLK_TCK'))\n"
)


@dataclass(frozen=True)
class Seen:
    """One state of an object. `time` is in seconds since the epoch, by this machine's clock."""

    time: float
    kind: str
    body: Document


class Watch:
    """All states that the objects of one kind and namespace were in since the watch began."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self.seen: list[Seen] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        if self._process.stdout is None:
            raise RuntimeError("a watch without output")
        for line in self._process.stdout:
            event = json.loads(line)
            self.seen.append(Seen(time.time(), event["type"], event["object"]))

    def first(self, holds: Callable[[Document], object], seconds: float, what: str) -> Seen:
        """Return the first state of which something holds, waiting for it; raise AssertionError if there is none."""
        found = until(lambda: first(self.seen, holds), seconds, what)
        if found is None:
            raise AssertionError(what)
        return found

    def close(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait(10)
        self._reader.join(10)


def first(seen: Sequence[Seen], holds: Callable[[Document], object]) -> Seen | None:
    """Return the first state of which something holds."""
    return next((one for one in tuple(seen) if one.kind != "ERROR" and holds(one.body)), None)


@contextmanager
def watch(path: str) -> Iterator[Watch]:
    """Watch the objects of a path of the API, such as /api/v1/namespaces/team-a/pods."""
    command = ["kubectl", "get", "--raw", f"{path}?watch=1&timeoutSeconds=3600"]
    begun = Watch(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL))
    try:
        yield begun
    finally:
        begun.close()


def scheduled(pod: Document) -> bool:
    """Return whether a node was chosen."""
    return bool(pod["spec"].get("nodeName"))


def complete(job: Document) -> bool:
    """Return whether all pods of a Job have succeeded."""
    return _condition(job, "Complete")


def failed(job: Document) -> bool:
    """Return whether a Job gave up."""
    return _condition(job, "Failed")


def _condition(job: Document, kind: str) -> bool:
    conditions: list[dict[str, Any]] = (job.get("status") or {}).get("conditions") or []
    return any(one["type"] == kind and one["status"] == "True" for one in conditions)


def container_started(cluster: Cluster, namespace: str, pod: str) -> float:
    """Return when a pod's first process began, to a hundredth of a second, by its node's clock."""
    return float(cluster.kubectl("exec", "-n", namespace, pod, "--", "python", "-c", _STARTED))


def connected(log: str) -> float:
    """Return when the evaluator was first welcomed.

    Args:
        log: of its pod, with the kubelet's time before each line.

    Raises:
        ValueError: it never was.
    """
    for line in log.splitlines():
        stamp, _, text = line.partition(" ")
        if "event=connected" in text.split():
            return moment(stamp)
    raise ValueError("the evaluator's log does not say that it connected")


def moment(stamp: str) -> float:
    """Return the seconds since the epoch of a time as Kubernetes writes it; digits below a microsecond are dropped."""
    head, dot, rest = stamp.partition(".")
    if not dot:
        return datetime.fromisoformat(stamp.replace("Z", "+00:00")).timestamp()
    digits = rest[: len(rest) - len(rest.lstrip("0123456789"))]
    zone = rest[len(digits) :].replace("Z", "+00:00")
    return datetime.fromisoformat(f"{head}.{digits[:6]:0<6}{zone}").timestamp()
